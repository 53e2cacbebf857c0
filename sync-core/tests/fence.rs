//! The send fence: whatever crashes between a report and its acknowledgement, no number of an actor is used for two changes,
//! the last report arrives, and a report that was replaced before a link came up never becomes a change (invariants 1 and 2,
//! decision D3).
//!
//! A crash is an unwinding out of the engine at one of its crash points; the machine goes on from a copy of its folder that was
//! taken at that moment. Everything random comes from a seed, which a failure names.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/machine.rs"]
mod machine;
#[path = "fleet/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use automerge::legacy::OpType;
use automerge::{Change, ScalarValue};
use serde_json::json;
use sync_core::document::codec::{self, Known};
use sync_core::document::genesis::genesis;
use sync_core::document::scan::scan_change;
use sync_core::document::{ActorBytes, DocumentKey};
use sync_core::env::CrashPoint;
use sync_core::id::{ChangeHash, LinkId, Name};
use sync_core::identity::{CertificateAuthority, Role};
use sync_core::replica::{Output, WriteError};
use sync_core::store::{StoreError, chain_origin};
use sync_core::wire::{Message, PushEntry};

use machine::{Crashed, Machine, NOW};
use world::{Seeded, map};

/// Crash points that a replica passes by itself. Those around the hand-over to a transport are the driver's own: it takes
/// some outputs and not the others. Those of the agent's target are not the engine's.
const POINTS: [CrashPoint; 7] = [
    CrashPoint::WriteBeforeCommit,
    CrashPoint::WriteAfterCommit,
    CrashPoint::FeedBeforeCommit,
    CrashPoint::ReceiveBeforeCommit,
    CrashPoint::ReceiveAfterCommit,
    CrashPoint::BeforeAcknowledge,
    CrashPoint::AcknowledgeBeforeCommit,
];

const NODE: usize = 0;
const HUB: usize = 1;

/// The changes of a document that were seen, by the names that must be theirs alone.
#[derive(Debug, Default)]
struct Ledger {
    /// Hash and last counter.
    by_number: BTreeMap<(ActorBytes, u64), (ChangeHash, u64)>,
    values: BTreeSet<u64>,
}

/// What left a node its receivers may hold.
impl Known for Ledger {
    fn change(&self, actor: &ActorBytes, seq: u64) -> Option<(ChangeHash, u64)> {
        self.by_number.get(&(*actor, seq)).copied()
    }

    fn actors(&self) -> Vec<ActorBytes> {
        self.by_number.keys().map(|(actor, _)| *actor).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

impl Ledger {
    fn add(&mut self, chunk: &[u8]) -> Result<(), String> {
        let change = scan_change(chunk).map_err(|error| error.to_string())?;
        let place = (change.hash, change.max_op());
        let (first, _) = *self.by_number.entry((change.actor, change.seq)).or_insert(place);
        if first != change.hash {
            let (actor, seq) = (change.actor, change.seq);
            return Err(format!("number {seq} of actor {actor:?} is {first:?} and {:?}", change.hash));
        }
        let change = Change::from_bytes(chunk.to_vec()).map_err(|error| error.to_string())?;
        for operation in change.decode().operations {
            if let OpType::Put(ScalarValue::Str(text)) = operation.action
                && let Some(value) = text.strip_prefix("report ")
            {
                self.values.insert(value.parse().map_err(|_| text.to_string())?);
            }
        }
        Ok(())
    }
}

/// How often each machine was ended where.
type Reached = BTreeMap<(usize, &'static str), u64>;

/// A node that reports, its hub, the link between them, and what must hold.
struct Story {
    numbers: Seeded,
    machines: [Machine; 2],
    link: Option<LinkId>,
    links: u64,
    /// Frames under way from each machine.
    under_way: [VecDeque<Vec<u8>>; 2],
    observed: DocumentKey,
    /// Every change that left the node in a frame, whether or not it arrived.
    left: Ledger,
    reported: u64,
    /// What the hub has to show in the end.
    last: u64,
    /// Reports that were the newest one while a link came up or was up: those that somebody may have seen.
    asked_for: BTreeSet<u64>,
    layers: u64,
}

impl Story {
    fn new(seed: u64) -> Self {
        let mut numbers = Seeded(seed);
        let authority = CertificateAuthority::create(&mut numbers, Name::new("fleet").unwrap()).unwrap();
        let mut machines = [Role::Node, Role::Hub].map(|role| Machine::new(&authority, role, &mut numbers));
        let (node, origin) =
            (machines[NODE].peer.clone(), chain_origin(machines[HUB].store_id(), 1, machines[NODE].peer.id()));
        let introduce = machines[HUB].call(|hub| {
            let add = |edit: &mut sync_core::replica::Edit<'_>| {
                edit.tx().add_peer(node.key(), node.role(), None, origin).map(drop)
            };
            hub.edit(NOW, add)
        });
        introduce.unwrap().unwrap();
        let observed = DocumentKey::observed(node.id());
        let mut left = Ledger::default();
        // Whoever gets the document computes it.
        left.add(&genesis(&observed).bytes).unwrap();
        Self {
            numbers,
            machines,
            link: None,
            links: 0,
            under_way: Default::default(),
            observed,
            left,
            reported: 0,
            last: 0,
            asked_for: BTreeSet::new(),
            layers: 0,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.numbers.next() % bound
    }

    /// Takes up to `count` outputs of a machine: what a transport carried before it died.
    fn take(&mut self, who: usize, count: usize) {
        for _ in 0..count {
            let Some(output) = self.machines[who].replica().poll_output() else { return };
            let Output::Transmit { frame, .. } = output else { continue };
            if who == NODE {
                self.frame_left(&frame);
            }
            if self.link.is_some() {
                self.under_way[who].push_back(frame);
            }
        }
    }

    fn frame_left(&mut self, frame: &[u8]) {
        let Message::Push(push) = Message::decode(frame, self.machines[NODE].peer.id()).unwrap() else { return };
        let Some(PushEntry::Delta(delta)) = push.entry else { return };
        for chunk in codec::unpack(delta.codec, &delta.changes, &self.left).unwrap() {
            self.left.add(&chunk).unwrap();
        }
    }

    /// What became of a call: the outputs are carried, or the machine starts again from where it died.
    fn settle<T>(&mut self, who: usize, result: Result<T, Crashed>) -> Option<T> {
        match result {
            Ok(value) => {
                self.take(who, usize::MAX);
                Some(value)
            }
            Err(crashed) => {
                self.start_from(who, crashed);
                None
            }
        }
    }

    fn start_from(&mut self, who: usize, crashed: Crashed) {
        self.machines[who].start_from(crashed, &mut self.numbers);
        self.lose_link(&[1 - who]);
    }

    /// A link is gone, and what was under way with it; the machines that were not ended notice.
    fn lose_link(&mut self, noticing: &[usize]) {
        let Some(link) = self.link.take() else { return };
        self.under_way = Default::default();
        for who in noticing {
            let result = self.machines[*who].call(|replica| replica.handle_link_down(NOW, link));
            if let Some(result) = self.settle(*who, result) {
                result.unwrap();
            }
        }
    }

    fn report(&mut self) {
        self.reported += 1;
        let value = self.reported;
        let state = map(json!({ "objects": { "web": { "status": format!("report {value}") } } }));
        if self.link.is_some() {
            self.asked_for.insert(value);
        }
        let key = self.observed.clone();
        let result = self.machines[NODE].call(|node| node.edit::<_, WriteError>(NOW, |edit| edit.report(&key, &state)));
        // A commit is the border: before it the report never was, after it the report is the last one.
        if !matches!(&result, Err(crashed) if crashed.point == CrashPoint::WriteBeforeCommit) {
            self.last = value;
        }
        if let Some(result) = self.settle(NODE, result) {
            result.unwrap();
        }
    }

    /// The hub writes too, so that the node receives and acknowledges.
    fn write_at_hub(&mut self) {
        self.layers += 1;
        let node = self.machines[NODE].peer.id();
        let state = map(json!({ "labels": { "count": self.layers.to_string() } }));
        let result = self.machines[HUB].call(|hub| hub.write(NOW, &DocumentKey::assignment(node), &state));
        if let Some(result) = self.settle(HUB, result) {
            result.unwrap();
        }
    }

    fn link_up(&mut self) {
        self.lose_link(&[NODE, HUB]);
        self.links += 1;
        let link = LinkId(self.links);
        self.asked_for.insert(self.last);
        self.link = Some(link);
        for (who, is_dialer) in [(HUB, false), (NODE, true)] {
            if self.link != Some(link) {
                return;
            }
            let peer = self.machines[1 - who].peer.clone();
            let result = self.machines[who].call(|replica| replica.handle_link_up(NOW, link, &peer, is_dialer));
            if let Some(result) = self.settle(who, result) {
                result.unwrap();
            }
        }
    }

    /// Delivers a frame; `false` when none is under way.
    fn deliver(&mut self) -> bool {
        let from = usize::from(self.below(2) == 1);
        let from = if self.under_way[from].is_empty() { 1 - from } else { from };
        let (Some(frame), Some(link)) = (self.under_way[from].pop_front(), self.link) else { return false };
        let to = 1 - from;
        let result = self.machines[to].call(|replica| replica.handle_frame(NOW, link, &frame));
        if let Some(result) = self.settle(to, result) {
            result.unwrap();
        }
        true
    }

    /// One machine dies between two calls.
    fn crash(&mut self, who: usize) {
        let crashed = self.machines[who].crash_now();
        self.start_from(who, crashed);
    }

    /// A machine dies in the middle of handing over what a report made: some frames left, the others did not.
    fn crash_while_handing_over(&mut self) {
        self.reported += 1;
        let (value, key) = (self.reported, self.observed.clone());
        let state = map(json!({ "objects": { "web": { "status": format!("report {value}") } } }));
        let result = self.machines[NODE].call(|node| node.edit::<_, WriteError>(NOW, |edit| edit.report(&key, &state)));
        let Ok(result) = result else { unreachable!("no trap is set") };
        result.unwrap();
        if self.link.is_some() {
            self.asked_for.insert(value);
        }
        self.last = value;
        let some = usize::try_from(self.below(2)).unwrap();
        self.take(NODE, some);
        self.crash(NODE);
    }

    fn step(&mut self) {
        match self.below(16) {
            0..=4 => self.report(),
            5 => self.write_at_hub(),
            6 | 7 => self.link_up(),
            8 => self.lose_link(&[NODE, HUB]),
            9 => {
                let who = usize::from(self.below(2) == 1);
                self.crash(who);
            }
            10 if !self.machines[NODE].is_armed() => self.crash_while_handing_over(),
            11 | 12 => {
                let who = usize::from(self.below(2) == 0);
                let point = POINTS[usize::try_from(self.below(POINTS.len() as u64)).unwrap()];
                let passing = 1 + self.below(2);
                self.machines[who].arm(point, passing);
            }
            _ => {
                for _ in 0..=self.below(6) {
                    self.deliver();
                }
            }
        }
    }

    /// The end: everything works again, and the two talk until neither has more to say.
    fn come_to_rest(&mut self) {
        self.machines.iter_mut().for_each(Machine::disarm);
        self.link_up();
        for _ in 0..100_000 {
            if !self.deliver() {
                return;
            }
        }
        panic!("they do not come to rest");
    }

    fn changes_at(&mut self, who: usize) -> Ledger {
        let key = self.observed.clone();
        let chunks = self.machines[who].replica().inspect(|tx| match tx.document(key.id())? {
            Some(document) => tx.chunks(document.row, document.generation),
            None => Ok::<_, StoreError>(Vec::new()),
        });
        let mut ledger = Ledger::default();
        chunks.unwrap().iter().for_each(|chunk| ledger.add(chunk).unwrap());
        ledger
    }

    fn check(&mut self) {
        let key = self.observed.clone();
        for who in [NODE, HUB] {
            let shown = self.machines[who].replica().read(&key).unwrap();
            let shown = shown.map(|view| view.state["objects"]["web"]["status"].clone());
            let expected = (self.last > 0).then(|| json!(format!("report {}", self.last)));
            assert_eq!(shown, expected, "what machine {who} shows");
            let stored = self.changes_at(who);
            let unseen: Vec<_> = stored.values.difference(&self.asked_for).collect();
            assert!(unseen.is_empty(), "machine {who} holds changes for reports that nobody asked for: {unseen:?}");
            // What left is what is stored, under the same names.
            for (number, hash) in &self.left.by_number {
                assert_eq!(stored.by_number.get(number), Some(hash), "{number:?} left the node; machine {who}");
            }
        }
        let quarantined = self.machines[HUB].replica().inspect(|tx| tx.quarantined()).unwrap();
        assert_eq!(quarantined.iter().map(|entry| &entry.reason).collect::<Vec<_>>(), Vec::<&String>::new());
    }
}

fn play(seed: u64, reached: &mut Reached) -> u64 {
    let mut story = Story::new(seed);
    let steps = 30 + story.below(60);
    for _ in 0..steps {
        story.step();
    }
    story.come_to_rest();
    story.check();
    for who in [NODE, HUB] {
        for point in &story.machines[who].ended_at {
            *reached.entry((who, point.name())).or_default() += 1;
        }
    }
    let stored = story.changes_at(NODE);
    story.reported - stored.values.len() as u64
}

/// `CASES` and `SEED` come from the environment, for longer runs.
#[test]
fn whatever_crashes_at_the_send_fence_no_number_is_used_twice_and_the_last_report_arrives() {
    let number = |name, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (first, cases): (u64, u64) = (number("SEED", 1), number("CASES", 150));
    let (mut reached, mut squashed) = (Reached::new(), 0);
    for seed in first..first + cases {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(seed, &mut reached)));
        match result {
            Ok(count) => squashed += count,
            Err(panic) => {
                eprintln!("repeat with SEED={seed} CASES=1");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{cases} stories, {squashed} reports squashed, {reached:?}");
    assert!(squashed > cases, "only {squashed} reports were squashed");
    if cases >= 150 {
        let missed: Vec<_> = [NODE, HUB]
            .into_iter()
            .flat_map(|who| POINTS.map(|point| (who, point.name())))
            .filter(|place| !reached.contains_key(place))
            .collect();
        assert!(missed.is_empty(), "no machine was ended at {missed:?}");
    }
}

/// Each crash point of the node once, in the simplest story: reports, a link, a crash, the next link.
#[test]
fn a_crash_at_each_point_of_one_report_loses_nothing_and_repeats_nothing() {
    for point in POINTS {
        for passing in 1..=2 {
            let mut story = Story::new(7);
            (0..3).for_each(|_| story.report());
            story.write_at_hub();
            story.machines[NODE].arm(point, passing);
            story.link_up();
            while story.deliver() {}
            story.report();
            while story.deliver() {}
            story.report();
            story.come_to_rest();
            story.check();
            assert!(
                !story.changes_at(HUB).values.contains(&1),
                "{point:?}: a report that was replaced became a change"
            );
        }
    }
}

#[test]
fn the_ledger_finds_a_number_that_is_used_twice() {
    let node = sync_core::id::NodeId([5; 32]);
    let key = DocumentKey::observed(node);
    let change_of = |text: &str| {
        use automerge::transaction::Transactable;
        let actor = ActorBytes::mint(&node, [1; 8]);
        let mut document = automerge::AutoCommit::new().with_actor(automerge::ActorId::from(&actor.0[..]));
        document.put(automerge::ROOT, "status", text).unwrap();
        document.get_changes(&[])[0].raw_bytes().to_vec()
    };
    assert_eq!(key.owner, Some(node));
    let mut ledger = Ledger::default();
    ledger.add(&change_of("report 1")).unwrap();
    ledger.add(&change_of("report 1")).unwrap();
    assert_eq!(ledger.values, BTreeSet::from([1]));
    assert!(ledger.add(&change_of("report 2")).is_err());
}
