//! Which address to dial next, as a value: the home hub first, then the others in turn.

use std::time::Duration;

use sync_core::state::roster::RosterState;

/// How long a hub may take to answer while there is another one to try. Doubles with each round in which nobody did, up to
/// the handshake's own timeout: on the slowest links no hub answers sooner.
const PATIENCE: Duration = Duration::from_secs(2);

/// The addresses to try, in this order: those of the home hub, the one that the node joined at, those of the other hubs.
#[must_use]
pub fn candidates(joined_at: &str, roster: &RosterState) -> Vec<String> {
    let dialled = roster.dialled();
    let is_home = |id| roster.home.hub == Some(id);
    let of = |home: bool| {
        let hubs = dialled.iter().filter(move |(id, _)| is_home(*id) == home);
        hubs.flat_map(|(_, hub)| hub.addresses.iter().cloned())
    };
    let mut addresses: Vec<String> = Vec::new();
    for address in of(true).chain([joined_at.to_owned()]).chain(of(false)) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

/// Where a round of tries stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rounds {
    next: usize,
    failed_rounds: u32,
}

impl Rounds {
    /// The address to try now, of so many.
    #[must_use]
    pub fn place(&self, addresses: usize) -> usize {
        self.next % addresses.max(1)
    }

    /// How long to wait for its answer, when the handshake may take `most`.
    #[must_use]
    pub fn patience(&self, addresses: usize, most: Duration) -> Duration {
        if addresses < 2 { most } else { PATIENCE.saturating_mul(1 << self.failed_rounds.min(8)).min(most) }
    }

    /// A link was live: the next try is at home again.
    pub fn handle_live(&mut self) {
        *self = Self::default();
    }

    /// A try led to no live link. Whether the round goes on with the next address at once; otherwise it is time to wait.
    pub fn handle_failure(&mut self, addresses: usize) -> bool {
        self.next = self.place(addresses) + 1;
        if self.next < addresses {
            return true;
        }
        self.next = 0;
        self.failed_rounds = self.failed_rounds.saturating_add(1);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_core::id::{Name, NodeId};
    use sync_core::state::roster::{HomeField, HubEntry};

    fn roster() -> RosterState {
        let hub = |name: &str, addresses: &[&str]| HubEntry {
            name: Name::new(name).unwrap(),
            addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
            authority: false,
        };
        let mut roster = RosterState::default();
        roster.hubs.insert(NodeId([1; 32]), hub("a", &["a:1", "a:2"]));
        roster.hubs.insert(NodeId([2; 32]), hub("b", &["b:1"]));
        roster
    }

    #[test]
    fn home_comes_first_then_where_the_node_joined_then_the_others() {
        let mut roster = roster();
        assert_eq!(candidates("x:1", &RosterState::default()), ["x:1"]);
        assert_eq!(candidates("x:1", &roster), ["x:1", "a:1", "a:2", "b:1"]);
        roster.home = HomeField { hub: Some(NodeId([2; 32])), epoch: Some(1) };
        assert_eq!(candidates("a:2", &roster), ["b:1", "a:2", "a:1"]);
        roster.revoked.insert(NodeId([2; 32]), "b".to_owned());
        assert_eq!(candidates("a:2", &roster), ["a:2", "a:1"]);
    }

    #[test]
    fn a_round_tries_each_address_once_and_a_live_link_leads_home() {
        let mut rounds = Rounds::default();
        let mut tried = Vec::new();
        for _ in 0..7 {
            tried.push(rounds.place(3));
            if !rounds.handle_failure(3) {
                tried.push(9);
            }
        }
        assert_eq!(tried, [0, 1, 2, 9, 0, 1, 2, 9, 0]);
        rounds.handle_live();
        assert_eq!(rounds.place(3), 0);
        // Addresses may become fewer while a round is under way.
        rounds.next = 5;
        assert!(rounds.place(2) < 2 && rounds.place(0) == 0);
    }

    #[test]
    fn patience_grows_only_while_there_is_another_hub_to_try() {
        let most = Duration::from_secs(10);
        let mut rounds = Rounds::default();
        assert_eq!((rounds.patience(1, most), rounds.patience(2, most)), (most, PATIENCE));
        let rounds_that_failed = (0..40).filter(|_| !rounds.handle_failure(2)).count();
        assert_eq!(rounds_that_failed, 20);
        assert_eq!(rounds.patience(2, most), most);
    }
}
