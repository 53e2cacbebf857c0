//! Links: what happens to the datagrams between two members.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::quantity::{Bandwidth, Share, Size, Span};

/// A kind of link. Shares are per datagram and independent of each other, in each direction.
///
/// "To the hub" is the direction away from the member that dials, also between two hubs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Link {
    /// Names of calendars; the link is up when all of them say so. None: always.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calendar: Vec<String>,
    /// Time that a datagram takes one way.
    pub latency: Span,
    /// What is added to that at most, each as likely. Datagrams do not overtake each other for it.
    pub jitter: Span,
    /// Datagrams that are lost.
    pub loss: Share,
    /// Datagrams that are lost in a row on average, once one is; the share stays the same.
    #[schemars(range(min = 1, max = 1000))]
    pub loss_burst: u32,
    /// Datagrams that come twice.
    pub duplication: Share,
    /// Datagrams that are held back so that later ones overtake them, by one to four times the latency.
    pub reordering: Share,
    /// Datagrams that come with a flipped bit.
    pub corruption: Share,
    /// Bandwidth towards the hub. Unset: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_hub: Option<Bandwidth>,
    /// Bandwidth towards the node. Unset: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_node: Option<Bandwidth>,
    /// What may wait for the bandwidth in each direction; the rest is lost.
    pub queue: Size,
    /// Largest IP packet in bytes, with 28 bytes of IPv4 and UDP headers; larger ones are lost.
    #[schemars(range(min = 1228, max = 65535))]
    pub mtu: u32,
    /// After this long without a datagram a NAT forgets the way back: the next one to the hub comes from a new port, and
    /// what the hub sends before it is lost. Unset: no NAT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat_idle: Option<Span>,
    /// Bytes on the wire, both ways, after which the link is down until the next midnight UTC or the healing. Unset: not
    /// metered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily_quota: Option<Size>,
}

impl Default for Link {
    /// A good line: 10 ms, no loss, no limit.
    fn default() -> Self {
        Self {
            calendar: Vec::new(),
            latency: Span(std::time::Duration::from_millis(10)),
            jitter: Span::default(),
            loss: Share::default(),
            loss_burst: 1,
            duplication: Share::default(),
            reordering: Share::default(),
            corruption: Share::default(),
            to_hub: None,
            to_node: None,
            queue: Size(256 * 1024),
            mtu: 1500,
            nat_idle: None,
            daily_quota: None,
        }
    }
}
