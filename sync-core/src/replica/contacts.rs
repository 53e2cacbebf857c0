//! What passed over links that ended, noted in memory and written down together: a fleet that reconnects with nothing to
//! say should not cost its hub a commit a node.
//!
//! Nothing else depends on these rows, so a crash may lose what was noted: times and counters of contacts, for people.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Now, Replica};
use crate::env::{Instant, WallTime};
use crate::id::NodeId;
use crate::limits::{CONTACTS_NOTED_MAX, CONTACTS_NOTED_SECONDS_MAX};
use crate::store::{PeerTraffic, StoreError};

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    noted: BTreeMap<NodeId, (PeerTraffic, WallTime)>,
    /// When they are to be written down.
    due: Option<Instant>,
}

impl Contacts {
    fn note(&mut self, now: Now, peer: NodeId, passed: PeerTraffic) {
        let (traffic, at) = self.noted.entry(peer).or_default();
        traffic.add(passed);
        *at = if now.wall.0.is_some() { now.wall } else { *at };
        let due = now.instant.after(Duration::from_secs(CONTACTS_NOTED_SECONDS_MAX));
        self.due = self.due.or(Some(due));
    }

    /// When [`Replica::write_down_contacts`] wants to be called.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }
}

impl Replica {
    /// Notes that a link ended, and what passed over it.
    pub(super) fn note_contact(&mut self, now: Now, peer: NodeId, passed: PeerTraffic) -> Result<(), StoreError> {
        self.contacts.note(now, peer, passed);
        if self.contacts.noted.len() >= CONTACTS_NOTED_MAX { self.write_down_contacts() } else { Ok(()) }
    }

    /// Writes down what was noted. When that fails it counts no more: it must not grow while a disk is full.
    pub(super) fn write_down_contacts(&mut self) -> Result<(), StoreError> {
        let Contacts { noted, .. } = std::mem::take(&mut self.contacts);
        if noted.is_empty() {
            return Ok(());
        }
        self.aside(|replica| {
            let tx = replica.store.begin()?;
            for (peer, (traffic, at)) in noted {
                tx.add_traffic(peer, &traffic, at)?;
            }
            tx.commit()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{Entropy, no_witness};
    use crate::id::Name;
    use crate::identity::{CertificateAuthority, Role, SigningKey};
    use crate::store::Store;

    struct Zeros;

    impl Entropy for Zeros {
        fn fill(&mut self, target: &mut [u8]) {
            target.fill(0);
        }
    }

    #[test]
    fn no_more_peers_are_noted_than_allowed() {
        let authority = CertificateAuthority::create(&mut Zeros, Name::new("fleet").unwrap()).unwrap();
        let identity = authority.identity(&mut Zeros, SigningKey::from_seed([1; 32]), Role::Hub).unwrap();
        let mut store = Store::open_in_memory().unwrap();
        Replica::init(&mut store, &identity, &mut Zeros).unwrap();
        let mut replica = Replica::open(store, &mut Zeros, no_witness()).unwrap();
        let mut most = 0;
        for number in 0..3 * CONTACTS_NOTED_MAX as u64 + 1 {
            let mut peer = NodeId([0; 32]);
            peer.0[..8].copy_from_slice(&number.to_be_bytes());
            replica.note_contact(Now::default(), peer, PeerTraffic::default()).unwrap();
            most = most.max(replica.contacts.noted.len());
        }
        assert_eq!((most, replica.contacts.noted.len()), (CONTACTS_NOTED_MAX - 1, 1));
    }
}
