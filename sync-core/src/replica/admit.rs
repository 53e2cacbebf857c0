//! Takes what a peer pushed into the store: admission, then materialising, in a savepoint, so that one bad delta undoes
//! itself and nothing else.

use std::collections::BTreeSet;

use self::frontiers::{Appended, Sorted, append, sort};
use super::generation::{self, Follow};
use super::known::Holds;
use super::loads::{self, Loaded, Loads};
use super::write::{self, Author, WriteError};
use super::{certificates, is_own, late, members};
use crate::document::admission::{self, AdmittedDelta, Authors, ReceivedDelta, Refusal};
use crate::document::codec::Packed;
use crate::document::generation::{SignedRoot, UnverifiedRoot};
use crate::document::history::History;
use crate::document::materialise::{self, MaterialiseError};
use crate::document::operations::Operations;
use crate::document::rebase::Rebase;
use crate::document::{AuthorGroup, Clock, DocumentKey, DocumentKind, SignedFrontier, genesis};
use crate::id::{DocumentId, NodeId};
use crate::identity::{Identity, PublicKey, Role};
#[cfg(feature = "mutants")]
use crate::mutants::{Mutant, planted};
use crate::part::{Part, transfer_id};
use crate::store::{DocumentRow, LogSeq, PeerRow, Staged, StoreError, StoredDocument, Tx};
use crate::wire::{DeltaFrame, Reason, Refuse};

mod frontiers;

/// What became of a push.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// The document has a newer frontier now.
    pub(super) changed: Option<DocumentKey>,
    /// What the peer showed that it holds.
    pub(super) holds: Option<Holds>,
    /// Some peer is owed more than before.
    pub(super) feeds_grow: bool,
    /// A frontier is this replica's own, and was not held here: its past was lost.
    pub(super) is_own_word: bool,
    /// This node has written beside itself: it was set back to an older copy, or there are two of it.
    pub(super) beside_itself: Option<NodeId>,
    /// The delta was refused.
    pub(super) refused: Option<Refuse>,
    /// Its sender is to blame for that, and it is in quarantine.
    pub(super) is_quarantined: bool,
    /// It is a part of a transfer whose beginning is not held. Nothing was done.
    pub(super) gap: bool,
    /// It is a part that claims another size of its transfer than the first one. The transfer was dropped.
    pub(super) contradicts: bool,
    /// Whose certificates came with it.
    pub(super) shown: Vec<NodeId>,
    /// Somebody's enrolment was taken back.
    pub(super) revokes: bool,
    /// Work of this replica that came too late for a cut was written again.
    pub(super) rebased: Option<Rebase>,
}

/// Why a delta was not taken.
pub(super) enum TakeError {
    Refused(Refusal),
    Store(StoreError),
}

impl From<StoreError> for TakeError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Refusal> for TakeError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<MaterialiseError> for TakeError {
    fn from(error: MaterialiseError) -> Self {
        Self::Refused(Refusal::Poison { reason: error.to_string() })
    }
}

pub(super) fn take_delta(
    tx: &Tx<'_>,
    author: &Author<'_>,
    peer: &PeerRow,
    frame: DeltaFrame,
    loads: &mut Loads,
) -> Result<Taken, StoreError> {
    let at = author.wall;
    let id = frame.key.id();
    if let Some(part) = &frame.part
        && tx.contradicts_staged(peer, id, part)?
    {
        tx.drop_staged(peer, id)?;
        return Ok(Taken { contradicts: true, ..Taken::default() });
    }
    let Some(frontier) = frame.frontier else {
        let staged = frame.part.map(|part| tx.stage(peer, id, &part, &frame.changes)).transpose()?;
        return Ok(Taken { gap: staged != Some(Staged::Kept), ..Taken::default() });
    };
    let heads = frontier.frontier.heads.clone();
    let key = frame.key.clone();
    let evidence = frame.changes.clone();
    let batch = match &frame.part {
        None => frame.changes,
        Some(part) => match whole(tx, peer, id, part, frame.changes)? {
            Ok(batch) => batch,
            Err(Incomplete::Gap) => return Ok(Taken { gap: true, ..Taken::default() }),
            Err(Incomplete::OtherBytes) => {
                let message = "the parts do not make up the transfer that they name".to_owned();
                tx.quarantine(peer.node, Some(id), &message, &evidence, at)?;
                let refuse = Refuse { document: id, heads: Some(heads), reason: Reason::Malformed, message };
                return Ok(Taken { refused: Some(refuse), is_quarantined: true, ..Taken::default() });
            }
        },
    };
    tx.drop_staged(peer, id)?;
    let learned = certificates::learn(tx, author.identity, &frontier.certificates)?;
    let was_held = tx.document(id)?.is_some_and(|document| document.latest.is_some());
    let received = ReceivedDelta {
        key: frame.key,
        generation: frame.generation,
        batch: Packed { codec: frame.codec, bytes: batch },
        frontier,
        earlier: frame.earlier,
    };
    let roots = frame.roots;
    let taken = learned.map_err(TakeError::Refused).and_then(|shown| {
        let taken = tx.attempt(|| take(tx, author, peer, received, roots, loads))?;
        Ok(Taken { shown, ..taken })
    });
    match taken {
        Ok(taken) => {
            members::stage(tx, author.identity, peer, &key, was_held)?;
            Ok(taken)
        }
        Err(TakeError::Store(error)) => Err(error),
        Err(TakeError::Refused(refusal)) => {
            let message = refusal.to_string();
            tracing::warn!(peer = %peer.node.short(), document = %key, %message, "refused a delta");
            let is_quarantined = !refusal.is_misunderstanding();
            if is_quarantined {
                tx.quarantine(peer.node, Some(id), &message, &evidence, at)?;
            }
            let reason = Reason::from(&refusal);
            let refused = Some(Refuse { document: id, heads: Some(heads), reason, message });
            Ok(Taken { refused, is_quarantined, ..Taken::default() })
        }
    }
}

/// Why the last part of a transfer does not end it.
enum Incomplete {
    Gap,
    OtherBytes,
}

/// The packed batch of which this is the last part.
fn whole(
    tx: &Tx<'_>,
    peer: &PeerRow,
    document: DocumentId,
    last: &Part,
    changes: Vec<u8>,
) -> Result<Result<Vec<u8>, Incomplete>, StoreError> {
    let Some(mut batch) = tx.take_staged(peer, document, last)? else { return Ok(Err(Incomplete::Gap)) };
    batch.extend(changes);
    Ok(if transfer_id(&batch) == last.transfer { Ok(batch) } else { Err(Incomplete::OtherBytes) })
}

fn take(
    tx: &Tx<'_>,
    author: &Author<'_>,
    peer: &PeerRow,
    received: ReceivedDelta,
    roots: Vec<UnverifiedRoot>,
    loads: &mut Loads,
) -> Result<Taken, TakeError> {
    let key = received.key.clone();
    let mut signers = received.earlier.authors().map_err(Refusal::from)?;
    signers.push(received.frontier.author);
    let authors = authors(tx, author.identity, &signers)?;
    let received = admission::authenticate(received, &authors.known)?;
    let generation = received.frontier().frontier().generation;
    let heads = received.frontier().frontier().heads.clone();
    let held = tx.document(key.id())?;
    if let Some(document) = &held
        && !received.has_earlier()
        && let Some(row) = tx.find_frontier(document.row, generation, &heads)?
        && row.held
    {
        // Whether it is the newest was decided when it came first.
        tracing::debug!(document = %key, frontier = %row.frontier.frontier().heads.short(), "held already");
        let holds = Some(holds(document, vec![row.seq], row.clock));
        return Ok(Taken { holds, ..Taken::default() });
    }
    let document = match held {
        Some(document) => document,
        None => create(tx, &key)?,
    };
    let roots = authentic_roots(tx, author.identity, &key, generation, roots)?;
    let latest = document.latest.map(|latest| tx.log_row(latest)).transpose()?;
    let at = latest.as_ref().map(|latest| &latest.frontier.frontier().heads);
    let mut kept = at.and_then(|at| loads.take(key.id(), generation, at));
    let grounded = generation::admit(tx, author.identity, &document, received, roots, &authors.known, kept.as_mut())?;
    let Some((admitted, ground, follow)) = grounded else {
        tracing::debug!(document = %key, generation, "of a generation that is over");
        // What follows must not build on it.
        let message = format!("generation {generation} is over here");
        let refused = Some(Refuse { document: key.id(), heads: Some(heads), reason: Reason::Past, message });
        return Ok(Taken { refused, feeds_grow: owe_to_author(tx, peer, &document)?, ..Taken::default() });
    };
    let Sorted { new, held } = sort(tx, peer, &document, &admitted, &authors)?;
    if new.is_empty() {
        // Nothing is written, so what was kept still is what the store holds.
        if let Some(kept) = kept.filter(|_| follow.is_none()) {
            loads.keep(key.id(), generation, kept);
        }
        return Ok(Taken { holds: Some(holds(&document, held, admitted.clock())), ..Taken::default() });
    }
    let is_present = follow.as_ref().is_some_and(|follow| follow.is_present);
    let late = match &follow {
        Some(follow) if is_present && is_own(author.identity, &key) => late::find(tx, author, &document, follow)?,
        _ => None,
    };
    if let Some(follow) = &follow {
        generation::follow(tx, &document, follow)?;
    }
    for (meta, chunk) in admitted.changes() {
        tx.add_change(document.row, generation, meta, chunk)?;
    }
    // Whoever wrote into an older generation brings it into the present one, or has done so.
    let is_past = !is_present && latest.is_some() && generation < document.generation;
    let before = latest.map(|row| row.clock).filter(|_| !is_present && !is_past);
    let Appended { logs, latest, is_beside } = append(tx, author, &document, &new, held, before, is_past)?;
    let ground = Some(ground).filter(|ground| follow.is_none() && is_kept(author.identity, &key, ground));
    let mut revokes = false;
    if latest.is_some() || !admitted.changes().is_empty() {
        let kept = kept.filter(|_| follow.is_none());
        let loaded = load_with(tx, document.row, generation, kept, &admitted, loads)?;
        revokes = show(tx, author, peer, &document, &loaded, &new, latest)?;
        if ground.is_some() {
            loads.keep(key.id(), generation, Loaded { document: loaded, ground });
        }
    }
    let is_own_word = new.iter().any(|(signed, _)| signed.author() == author.identity.id());
    let came = Taken {
        holds: Some(holds(&document, logs, admitted.clock())),
        changed: latest.is_some().then(|| key.clone()),
        feeds_grow: latest.is_some(),
        is_own_word,
        revokes,
        ..Taken::default()
    };
    let latest = latest.map(|(seq, _)| seq).or(document.latest);
    let document = StoredDocument { generation: generation.max(document.generation), latest, ..document };
    if is_present {
        let rebased = match (late, follow.as_ref().and_then(Follow::root)) {
            (Some(late), Some(root)) => late::bring_in(tx, author, &document, root.genesis, &late, loads)?,
            _ if is_beside => settle(tx, author, peer, &document, loads)?,
            _ => Taken::default(),
        };
        generation::drop_old(tx, author.identity, &document)?;
        let revokes = key.kind == DocumentKind::Roster;
        return Ok(Taken { changed: Some(key), feeds_grow: true, rebased: rebased.rebased, revokes, ..came });
    }
    if !is_beside {
        return Ok(came);
    }
    let settled = settle(tx, author, peer, &document, loads)?;
    Ok(Taken {
        changed: settled.changed.or(came.changed),
        feeds_grow: settled.feeds_grow || came.feeds_grow,
        revokes: settled.revokes || came.revokes,
        beside_itself: settled.beside_itself,
        ..came
    })
}

/// What a peer that sent these frontiers holds.
fn holds(document: &StoredDocument, logs: Vec<LogSeq>, clock: Clock) -> Holds {
    let is_layer = document.key.kind == DocumentKind::Layer;
    Holds { document: document.row, logs, clock: is_layer.then_some(clock) }
}

/// Frontiers stand beside each other: who may writes one above them, and anyone else owes what is held to the author.
fn settle(
    tx: &Tx<'_>,
    author: &Author<'_>,
    peer: &PeerRow,
    document: &StoredDocument,
    loads: &mut Loads,
) -> Result<Taken, TakeError> {
    let key = &document.key;
    let may_merge = is_own(author.identity, key);
    #[cfg(feature = "mutants")]
    let may_merge = may_merge || author.identity.role() == Role::Hub && planted(Mutant::HubMergesReports);
    if may_merge {
        let merged = merge(tx, author, document, loads)?;
        // Merging a roster carries its revocations out as well; whose links they end is looked up.
        let revokes = merged && key.kind == DocumentKind::Roster;
        return Ok(Taken { changed: merged.then(|| key.clone()), feeds_grow: merged, revokes, ..Taken::default() });
    }
    let beside_itself = match key.author_group() {
        AuthorGroup::Node(node) => Some(node),
        AuthorGroup::Hubs => None,
    };
    Ok(Taken { feeds_grow: owe_to_author(tx, peer, document)?, beside_itself, ..Taken::default() })
}

/// Reads the state at each of these frontiers, and shows that of the newest; whether it takes an enrolment back.
fn show(
    tx: &Tx<'_>,
    author: &Author<'_>,
    peer: &PeerRow,
    document: &StoredDocument,
    loaded: &automerge::Automerge,
    new: &[&(SignedFrontier, Clock)],
    latest: Option<(LogSeq, &SignedFrontier)>,
) -> Result<bool, TakeError> {
    let mut revokes = false;
    for (signed, _) in new {
        // A release may name any of them.
        let state = materialise::state_at(loaded, &signed.frontier().heads)?;
        if let Some((seq, _)) = latest.filter(|(_, newest)| newest.frontier().heads == signed.frontier().heads) {
            tx.set_latest(document.row, seq)?;
            #[cfg(feature = "mutants")]
            let state = match tx.view(document.row)? {
                Some(before) if new.len() > 1 && planted(Mutant::ViewOfBatchForgotten) => before,
                _ => state,
            };
            tx.set_view(document.row, seq, &state)?;
            tx.settle(document.row, Some(peer))?;
            mark_dirty(tx, author.identity, &document.key)?;
            revokes = members::follow(tx, author.identity, &document.key, &state)?;
        }
    }
    Ok(revokes)
}

/// The generation with what was admitted to it, which the store holds already.
fn load_with(
    tx: &Tx<'_>,
    document: DocumentRow,
    generation: u32,
    kept: Option<Loaded>,
    admitted: &AdmittedDelta,
    loads: &mut Loads,
) -> Result<automerge::Automerge, TakeError> {
    if let Some(kept) = kept {
        let chunks = admitted.changes().iter().map(|(_, chunk)| chunk);
        return Ok(materialise::extend(kept.document, chunks)?);
    }
    loads.count += 1;
    Ok(materialise::load(&tx.chunks(document, generation)?, None)?)
}

/// Whether the document stays loaded. What does not is let go at once, so that it takes no memory beside a large document.
fn is_kept(identity: &Identity, key: &DocumentKey, ground: &(History, Operations)) -> bool {
    (identity.role() == Role::Hub || is_own(identity, key)) && loads::may_keep(ground)
}

/// Checks the records that came with a delta: signed by the document's authors, each the generation after the one before, the
/// last the delta's own.
fn authentic_roots(
    tx: &Tx<'_>,
    identity: &Identity,
    key: &DocumentKey,
    generation: u32,
    claims: Vec<UnverifiedRoot>,
) -> Result<Vec<SignedRoot>, TakeError> {
    let mut roots: Vec<SignedRoot> = Vec::new();
    for claim in claims {
        let number = claim.root.generation;
        let authors = authors(tx, identity, &[claim.author])?;
        let root = admission::authenticate_root(claim, key, &authors.known)?;
        if roots.last().is_some_and(|last| last.root().generation.checked_add(1) != Some(number)) {
            return Err(Refusal::Root { generation: number }.into());
        }
        roots.push(root);
    }
    match roots.last() {
        Some(last) if last.root().generation != generation => Err(Refusal::Root { generation }.into()),
        _ => Ok(roots),
    }
}

/// Signs one frontier over two that are beside each other (decision D7). Every hub that holds the same two signs the same
/// heads, so it is held already wherever another's word comes, and hubs do not answer each other for ever. A node, whose
/// documents nobody else writes, has met its own past: what it says now stands.
fn merge(tx: &Tx<'_>, author: &Author<'_>, document: &StoredDocument, loads: &mut Loads) -> Result<bool, TakeError> {
    let state = match author.identity.role() {
        Role::Hub => None,
        Role::Node => tx.view(document.row)?,
    };
    #[cfg(feature = "mutants")]
    let state = if planted(Mutant::HomeMergesItsOwnView)
        && super::roster::read(tx)?.home_of(&document.key).is_some_and(|home| home.hub == author.identity.id())
    {
        tx.view(document.row)?
    } else {
        state
    };
    match tx.attempt(|| write::write(tx, author, document, state.as_ref(), loads)) {
        Ok(_) => Ok(true),
        Err(WriteError::Store(error)) => Err(error.into()),
        Err(error) => {
            loads.undo(document.key.id());
            tracing::error!(document = %document.key, %error, "concurrent frontiers cannot be merged; both are kept");
            Ok(false)
        }
    }
}

/// A frontier came beside the one held here, and this replica may not merge them: whoever may, and does not hold both, gets
/// the one held here. This is how nodes bring a restored hub forward (invariant 5), and hubs a restored node.
fn owe_to_author(tx: &Tx<'_>, peer: &PeerRow, document: &StoredDocument) -> Result<bool, StoreError> {
    let author = match document.key.author_group() {
        AuthorGroup::Hubs => (peer.role == Role::Hub).then(|| peer.clone()),
        AuthorGroup::Node(node) => tx.peer(node)?,
    };
    if let Some(author) = &author {
        tx.owe(author, document.row)?;
    }
    Ok(author.is_some())
}

/// Adds a document with its genesis.
pub(super) fn create(tx: &Tx<'_>, key: &DocumentKey) -> Result<StoredDocument, StoreError> {
    let document = tx.add_document(key, 0)?;
    let genesis = genesis::genesis(key);
    tx.add_change(document.row, 0, &genesis.meta, &genesis.bytes)?;
    Ok(document)
}

/// Who may have written, and who of them is revoked.
struct KnownAuthors {
    known: Authors,
    revoked: BTreeSet<NodeId>,
}

/// What is known of the authors of frontiers.
fn authors(tx: &Tx<'_>, identity: &Identity, signers: &[NodeId]) -> Result<KnownAuthors, StoreError> {
    let own: (PublicKey, Role) = (identity.key().public(), identity.role());
    let (mut known, mut revoked) = (Vec::new(), BTreeSet::new());
    for signer in signers {
        if *signer == identity.id() {
            known.push(own);
        } else if let Some(row) = tx.peer(*signer)? {
            known.push((row.key, row.role));
            revoked.extend(row.revoked.then_some(*signer));
        }
    }
    let mut hubs = tx.hubs_ever()?;
    if identity.role() == Role::Hub {
        hubs.push(identity.id());
    }
    Ok(KnownAuthors { known: Authors { known, hubs }, revoked })
}

/// Marks the peers whose feed a newer frontier of this document may touch. A hub that sent it gets the entry all the same,
/// without content, so that the feed stays a full account.
pub(super) fn mark_dirty(tx: &Tx<'_>, identity: &Identity, key: &DocumentKey) -> Result<(), StoreError> {
    match (identity.role(), key.kind) {
        (Role::Node, _) if !is_own(identity, key) => Ok(()),
        (Role::Hub, DocumentKind::Layer | DocumentKind::Release | DocumentKind::Roster) => tx.mark_all_dirty(),
        (Role::Hub, DocumentKind::Assignment) => {
            if let Some(owner) = key.owner {
                tx.mark_dirty(owner)?;
            }
            tx.mark_hubs_dirty()
        }
        _ => tx.mark_hubs_dirty(),
    }
}

/// The document left our scope. What was applied stays applied: only a newer assignment or release deletes
/// (invariant 5). The document itself stays until its space is needed.
pub(super) fn take_leave(tx: &Tx<'_>, peer: &PeerRow, key: &DocumentKey) -> Result<Taken, StoreError> {
    tx.drop_staged(peer, key.id())?;
    if let Some(document) = tx.document(key.id())? {
        tracing::info!(document = %document.key, "left the scope");
    }
    Ok(Taken::default())
}
