//! How much each link may have under way, so that all of them together stay within one bound in each direction.
//!
//! What a link is granted to receive stays as it is while it lives, because a grant cannot be taken back. What it may send
//! is looked at anew with each input, by what all links have under way then. Hubs are few, and carry what many nodes wait
//! for: links to them get a whole window.

use super::{Link, Replica};
use crate::env::Instant;
use crate::id::LinkId;
use crate::identity::Role;
use crate::limits::{
    GRANT_SHARES, LINK_BYTES_MIN, LINKS_BYTES_MAX, SEND_SHARES, TRANSFER_AHEAD_BYTES_MIN, TRANSFER_AHEAD_SECONDS,
    WINDOW_BYTES_MAX,
};

/// Sums over all links to nodes, in bytes of pushes.
#[derive(Debug, Default)]
pub(super) struct Flow {
    granted: u64,
    under_way: u64,
}

/// What a link adds to the sums.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    granted: u64,
    under_way: u64,
}

fn share(used: u64, shares: u64) -> u64 {
    (LINKS_BYTES_MAX.saturating_sub(used) / shares).clamp(LINK_BYTES_MIN, WINDOW_BYTES_MAX)
}

impl Flow {
    /// What a new link to a peer of this role may receive, and what that adds.
    pub(super) fn grant(&mut self, role: Role) -> (u64, Counted) {
        if role == Role::Hub {
            return (WINDOW_BYTES_MAX, Counted::default());
        }
        let granted = share(self.granted, GRANT_SHARES);
        self.granted += granted;
        (granted, Counted { granted, under_way: 0 })
    }

    /// What the link may have under way now.
    pub(super) fn window(&self, link: &Link) -> u64 {
        let window = match link.peer_role {
            Role::Hub => WINDOW_BYTES_MAX,
            Role::Node => share(self.under_way.saturating_sub(link.counted.under_way), SEND_SHARES),
        };
        if link.transfer.is_some() { window.min(link.pace.ahead()) } else { window }
    }

    pub(super) fn forget(&mut self, counted: Counted) {
        self.granted = self.granted.saturating_sub(counted.granted);
        self.under_way = self.under_way.saturating_sub(counted.under_way);
    }
}

/// How fast a peer makes durable what it is sent.
#[derive(Debug, Default)]
pub(super) struct Pace {
    bytes_per_second: u64,
    since: Option<Instant>,
    bytes: u64,
}

impl Pace {
    /// The peer says that so much more is durable.
    pub(super) fn confirm(&mut self, now: Instant, bytes: u64) {
        let Some(since) = self.since else {
            self.since = Some(now);
            return;
        };
        self.bytes = self.bytes.saturating_add(bytes);
        let ms = u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX);
        if ms >= 1_000 {
            self.bytes_per_second = self.bytes.saturating_mul(1_000) / ms;
            (self.since, self.bytes) = (Some(now), 0);
        }
    }

    /// Bytes of a transfer that may be under way, so that what is written meanwhile does not wait long behind it.
    fn ahead(&self) -> u64 {
        self.bytes_per_second.saturating_mul(TRANSFER_AHEAD_SECONDS).max(TRANSFER_AHEAD_BYTES_MIN)
    }
}

impl Replica {
    /// Says how much the link may have under way now. Before an input that may make it send.
    pub(super) fn set_window(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            let window = self.flow.window(link);
            link.session.handle_window(window);
        }
    }

    /// Counts what the link has under way now. After an input.
    pub(super) fn count_under_way(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id)
            && link.peer_role == Role::Node
        {
            let now = link.session.under_way();
            self.flow.under_way = self.flow.under_way.saturating_sub(link.counted.under_way) + now;
            link.counted.under_way = now;
        }
    }

    /// Bytes of pushes that all links to nodes were granted, and that they have under way.
    #[must_use]
    pub fn flow(&self) -> (u64, u64) {
        (self.flow.granted, self.flow.under_way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_keeps_a_few_seconds_of_what_its_link_carries_under_way() {
        for (bytes_per_second, expected) in [(8_000, TRANSFER_AHEAD_BYTES_MIN), (100_000, 400_000)] {
            let mut pace = Pace::default();
            assert_eq!(pace.ahead(), TRANSFER_AHEAD_BYTES_MIN);
            for tenth in 0..100 {
                pace.confirm(Instant(tenth * 100_000), bytes_per_second / 10);
            }
            assert_eq!(pace.ahead(), expected);
        }
    }

    #[test]
    fn ten_thousand_links_share_what_a_few_have_to_themselves() {
        let mut flow = Flow::default();
        let (first, _) = flow.grant(Role::Node);
        assert_eq!(first, LINKS_BYTES_MAX / GRANT_SHARES);
        let links: Vec<_> = (1..10_000).map(|_| flow.grant(Role::Node)).collect();
        assert!(links.iter().all(|(granted, _)| (LINK_BYTES_MIN..=first).contains(granted)));
        assert!(flow.granted <= LINKS_BYTES_MAX + 10_000 * LINK_BYTES_MIN, "{}", flow.granted);
        assert_eq!(flow.grant(Role::Hub).0, WINDOW_BYTES_MAX);
        links.into_iter().for_each(|(_, counted)| flow.forget(counted));
        assert_eq!(flow.granted, first);
    }
}
