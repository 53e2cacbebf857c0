//! Each check is broken by a history made by hand, and is silent about the same history without the fault.

use sync_core::document::generation::Extent;
use sync_core::document::{ActorBytes, Clock, DocumentKey, Heads};
use sync_core::id::{ChangeHash, Incarnation, Name, NodeId, Nonce, StoreId};
use sync_core::identity::Role;
use sync_core::state::observed::{AppliedStamp, Stamp};
use sync_core::store::{PeerTraffic, TableSizes};

use super::*;
use crate::holding::{Agent, HeldChange, HeldDocument, HeldFrontier, HeldPeer, Look, Wanted};
use crate::plan::Plan;
use crate::trace::{Happening, Text, Told, Work};

const HUB: NodeId = NodeId([1; 32]);
const NODE: NodeId = NodeId([2; 32]);
const OTHER: NodeId = NodeId([3; 32]);
const MINUTE: u64 = 60_000_000;

fn actor(node: NodeId, boot: u8) -> ActorBytes {
    let mut bytes = [boot; 16];
    bytes[..8].copy_from_slice(&node.0[..8]);
    ActorBytes(bytes)
}

fn clock(of: &[(ActorBytes, u64)]) -> Clock {
    let mut clock = Clock::default();
    of.iter().for_each(|(actor, seq)| clock.raise(*actor, *seq));
    clock
}

fn frontier(author: NodeId, head: u8, clock: Clock) -> HeldFrontier {
    let heads = Heads::new(vec![ChangeHash([head; 32])]).unwrap();
    HeldFrontier { generation: 0, heads, version: u64::from(head), author, clock }
}

fn document(key: DocumentKey, latest: HeldFrontier) -> HeldDocument {
    HeldDocument {
        key,
        generation: latest.generation,
        line: None,
        held: latest.clock.clone(),
        view: Some([latest.heads.hashes()[0].0[0]; 32]),
        timeless: None,
        pending: None,
        generations: vec![latest.generation],
        extent: Extent::default(),
        signed: Vec::new(),
        latest: Some(latest),
    }
}

fn holding(node: NodeId, documents: Vec<HeldDocument>) -> Holding {
    Holding {
        look: Look::Changes,
        node,
        role: if node == HUB { Role::Hub } else { Role::Node },
        store: StoreId([node.0[0]; 16]),
        incarnation: Incarnation { number: 1, nonce: Nonce([0; 8]) },
        documents: documents.into_iter().map(|document| (document.key.id(), document)).collect(),
        peers: BTreeMap::new(),
        changes: Vec::new(),
        sizes: Some(TableSizes::default()),
        agent: Agent::default(),
        wanted: BTreeMap::new(),
    }
}

fn peer(of: &Holding, acknowledged: &[&HeldDocument]) -> HeldPeer {
    let promise = |document: &&HeldDocument| (document.key.id(), document.latest.clone().unwrap());
    HeldPeer {
        role: of.role,
        name: None,
        is_revoked: false,
        is_staged: false,
        store: Some((of.store, of.incarnation)),
        head: 1,
        acked: 1,
        acknowledged: acknowledged.iter().map(promise).collect(),
        feed: (1, 0),
        clones: 0,
        forks: 0,
        traffic: PeerTraffic::default(),
    }
}

fn layer() -> DocumentKey {
    DocumentKey::layer(&Name::new("base").unwrap())
}

fn stamp(frontier: &HeldFrontier) -> Stamp {
    let heads = frontier.heads.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    Stamp { version: frontier.version, heads }
}

/// A run with one check in which a hub, a node and another node are up.
struct Run {
    checks: Checks,
    at: u64,
}

impl Run {
    fn new(check: Check) -> Self {
        let mut run = Self { checks: Checks::new(&[check]), at: 0 };
        for (member, node) in [("hub", HUB), ("n-1", NODE), ("n-2", OTHER)] {
            let (member, is_hub) = (Text::from(member), node == HUB);
            run.tell(Happening::Started { member, boot: 1, node, is_hub, clock_is_wrong: false });
        }
        run
    }

    fn tell(&mut self, what: Happening) {
        self.checks.happened(&Entry { at: self.at, what });
    }

    fn fault(&mut self, member: &str, kind: &str) {
        self.tell(Happening::Fault { member: member.into(), kind: kind.into(), mattered: true });
    }

    fn show(&mut self, holding: &Holding) {
        self.show_with(holding, None);
    }

    fn show_with(&mut self, holding: &Holding, target: Option<&BTreeMap<String, ObjectHash>>) {
        let member = self.checks.facts().name(&holding.node).unwrap().clone();
        self.checks.held(&Held { member: &member, at: self.at, holding, target });
    }

    /// The one sentence, if there is one.
    fn broken(&mut self) -> Option<String> {
        let broken = self.checks.take_broken();
        assert!(broken.len() < 2, "{broken:?}");
        broken.into_iter().next().map(|broken| broken.to_string())
    }

    fn unjudged(&self) -> u64 {
        self.checks.verdicts().map(|(_, _, unjudged)| unjudged).sum()
    }
}

#[test]
fn what_was_acknowledged_and_is_not_held_breaks_invariant_1() {
    let promised = document(layer(), frontier(HUB, 2, clock(&[(actor(HUB, 1), 2)])));
    let older = document(layer(), frontier(HUB, 1, clock(&[(actor(HUB, 1), 1)])));
    let run = |node: Vec<HeldDocument>, fault: Option<&str>| {
        let node = holding(NODE, node);
        let mut hub = holding(HUB, vec![promised.clone()]);
        hub.peers.insert(NODE, peer(&node, &[&promised]));
        let mut run = Run::new(Check::AcknowledgedIsKept);
        run.show(&hub);
        fault.into_iter().for_each(|kind| run.fault("n-1", kind));
        run.show(&node);
        assert_eq!(run.broken(), None, "it may have left the node's scope");
        run.show(&hub);
        (run.broken(), run.unjudged())
    };
    assert_eq!(run(vec![promised.clone()], None), (None, 0));
    let lost = "invariant 1: n-1 acknowledged layer base up to version 2 to hub and does not hold it";
    let (broken, _) = run(vec![older.clone()], None);
    assert!(broken.is_some_and(|broken| broken.starts_with("invariant 1: n-1 acknowledged")), "{lost}");
    assert!(run(Vec::new(), None).0.is_some());
    let (broken, unjudged) = run(vec![older], Some("restore-backup"));
    assert!(broken.is_none() && unjudged > 0);
}

#[test]
fn a_number_used_twice_breaks_invariant_2() {
    let change = |hash: u8| HeldChange {
        document: layer().id(),
        generation: 0,
        actor: actor(HUB, 1),
        seq: 1,
        hash: ChangeHash([hash; 32]),
        is_genesis: false,
    };
    let of = |node, hash| {
        let mut held = holding(node, vec![document(layer(), frontier(HUB, 1, clock(&[(actor(HUB, 1), 1)])))]);
        held.changes.push(change(hash));
        held
    };
    let mut run = Run::new(Check::DurableBeforeSent);
    run.show(&of(HUB, 7));
    run.show(&of(NODE, 7));
    assert_eq!(run.broken(), None);
    run.show(&of(OTHER, 8));
    assert!(run.broken().unwrap().starts_with("invariant 2: hub and n-2 hold two changes of"));
}

#[test]
fn numbers_that_somebody_with_a_stolen_key_used_twice_are_not_judged() {
    let key = DocumentKey::observed(NODE);
    let change = |hash: u8, document| HeldChange {
        document,
        generation: 0,
        actor: actor(NODE, 1),
        seq: 1,
        hash: ChangeHash([hash; 32]),
        is_genesis: false,
    };
    let run = |fault: Option<&str>| {
        let mut run = Run::new(Check::DurableBeforeSent);
        fault.into_iter().for_each(|kind| run.fault("n-1", kind));
        for (at, hash) in [(HUB, 7), (OTHER, 8)] {
            let mut held = holding(at, vec![document(key.clone(), frontier(NODE, 1, clock(&[(actor(NODE, 1), 1)])))]);
            held.changes.push(change(hash, key.id()));
            run.show(&held);
        }
        run.broken().is_some()
    };
    assert!(run(None) && !run(Some("hostile")));
}

#[test]
fn an_author_that_lacks_what_others_hold_of_it_breaks_invariant_2() {
    let key = DocumentKey::observed(NODE);
    let of = |node, seq| holding(node, vec![document(key.clone(), frontier(NODE, 1, clock(&[(actor(NODE, 1), seq)])))]);
    let run = |fault: Option<&str>| {
        let mut run = Run::new(Check::DurableBeforeSent);
        run.show(&of(NODE, 1));
        run.show(&of(HUB, 2));
        assert_eq!(run.broken(), None);
        fault.into_iter().for_each(|kind| run.fault("n-1", kind));
        run.show(&of(NODE, 1));
        (run.broken(), run.unjudged())
    };
    assert!(run(None).0.unwrap().starts_with("invariant 2: hub holds 2 changes of an actor of n-1"));
    assert_eq!(run(Some("wipe-store")), (None, 1));
    // The hub still holds a generation that the node has cut and dropped.
    let mut run = Run::new(Check::DurableBeforeSent);
    let mut hub = of(HUB, 1);
    hub.documents.values_mut().for_each(|document| document.held.raise(actor(NODE, 7), 5));
    run.show(&hub);
    run.show(&of(NODE, 1));
    assert_eq!(run.broken(), None);
    // What was told before a loss and is first seen after it is not judged either; what comes later is.
    let mut run = Run::new(Check::DurableBeforeSent);
    run.fault("n-1", "restore-backup");
    run.show(&of(HUB, 2));
    run.show(&of(NODE, 1));
    assert_eq!((run.broken(), run.unjudged()), (None, 1));
    let later =
        |node, seq| holding(node, vec![document(key.clone(), frontier(NODE, 2, clock(&[(actor(NODE, 2), seq)])))]);
    run.show(&later(HUB, 2));
    run.show(&later(NODE, 1));
    assert!(run.broken().is_some());
}

#[test]
fn two_states_at_the_same_heads_break_invariant_3() {
    let at = frontier(HUB, 1, clock(&[(actor(HUB, 1), 1)]));
    let mut run = Run::new(Check::SameChangesSameState);
    run.show(&holding(HUB, vec![document(layer(), at.clone())]));
    run.show(&holding(NODE, vec![document(layer(), at.clone())]));
    assert_eq!(run.broken(), None);
    let mut other = document(layer(), at);
    other.view = Some([9; 32]);
    run.show(&holding(OTHER, vec![other]));
    assert!(run.broken().unwrap().starts_with("invariant 3: hub and n-2 hold"));
}

/// A hub and a node that applied one release after another, each signed by whom and with which changes.
fn applies(first: &HeldFrontier, second: &HeldFrontier) -> Run {
    let release = DocumentKey::release(&Name::new("main").unwrap());
    let assignment = frontier(HUB, 50, clock(&[(actor(HUB, 1), 1)]));
    let mut run = Run::new(Check::SignedAndComplete);
    for applied in [first, second] {
        let key = DocumentKey::assignment(NODE);
        let documents = vec![document(release.clone(), applied.clone()), document(key, assignment.clone())];
        let mut node = holding(NODE, documents);
        let (release, assignment) = (stamp(applied), stamp(&assignment));
        node.agent.applied = Some(AppliedStamp { assignment, release, layers: BTreeMap::new(), at: None });
        run.show(&node);
    }
    run
}

#[test]
fn what_no_hub_signed_and_what_is_not_newer_break_invariant_4() {
    let of = |author, head, boot, seq| frontier(author, head, clock(&[(actor(HUB, boot), seq)]));
    assert_eq!(applies(&of(HUB, 1, 1, 1), &of(HUB, 2, 1, 2)).broken(), None);
    let older = applies(&of(HUB, 2, 1, 2), &of(HUB, 1, 1, 1)).broken().unwrap();
    assert_eq!(older, "invariant 4: n-1 went from release v2 to v1, which does not include it");
    assert!(applies(&of(HUB, 1, 1, 1), &of(HUB, 2, 2, 2)).broken().is_some(), "beside it");
    let unsigned = applies(&of(HUB, 1, 1, 1), &of(OTHER, 2, 1, 2)).broken().unwrap();
    assert_eq!(unsigned, "invariant 4: n-1 applied release v2, which no hub has signed");
}

#[test]
fn one_release_with_two_contents_breaks_invariant_4() {
    let mut run = Run::new(Check::SignedAndComplete);
    for (node, content) in [(NODE, 1), (OTHER, 2)] {
        let mut held = holding(node, Vec::new());
        let release = Stamp { version: 1, heads: "ab".to_owned() };
        held.agent.applied =
            Some(AppliedStamp { assignment: release.clone(), release, layers: BTreeMap::new(), at: None });
        held.agent.objects.insert("a".to_owned(), ObjectHash([content; 32]));
        assert_eq!(run.broken(), None);
        run.show(&held);
    }
    assert!(run.broken().unwrap().ends_with("with the same layers and hold different objects"));
}

/// What a hub says that a node is to hold under these heads.
fn wants(heads: &str, objects: &[&str]) -> Holding {
    let mut hub = holding(HUB, Vec::new());
    let objects = objects.iter().map(|key| ((*key).to_owned(), ObjectHash([1; 32]))).collect();
    let wanted = Wanted { assignment: heads.to_owned(), release: heads.to_owned(), objects };
    hub.wanted.insert(NODE, wanted);
    hub
}

#[test]
fn a_release_of_which_something_is_missing_breaks_invariant_4() {
    let run = |objects: &[&str]| {
        let mut run = Run::new(Check::SignedAndComplete);
        let mut node = holding(NODE, Vec::new());
        let release = Stamp { version: 1, heads: "1".to_owned() };
        node.agent.applied =
            Some(AppliedStamp { assignment: release.clone(), release, layers: BTreeMap::new(), at: None });
        node.agent.objects = objects.iter().map(|key| ((*key).to_owned(), ObjectHash([1; 32]))).collect();
        run.show(&wants("1", &["a", "b"]));
        run.show(&node);
        run.broken()
    };
    assert_eq!(run(&["a", "b"]), None);
    assert_eq!(run(&["a"]).unwrap(), "invariant 4: n-1 applied release v1 and does not hold what a hub has under it");
}

#[test]
fn a_removal_of_what_every_release_names_breaks_invariant_5() {
    let run = |releases: &[Holding], has_missed: bool| {
        let mut run = Run::new(Check::MissingDeletesNothing);
        releases.iter().for_each(|hub| run.show(hub));
        if has_missed {
            run.checks.missed_a_release();
        }
        run.tell(Happening::Removed { member: "n-1".into(), key: "b".into() });
        run.tell(Happening::Put { member: "n-1".into(), key: "b".into() });
        (run.broken(), run.unjudged())
    };
    let (both, one) = (wants("1", &["a", "b"]), wants("2", &["a"]));
    assert_eq!(run(&[both.clone(), one], false), (None, 0));
    assert_eq!(run(std::slice::from_ref(&both), true), (None, 1));
    assert_eq!(run(&[], false), (None, 1));
    let (broken, _) = run(&[both], false);
    assert_eq!(broken.unwrap(), "invariant 5: n-1 removed b, which every release for it names");
}

#[test]
fn who_lacks_what_it_said_though_nothing_took_it_breaks_invariants_1_and_2() {
    let parted = Happening::Replica { member: "hub".into(), event: Told::Diverged(NODE) };
    let anew = Happening::Replica { member: "n-1".into(), event: Told::NewIncarnation(2) };
    for (check, what, sentence) in [
        (Check::AcknowledgedIsKept, parted, "invariant 1: hub and n-1 had parted"),
        (Check::DurableBeforeSent, anew, "invariant 2: n-1 had to begin anew"),
    ] {
        let mut run = Run::new(check);
        run.fault("n-1", "power-loss");
        run.tell(what.clone());
        assert!(run.broken().unwrap().starts_with(sentence));
        run.fault("n-2", "restore-backup");
        run.tell(what);
        assert_eq!((run.broken(), run.unjudged()), (None, 1));
    }
}

#[test]
fn a_removal_that_no_newer_release_asks_for_breaks_invariant_5() {
    let applied = |version: u64, objects: &[&str]| {
        let mut held = holding(NODE, Vec::new());
        let release = Stamp { version, heads: version.to_string() };
        held.agent.applied =
            Some(AppliedStamp { assignment: release.clone(), release, layers: BTreeMap::new(), at: None });
        held.agent.objects = objects.iter().map(|key| ((*key).to_owned(), ObjectHash([1; 32]))).collect();
        held
    };
    let run = |after: &Holding| {
        let mut run = Run::new(Check::MissingDeletesNothing);
        run.show(&applied(1, &["a", "b"]));
        run.tell(Happening::Removed { member: "n-1".into(), key: "b".into() });
        run.show(after);
        run.broken()
    };
    assert_eq!(run(&applied(2, &["a"])), None);
    assert_eq!(
        run(&applied(1, &["a"])).unwrap(),
        "invariant 5: n-1 removed b and applied no other assignment or release"
    );
    assert_eq!(
        run(&applied(2, &["a", "b"])).unwrap(),
        "invariant 5: n-1 removed b, which the release that it applied names"
    );
    let mut under_way = applied(1, &["a", "b"]);
    under_way.agent.inventory.insert("b".to_owned(), false);
    assert_eq!(run(&under_way), None);
    // Set back after the removal: what it applied then it has forgotten. Nor does anybody know here what releases name.
    let mut run = Run::new(Check::MissingDeletesNothing);
    run.show(&applied(1, &["a", "b"]));
    run.tell(Happening::Removed { member: "n-1".into(), key: "b".into() });
    run.fault("n-1", "restore-backup");
    run.show(&applied(1, &["a", "b"]));
    assert_eq!((run.broken(), run.unjudged()), (None, 2));
}

#[test]
fn what_others_wrote_or_signed_breaks_invariant_6() {
    let key = DocumentKey::observed(NODE);
    let run = |at: NodeId, signer: NodeId, writer: NodeId| {
        let mut held = holding(at, vec![document(key.clone(), frontier(signer, 1, clock(&[(actor(NODE, 1), 1)])))]);
        let (document, hash) = (key.id(), ChangeHash([1; 32]));
        held.changes.push(HeldChange {
            document,
            generation: 0,
            actor: actor(writer, 1),
            seq: 1,
            hash,
            is_genesis: false,
        });
        let mut run = Run::new(Check::WhoSigned);
        run.show(&held);
        run.broken()
    };
    assert_eq!(run(HUB, NODE, NODE), None);
    assert!(run(HUB, HUB, NODE).unwrap().ends_with("that hub has signed"));
    assert!(run(HUB, NODE, OTHER).unwrap().ends_with("by an actor of somebody else"));
    assert!(run(OTHER, NODE, NODE).unwrap().ends_with("which is not in its scope"));
}

#[test]
fn talking_to_somebody_revoked_breaks_invariant_6() {
    let run = |is_revoked: bool, fault: Option<&str>| {
        let node = holding(NODE, Vec::new());
        let mut hub = holding(HUB, Vec::new());
        hub.peers.insert(NODE, HeldPeer { is_revoked, ..peer(&node, &[]) });
        let mut run = Run::new(Check::WhoSigned);
        run.show(&hub);
        fault.into_iter().for_each(|kind| run.fault("hub", kind));
        run.tell(Happening::LinkLive { member: "hub".into(), peer: NODE });
        run.broken()
    };
    assert_eq!(run(false, None), None);
    assert_eq!(run(true, Some("restore-backup")), None, "it may have forgotten");
    let broken = run(true, None).unwrap();
    assert_eq!(broken, "invariant 6: hub talks to n-1, of which it knows that it is revoked");
}

#[test]
fn a_table_past_its_bound_breaks_invariant_7() {
    let run = |rows: u64, changes: u64| {
        let mut report = document(DocumentKey::observed(NODE), frontier(NODE, 1, Clock::default()));
        report.extent.changes = changes;
        let mut held = holding(NODE, vec![report]);
        let mut sizes = TableSizes::default();
        sizes.quarantine.rows = rows;
        held.sizes = Some(sizes);
        let mut run = Run::new(Check::Bounded);
        run.show(&held);
        run.broken()
    };
    assert_eq!(run(256, 1_024), None);
    assert_eq!(run(257, 1).unwrap(), "invariant 7: n-1 holds 257 entries in quarantine, and 256 is the bound");
    assert!(run(1, 1_100).unwrap().ends_with("which was not cut"));
}

#[test]
fn a_panic_a_failure_without_a_fault_and_a_wrong_blame_break_invariant_8() {
    let panicked = Happening::Panicked { member: "n-1".into(), message: "oh".to_owned() };
    let failed = Happening::Failed { member: "n-1".into(), message: "oh".to_owned() };
    let blames = |peer: NodeId, document: Option<DocumentKey>| {
        let document = document.map(|key| key.id().to_string());
        let event = Told::Quarantined { peer, document, reason: "bad".to_owned() };
        Happening::Replica { member: "hub".into(), event }
    };
    let blamed = blames(NODE, None);
    for what in [panicked.clone(), failed.clone(), blamed.clone()] {
        let mut run = Run::new(Check::NoInputBreaks);
        run.tell(what);
        assert!(run.broken().unwrap().starts_with("invariant 8: "));
    }
    for (what, fault, is_broken) in
        [(panicked, "disk-full", true), (failed, "disk-full", false), (blamed, "hostile", false)]
    {
        let mut run = Run::new(Check::NoInputBreaks);
        run.fault("n-1", fault);
        run.tell(what);
        assert_eq!(run.broken().is_some(), is_broken, "{fault}");
    }
    // Who carries what somebody signed with a stolen key is not to blame; who sends something else is.
    for (document, is_broken) in [(DocumentKey::observed(NODE), false), (DocumentKey::observed(OTHER), true)] {
        let mut run = Run::new(Check::NoInputBreaks);
        run.fault("n-1", "hostile");
        run.tell(blames(OTHER, Some(document)));
        assert_eq!(run.broken().is_some(), is_broken);
    }
}

#[test]
fn an_end_that_hangs_on_clocks_breaks_invariant_9() {
    let ending = |content: u8| -> clocks::Ending {
        let objects = [("a".to_owned(), ObjectHash([content; 32]))].into();
        [(Text::from("n-1"), objects)].into()
    };
    assert_eq!(clocks::difference(&ending(1), &ending(1)), None);
    let other = clocks::difference(&ending(2), &ending(1)).unwrap();
    assert_eq!(other, "n-1 holds another a with wrong clocks than with right ones");
    assert!(clocks::difference(&clocks::Ending::new(), &ending(1)).is_some());
    assert!(clocks::difference(&ending(1), &clocks::Ending::new()).is_some());
}

#[test]
fn only_a_plan_with_wrong_clocks_has_one_with_right_ones() {
    let plan = |more: &str| {
        let text = format!("name = \"x\"\nrehearses = \"x\"\nduration = \"2h\"\n[[group]]\nname = \"a\"\n{more}");
        let scenario = crate::scenario::Scenario::parse("x.toml", &text).unwrap();
        Plan::expand(&scenario, 1, crate::scenario::Depth::Stack).unwrap()
    };
    assert_eq!(clocks::with_right_clocks(&plan("")), None);
    let wrong = plan("[[event]]\nkind = \"clock-1970\"\nat = [\"10m\"]\n");
    assert_eq!(clocks::with_right_clocks(&wrong), Some(plan("")));
}

/// A node that applied an object, has it in its target, and has recorded its report.
fn settled() -> (Holding, BTreeMap<String, ObjectHash>) {
    let mut report = document(DocumentKey::observed(NODE), frontier(NODE, 1, Clock::default()));
    report.pending = Some([5; 32]);
    let mut held = holding(NODE, vec![report]);
    let release = Stamp { version: 1, heads: "ab".to_owned() };
    held.agent.applied = Some(AppliedStamp { assignment: release.clone(), release, layers: BTreeMap::new(), at: None });
    held.agent.objects.insert("a".to_owned(), ObjectHash([1; 32]));
    held.agent.report = Some([5; 32]);
    let target = held.agent.objects.clone();
    (held, target)
}

#[test]
fn drift_that_stays_what_is_forgotten_and_what_is_not_recorded_break_invariant_10() {
    let run = |at: u64, change: &dyn Fn(&mut Holding, &mut BTreeMap<String, ObjectHash>)| {
        let (mut held, mut target) = settled();
        let mut run = Run::new(Check::ComesBackAlone);
        run.at = 10 * MINUTE;
        run.show_with(&held, Some(&target));
        assert_eq!(run.broken(), None);
        run.tell(Happening::Work { member: "n-1".into(), work: Work::Other { word: "target-edit".into() } });
        change(&mut held, &mut target);
        run.at += at;
        run.show_with(&held, Some(&target));
        run.broken()
    };
    let drift = |_: &mut Holding, target: &mut BTreeMap<String, ObjectHash>| target.clear();
    assert_eq!(run(MINUTE, &drift), None, "it may still be put right");
    assert_eq!(run(9 * MINUTE, &drift).unwrap(), "invariant 10: n-1 has left a in its target as it should not be");
    let forget = |held: &mut Holding, _: &mut BTreeMap<String, ObjectHash>| held.agent.applied = None;
    assert_eq!(run(MINUTE, &forget).unwrap(), "invariant 10: n-1 has forgotten what it applied");
    let silent = |held: &mut Holding, _: &mut BTreeMap<String, ObjectHash>| held.agent.report = Some([6; 32]);
    assert_eq!(run(9 * MINUTE, &silent).unwrap(), "invariant 10: n-1 has not recorded its report");
}

#[test]
fn what_only_a_lost_store_named_may_stay_in_the_target() {
    let left = |fault: Option<&str>| {
        let (held, mut target) = settled();
        target.insert("b".to_owned(), ObjectHash([2; 32]));
        let mut run = Run::new(Check::ComesBackAlone);
        fault.into_iter().for_each(|fault| run.fault("n-1", fault));
        run.at += 10 * MINUTE;
        run.show_with(&held, Some(&target));
        run.broken()
    };
    assert_eq!(left(None).unwrap(), "invariant 10: n-1 has left b in its target as it should not be");
    assert_eq!(left(Some("wipe-store")), None);
}

#[test]
fn members_that_differ_in_the_end_do_not_agree() {
    let run = Run::new(Check::Converges);
    let of =
        |node, head| holding(node, vec![document(DocumentKey::observed(NODE), frontier(NODE, head, Clock::default()))]);
    let all = |hub, node| -> BTreeMap<Text, Holding> { [("hub".into(), hub), ("n-1".into(), node)].into() };
    assert_eq!(difference(run.checks.facts(), &all(of(HUB, 1), of(NODE, 1))), None);
    let differs = difference(run.checks.facts(), &all(of(HUB, 1), of(NODE, 2))).unwrap();
    assert!(differs.starts_with("hub and n-1 hold different frontiers of"));
    let mut waits = of(NODE, 1);
    waits.documents.values_mut().for_each(|document| document.pending = Some([1; 32]));
    assert_eq!(difference(run.checks.facts(), &all(of(HUB, 1), waits)).unwrap(), "n-1 has a report that nobody has");
}
