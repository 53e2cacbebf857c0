//! Links of 64 kbit/s that stall and die, in virtual time: what was sent once is not sent again, and what is small does not
//! wait for what is large.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/world.rs"]
mod world;

use std::collections::VecDeque;

use serde_json::json;
use sync_core::document::DocumentKey;
use sync_core::env::{Instant, WallTime};
use sync_core::id::LinkId;
use sync_core::replica::{Now, Output};
use sync_core::wire::{Message, Push, PushEntry};

use world::{Fleet, Member, framed, layer_key};

const TICK_MS: u64 = 50;
const LATENCY_MS: u64 = 300;

/// One direction of a wire.
#[derive(Default)]
struct Way {
    /// Frames that wait for the wire, each with the bytes that have not passed it yet.
    waiting: VecDeque<(Vec<u8>, u64)>,
    /// Frames that passed it, with their time of arrival.
    passing: VecDeque<(u64, Vec<u8>)>,
    /// Bytes that passed it over all links.
    carried: u64,
}

/// A node and a hub, and a bad line between them.
struct Line {
    fleet: Fleet,
    ends: [Member; 2],
    /// Milliseconds.
    now: u64,
    bytes_per_second: u64,
    link: Option<LinkId>,
    links: u64,
    ways: [Way; 2],
    /// Bytes of the largest transfer that was begun.
    transfer: u64,
    stalled_until: u64,
}

impl Line {
    fn new(seed: u64) -> Self {
        let mut fleet = Fleet::new(seed);
        let (hub, node) = (fleet.hub(), fleet.node());
        Self {
            fleet,
            ends: [node, hub],
            now: 0,
            bytes_per_second: 8_000,
            link: None,
            links: 0,
            ways: Default::default(),
            transfer: 0,
            stalled_until: 0,
        }
    }

    fn clock(&self) -> Now {
        Now { instant: Instant(self.now * 1_000), wall: WallTime(Some(1_000 + self.now / 1_000)) }
    }

    fn dial(&mut self) {
        self.links += 1;
        let id = LinkId(1_000_000 + self.links);
        self.link = Some(id);
        for (end, is_dialer) in [(1, false), (0, true)] {
            let (peer, now) = (self.fleet.peer(self.ends[1 - end]), self.clock());
            self.fleet.at(self.ends[end]).handle_link_up(now, id, &peer, is_dialer).unwrap();
            self.drain(end);
        }
    }

    fn cut(&mut self) {
        let Some(id) = self.link.take() else { return };
        for end in [0, 1] {
            let now = self.clock();
            self.ways[end].waiting.clear();
            self.ways[end].passing.clear();
            self.fleet.at(self.ends[end]).handle_link_down(now, id).unwrap();
            self.drain(end);
        }
    }

    fn drain(&mut self, end: usize) {
        while let Some(output) = self.fleet.at(self.ends[end]).poll_output() {
            match output {
                Output::Transmit { link, frame, .. } if Some(link) == self.link => {
                    let bytes = framed(frame.len());
                    self.note(end, &frame);
                    self.ways[end].waiting.push_back((frame, bytes));
                }
                Output::Close { close, .. } => panic!("{close:?}"),
                Output::Transmit { .. } | Output::Event(_) => {}
            }
        }
    }

    fn note(&mut self, end: usize, frame: &[u8]) {
        let sender = self.fleet.id(self.ends[end]);
        if let Ok(Message::Push(Push { entry: Some(PushEntry::Delta(delta)), .. })) = Message::decode(frame, sender) {
            self.transfer = self.transfer.max(delta.part.map_or(0, |part| part.total));
        }
    }

    fn tick(&mut self) {
        self.now += TICK_MS;
        for end in [0, 1] {
            let mut room = if self.now < self.stalled_until { 0 } else { self.bytes_per_second * TICK_MS / 1_000 };
            let way = &mut self.ways[end];
            while room > 0
                && let Some((_, left)) = way.waiting.front_mut()
            {
                let bytes = room.min(*left);
                (*left, room, way.carried) = (*left - bytes, room - bytes, way.carried + bytes);
                if *left == 0
                    && let Some((frame, _)) = way.waiting.pop_front()
                {
                    way.passing.push_back((self.now + LATENCY_MS, frame));
                }
            }
            while let Some(link) = self.link
                && self.ways[end].passing.front().is_some_and(|(at, _)| *at <= self.now)
                && let Some((_, frame)) = self.ways[end].passing.pop_front()
            {
                let now = self.clock();
                self.fleet.at(self.ends[1 - end]).handle_frame(now, link, &frame).unwrap();
                self.drain(1 - end);
            }
        }
    }

    /// Runs until the condition holds, with a stall of ten seconds in each minute and a cut at its end. Gives the seconds
    /// that it took.
    fn run_badly(&mut self, minutes: u64, mut done: impl FnMut(&mut Fleet) -> bool) -> u64 {
        let start = self.now;
        for _ in 0..minutes {
            self.dial();
            let lives = 50_000 + self.fleet.entropy.next() % 20_000;
            let stalls_at = self.now + self.fleet.entropy.next() % (lives - 15_000);
            let dies_at = self.now + lives;
            while self.now < dies_at {
                if self.now / TICK_MS == stalls_at / TICK_MS {
                    self.stalled_until = self.now + 10_000;
                }
                self.tick();
                if done(&mut self.fleet) {
                    return (self.now - start) / 1_000;
                }
            }
            self.cut();
            self.now += 2_000;
        }
        panic!("it is not there after {minutes} minutes");
    }

    fn text(&mut self, bytes: usize) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        (0..bytes).map(|_| char::from(LETTERS[(self.fleet.entropy.next() % 64) as usize])).collect()
    }

    /// A layer in as many changes, each with values that do not compress.
    fn write_layer(&mut self, changes: usize, bytes: usize) {
        let hub = self.ends[1];
        for change in 0..changes {
            let values: serde_json::Map<_, _> =
                (0..4).map(|value| (format!("data-{change}-{value}"), json!(self.text(bytes / changes / 4)))).collect();
            self.fleet.set_field(hub, "base", &format!("part-{change}"), json!(values));
        }
        self.fleet.release(hub, &["base"]);
    }
}

fn holds_base(fleet: &mut Fleet, node: Member) -> bool {
    fleet.at(node).read(&layer_key("base")).unwrap().is_some()
}

#[test]
fn five_megabytes_arrive_over_a_line_that_dies_every_minute_and_are_sent_once() {
    for (seed, changes) in [(1, 2), (2, 40)] {
        let mut line = Line::new(seed);
        let [node, hub] = line.ends;
        line.write_layer(changes, 6_600_000);
        line.fleet.assign(hub, node, &["base"]);
        let seconds = line.run_badly(40, |fleet| holds_base(fleet, node));
        let (carried, blob) = (line.ways[1].carried, line.transfer);
        assert!((4_900_000..5_300_000).contains(&blob), "{blob}");
        println!("{changes} changes: {carried} bytes for {blob}, {seconds} s, {} links", line.links);
        assert!(line.links > 8);
        assert!(carried <= blob * 11 / 10, "{carried} bytes for {blob}");
        assert_eq!(line.fleet.state(node, &layer_key("base")), line.fleet.state(hub, &layer_key("base")));
    }
}

/// A node that has a small layer and is in the middle of a large one.
fn in_the_middle(seed: u64) -> Line {
    let mut line = Line::new(seed);
    let [node, hub] = line.ends;
    line.fleet.write_layer(hub, "small", json!({ "image": "small:1" }));
    line.fleet.release(hub, &["small"]);
    line.fleet.assign(hub, node, &["small"]);
    line.fleet.sync(node, hub);
    assert_eq!(line.fleet.at(node).desired().unwrap().layers.len(), 1);
    line.write_layer(2, 6_600_000);
    line.fleet.assign(hub, node, &["small", "base"]);
    line.dial();
    while line.now < 60_000 {
        line.tick();
    }
    line
}

/// Milliseconds until the node holds an assignment of these layers, which the hub writes now.
fn assign(line: &mut Line, layers: &[&str]) -> u64 {
    let [node, hub] = line.ends;
    let assignment = DocumentKey::assignment(line.fleet.id(node));
    let written = line.now;
    // The fleet drops what its own links do not carry, so this writes by itself.
    let now = line.clock();
    let mut state = line.fleet.at(hub).read(&assignment).unwrap().unwrap().state;
    state.insert("layers".to_owned(), json!(layers));
    line.fleet.at(hub).write(now, &assignment, &state).unwrap();
    line.drain(1);
    while line.fleet.state(node, &assignment)["layers"] != json!(layers) {
        line.tick();
        assert!(line.now < written + 60_000, "the assignment waits");
    }
    line.now - written
}

#[test]
fn a_new_assignment_does_not_wait_for_a_large_layer() {
    let mut line = in_the_middle(3);
    let node = line.ends[0];
    let waited = assign(&mut line, &["base", "small"]);
    assert!(!holds_base(&mut line.fleet, node));
    assert_eq!(line.fleet.at(node).desired().unwrap().layers.len(), 1, "it goes on with what is whole");
    while !holds_base(&mut line.fleet, node) {
        line.tick();
        assert!(line.now < 1_000_000, "the layer does not arrive");
    }
    println!("the assignment took {waited} ms, the layer {} ms", line.now);
    assert!(line.now > 500_000, "nothing was under way");
    assert_eq!(line.fleet.at(node).desired().unwrap().layers.len(), 2);
}

#[test]
fn an_assignment_without_the_layer_that_is_under_way_ends_its_transfer() {
    let mut line = in_the_middle(4);
    let [node, hub] = line.ends;
    assign(&mut line, &["small"]);
    assert_eq!(line.fleet.at(node).desired().unwrap().waiting, None, "it can be followed at once");
    let carried = line.ways[1].carried;
    let end = line.now + 300_000;
    while line.now < end {
        line.tick();
    }
    assert!(line.ways[1].carried < carried + 1_200_000, "a layer that the node is not to have is sent to its end");
    assert!(!holds_base(&mut line.fleet, node));
    assert_eq!(line.fleet.at(node).inspect(|tx| tx.staged_bytes()).unwrap(), 0);
    line.cut();
    assert_eq!(line.fleet.sync(node, hub).frames, 2);
}
