//! Certificates that travel with frontiers, so that a peer which never met an author can check the author's word: who is
//! told which, and what is learned from them.

use std::collections::BTreeSet;

use rustls::pki_types::CertificateDer;

use super::members;
use crate::document::admission::Refusal;
use crate::document::{AuthorGroup, UnverifiedFrontier};
use crate::id::NodeId;
use crate::identity::Identity;
use crate::identity::certificate::{Certified, PeerRefusal, check_chain};
use crate::limits::CERTIFICATES_CARRIED_MAX;
use crate::store::{StoreError, Tx};
use crate::wire::PushEntry;

/// Puts on each frontier the certificates that its receiver needs and was not shown on this link: its author's, those of
/// the authors of the frontiers and records with it, and of a document of the hubs those of the hubs whose changes lie below it.
pub(super) fn attach(
    tx: &Tx<'_>,
    identity: &Identity,
    shown: &mut BTreeSet<NodeId>,
    entry: &mut PushEntry,
) -> Result<(), StoreError> {
    let PushEntry::Delta(delta) = entry else { return Ok(()) };
    let Some(claim) = &mut delta.frontier else { return Ok(()) };
    let mut wanted = vec![claim.author];
    wanted.extend(delta.earlier.authors().unwrap_or_default());
    wanted.extend(delta.roots.iter().map(|root| root.author));
    if delta.key.author_group() == AuthorGroup::Hubs {
        wanted.extend(writers(tx, identity, shown, claim, !delta.earlier.is_empty())?);
    }
    for member in wanted {
        if claim.certificates.len() == CERTIFICATES_CARRIED_MAX || shown.contains(&member) {
            continue;
        }
        let own = || identity.chain().first().map(|certificate| certificate.to_vec());
        let certificate = if member == identity.id() { own() } else { tx.certificate(member)? };
        // One that was never seen here cannot be shown; the receiver may know the member all the same.
        if let Some(certificate) = certificate {
            claim.certificates.push(certificate);
            shown.insert(member);
        }
    }
    Ok(())
}

/// Hubs that were not shown yet and whose actors made changes below the frontier, or below others that come with it.
fn writers(
    tx: &Tx<'_>,
    identity: &Identity,
    shown: &BTreeSet<NodeId>,
    claim: &UnverifiedFrontier,
    has_earlier: bool,
) -> Result<Vec<NodeId>, StoreError> {
    let mut hubs = tx.hubs_ever()?;
    hubs.push(identity.id());
    hubs.retain(|hub| !shown.contains(hub));
    if hubs.is_empty() {
        return Ok(hubs);
    }
    let Some(document) = tx.document(claim.frontier.document)? else { return Ok(Vec::new()) };
    // Others may have written on another line than the last frontier's.
    let clock = match tx.find_frontier(document.row, claim.frontier.generation, &claim.frontier.heads)? {
        _ if has_earlier => tx.clock_of(document.row)?,
        Some(row) => row.clock,
        None => return Ok(Vec::new()),
    };
    hubs.retain(|hub| clock.iter().any(|(actor, _)| actor.belongs_to(hub)));
    Ok(hubs)
}

/// Checks the certificates that came with a frontier, as a handshake would, and remembers their holders. Who is known
/// through a certificate alone is a member whose word can be checked, and nothing more.
pub(super) fn learn(
    tx: &Tx<'_>,
    identity: &Identity,
    certificates: &[Vec<u8>],
) -> Result<Result<Vec<NodeId>, Refusal>, StoreError> {
    let mut holders = Vec::new();
    for certificate in certificates {
        let certified = match check(identity, certificate) {
            Ok(certified) => certified,
            Err(error) => return Ok(Err(Refusal::Certificate { reason: error.to_string() })),
        };
        let member = certified.key.node_id();
        holders.push(member);
        if member != identity.id() {
            members::add(tx, &certified.key, certified.role)?;
            tx.set_certificate(member, certificate)?;
        }
    }
    Ok(Ok(holders))
}

/// What the certificate says, by the rules of the handshake: the root is this fleet's, which every member has.
pub(super) fn check(identity: &Identity, certificate: &[u8]) -> Result<Certified, PeerRefusal> {
    let root = identity.chain().last().ok_or(PeerRefusal::NoCertificate)?;
    check_chain(&[CertificateDer::from(certificate), root.clone()], &identity.pin())
}
