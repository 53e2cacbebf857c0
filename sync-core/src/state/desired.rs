//! The shapes of the hub's documents: assignment, release, placement. Typed reading and writing of their JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::document::Heads;
use crate::id::{Incarnation, Name, Nonce, StoreId, hex_decode};
use crate::identity::PublicKey;

/// The release that nodes follow unless their assignment names another.
pub const DEFAULT_RELEASE: &str = "main";

/// Labels of a node: they come from its token or from the hub.
pub type Labels = BTreeMap<String, String>;

/// What one node is to run: which layers, in which order, out of which release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignmentState {
    /// The node's name.
    pub node: Name,
    /// The node's labels.
    pub labels: Labels,
    /// Layers from the base up.
    pub layers: Vec<Name>,
    /// The release that the node follows.
    pub release: Name,
    /// Set by hand: selectors leave it alone.
    #[serde(default)]
    pub by_hand: bool,
    /// Which incarnation of the node's store counts, once it is not the first: a [`StoreStamp`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// The node's public key, so that a hub which never met the node knows it; the document's owner is its hash.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "key_hex")]
    pub key: Option<PublicKey>,
}

/// The field of an assignment that holds a [`StoreStamp`].
pub const STORE_FIELD: &str = "store";

/// Which incarnation of a store counts. One text, `STORE.NUMBER.NONCE` with the ids in hexadecimal, so that of two that were
/// written at the same time one stands as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreStamp {
    /// The store.
    pub store: StoreId,
    /// Its incarnation.
    pub incarnation: Incarnation,
}

impl std::fmt::Display for StoreStamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.store, self.incarnation.number, self.incarnation.nonce)
    }
}

/// A text that is no [`StoreStamp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a store, the number of its incarnation and a nonce, with dots between them")]
pub struct StoreStampError;

impl std::str::FromStr for StoreStamp {
    type Err = StoreStampError;

    fn from_str(text: &str) -> Result<Self, StoreStampError> {
        let mut parts = text.split('.');
        let (store, number, nonce) = (parts.next(), parts.next(), parts.next());
        let stamp = store.and_then(StoreId::from_hex).zip(nonce.and_then(Nonce::from_hex));
        let number = number.and_then(|number| number.parse().ok());
        match (stamp, number, parts.next()) {
            (Some((store, nonce)), Some(number), None) => {
                Ok(Self { store, incarnation: Incarnation { number, nonce } })
            }
            _ => Err(StoreStampError),
        }
    }
}

/// Where a layer stood when it was released. One text in a document, `generation/version/heads`, so that two pins which meet
/// never mix: one of them stands, or both are shown as a conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct LayerPin {
    /// The layer's generation.
    pub generation: u32,
    /// The layer's version, for people.
    pub version: u64,
    /// The layer's heads; hexadecimal in the text.
    pub heads: Heads,
}

/// Which frontier of each layer is released.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReleaseState {
    /// Layer name to frontier.
    pub layers: BTreeMap<Name, LayerPin>,
}

/// A rule that gives layers to every node with these labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementRule {
    /// Labels that a node must have, all of them.
    pub selector: Labels,
    /// Layers from the base up.
    pub layers: Vec<Name>,
    /// Rises with each rule that is set: where several match, the latest wins.
    pub order: u64,
}

/// The fleet's placement rules, by the text of their selector.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlacementState {
    /// Selector text to rule.
    pub rules: BTreeMap<String, PlacementRule>,
}

impl PlacementState {
    /// Adds a rule, or replaces the one with this selector.
    pub fn set(&mut self, selector: Labels, layers: Vec<Name>) {
        let order = self.rules.values().map(|rule| rule.order).max().unwrap_or(0) + 1;
        self.rules.insert(selector_text(&selector), PlacementRule { selector, layers, order });
    }

    /// The layers of a node with these labels: those of the latest rule that matches.
    #[must_use]
    pub fn layers_for(&self, labels: &Labels) -> Option<&[Name]> {
        let matches = |rule: &&PlacementRule| rule.selector.iter().all(|(key, value)| labels.get(key) == Some(value));
        self.rules.values().filter(matches).max_by_key(|rule| rule.order).map(|rule| rule.layers.as_slice())
    }
}

/// A selector as people write it: `region=north,tier=shop`.
#[must_use]
pub fn selector_text(selector: &Labels) -> String {
    selector.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// A shape as the JSON of its document.
#[must_use]
#[expect(clippy::expect_used, reason = "these shapes have string keys and no numbers that JSON lacks")]
pub fn to_state<T: Serialize>(shape: &T) -> Map<String, Value> {
    let value = serde_json::to_value(shape).expect("a plain struct");
    if let Value::Object(map) = value { map } else { Map::new() }
}

/// The shape of a document's JSON; `None` when it has another shape.
#[must_use]
pub fn from_state<T: for<'de> Deserialize<'de>>(state: &Map<String, Value>) -> Option<T> {
    T::deserialize(Value::Object(state.clone())).ok()
}

mod key_hex {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::id::NodeId;
    use crate::identity::PublicKey;

    #[expect(clippy::ref_option, reason = "serde gives it so")]
    pub(super) fn serialize<S: Serializer>(key: &Option<PublicKey>, serializer: S) -> Result<S::Ok, S::Error> {
        match key {
            Some(key) => serializer.collect_str(&NodeId(key.0)),
            None => serializer.serialize_none(),
        }
    }

    /// A key of another form is passed over: it only helps a hub to know the node sooner.
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PublicKey>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        Ok(text.and_then(|text| NodeId::from_hex(&text)).map(|bytes| PublicKey(bytes.0)))
    }
}

impl From<LayerPin> for String {
    fn from(pin: LayerPin) -> Self {
        let heads: Self = pin.heads.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}/{}/{heads}", pin.generation, pin.version)
    }
}

impl TryFrom<String> for LayerPin {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut parts = text.splitn(3, '/');
        let mut part = || parts.next().unwrap_or_default();
        let pin = (part().parse().ok(), part().parse().ok(), hex_decode(part()).and_then(|it| Heads::from_bytes(&it)));
        let (Some(generation), Some(version), Some(heads)) = pin else {
            return Err("expected generation/version/heads");
        };
        Ok(Self { generation, version, heads })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        text.split(',').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn the_latest_matching_rule_wins() {
        let mut placement = PlacementState::default();
        let layers = |name: &str| vec![Name::new(name).unwrap()];
        placement.set(labels("region=north"), layers("a"));
        placement.set(labels("tier=shop"), layers("b"));
        assert_eq!(placement.layers_for(&labels("region=north,tier=shop")), Some(&layers("b")[..]));
        placement.set(labels("region=north"), layers("c"));
        assert_eq!(placement.layers_for(&labels("region=north,tier=shop")), Some(&layers("c")[..]));
        assert_eq!(placement.layers_for(&labels("region=south")), None);
        assert_eq!(placement.rules.len(), 2);
    }

    #[test]
    fn shapes_survive_their_documents() {
        let heads = Heads::new(vec![crate::id::ChangeHash([7; 32])]).unwrap();
        let pin = LayerPin { generation: 0, version: 3, heads };
        let release = ReleaseState { layers: [(Name::new("base").unwrap(), pin)].into() };
        let state = to_state(&release);
        assert_eq!(state["layers"]["base"], format!("0/3/{}", "07".repeat(32)));
        assert_eq!(from_state(&state), Some(release));
        assert_eq!(from_state::<ReleaseState>(&Map::new()), None);
    }
}
