//! Traces survive their files, differ when runs differ, and say which line is wrong.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use sync_core::document::DocumentKey;
use sync_core::id::NodeId;
use sync_core::replica::Event;
use sync_core::state::observed::Stamp;

use super::*;

fn stamp(version: u64) -> Stamp {
    Stamp { version, heads: "ab".repeat(32) }
}

/// One of each kind.
fn all() -> Vec<Happening> {
    let member = || Member::from("n-1");
    let (node, key) = (NodeId([7; 32]), || Text::from("core/ConfigMap/a/b"));
    let work = |work| Happening::Work { member: member(), work };
    let told = |event| Happening::Replica { member: member(), event };
    vec![
        Happening::Started { member: member(), boot: 1, node, is_hub: false, clock_is_wrong: true },
        work(Work::Join),
        Happening::Link { from: member(), to: Member::from("hub"), is_up: true, profile: "satellite".into() },
        Happening::LinkLive { member: member(), peer: node },
        work(Work::Edit { layer: "base".into(), made: stamp(2) }),
        work(Work::Release { version: 3 }),
        work(Work::Assign { node: member(), made: stamp(1) }),
        Happening::Put { member: member(), key: key() },
        Happening::Removed { member: member(), key: key() },
        Happening::Applied { member: member(), assignment: stamp(1), release: stamp(3) },
        work(Work::Status { key: key() }),
        work(Work::HandEdit { key: key() }),
        work(Work::Other { word: "revoke".into() }),
        told(Told::Changed("layer base".to_owned())),
        told(Told::Synced(node)),
        told(Told::NewIncarnation(2)),
        told(Told::Diverged(node)),
        told(Told::Cloned(node)),
        told(Told::RefusedAsClone(node)),
        told(Told::Quarantined { peer: node, document: Some("0a".to_owned()), reason: "why".to_owned() }),
        told(Told::RefusedByPeer(node, "why".to_owned())),
        told(Told::Rebased { document: "layer a".to_owned(), contested: vec!["/x".to_owned()], left: Vec::new() }),
        Happening::LinkDown { member: member(), peer: node },
        Happening::Fault { member: member(), kind: "power-loss".into(), mattered: true },
        Happening::FaultEnded { member: member(), kind: "pause".into(), mattered: false },
        Happening::Stopped { member: member(), how: Ended::WithoutPower },
        Happening::Failed { member: member(), message: "no room".to_owned() },
        Happening::Panicked { member: member(), message: "at\nthe disk".to_owned() },
        Happening::Sample { member: member(), sample: Sample { applied: Some(3), ..Sample::default() } },
        Happening::Attacked { member: member(), attack: "replay".into(), sessions: 2, frames: 30 },
        Happening::Healed,
        Happening::Broken { invariant: 1, sentence: "lost".to_owned() },
        Happening::Agreed,
    ]
}

/// A file that can be looked at after the trace has it.
#[derive(Clone, Default)]
struct File(Arc<Mutex<Vec<u8>>>);

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn written(entries: &[(u64, Happening)]) -> (Vec<u8>, Trace) {
    let file = File::default();
    let header = Header::new(u64::MAX, 2, "name = \"x\"\n".to_owned());
    let mut trace = Trace::with_writer(3, &header, Box::new(file.clone())).unwrap();
    for (at, what) in entries {
        trace.push(*at, what.clone());
    }
    trace.finish().unwrap();
    let bytes = file.0.lock().unwrap().clone();
    (bytes, trace)
}

fn timed() -> Vec<(u64, Happening)> {
    all().into_iter().enumerate().map(|(at, what)| (at as u64 * 1_500_000, what)).collect()
}

#[test]
fn a_trace_survives_its_file() {
    let (bytes, trace) = written(&timed());
    let reader = read(&bytes[..]).unwrap();
    assert_eq!(*reader.header(), Header::new(u64::MAX, 2, "name = \"x\"\n".to_owned()));
    let back: Vec<(u64, Happening)> = reader.map(|entry| entry.map(|entry| (entry.at, entry.what)).unwrap()).collect();
    assert_eq!(back, timed());
    let mut again = Trace::new(0);
    back.into_iter().for_each(|(at, what)| again.push(at, what));
    assert_eq!(again.hash(), trace.hash());
    assert_eq!(again.last().count(), 0);
}

#[test]
fn the_last_entries_are_kept_and_no_more() {
    let (_, trace) = written(&timed());
    assert_eq!(trace.length(), all().len() as u64);
    let last: Vec<String> = trace.last().map(ToString::to_string).collect();
    assert_eq!(
        last,
        [
            "00:00:45.000000 the world is healed",
            "00:00:46.500000 invariant 1 is broken: lost",
            "00:00:48.000000 all honest members agree",
        ]
    );
}

#[test]
fn figures_push_nothing_out_that_led_to_a_failure() {
    let mut trace = Trace::new(1);
    trace.push(1, Happening::Healed);
    trace.push(2, Happening::Sample { member: Member::from("n-1"), sample: Sample::default() });
    assert_eq!((trace.length(), trace.last().map(|entry| entry.at).collect::<Vec<_>>()), (2, vec![1]));
}

#[test]
fn every_happening_reads_as_a_sentence() {
    for what in all() {
        let text = what.to_string();
        assert!(text.len() > 8, "{text}");
        assert_eq!(text.starts_with("n-1 "), what.member().is_some(), "{text}");
    }
}

#[test]
fn an_error_says_which_line() {
    let (bytes, _) = written(&timed());
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let failure = |text: String| {
        let failed = match read(text.as_bytes()) {
            Ok(reader) => reader.filter_map(Result::err).next().unwrap(),
            Err(error) => error,
        };
        failed.to_string()
    };
    assert!(failure(String::new()).starts_with("line 1 of the trace: the file is empty"));
    assert!(failure("{}\n".to_owned()).starts_with("line 1 of the trace: not the header"));
    let other = lines[0].replacen("\"format\":1", "\"format\":9", 1).replacen("\"seed\"", "\"seeds\"", 1);
    assert!(failure(other).contains("format 9, and this program reads 1"));
    let cut = format!("{}\n{}\n{}", lines[0], lines[1], &lines[2][..10]);
    assert!(failure(cut).starts_with("line 3 of the trace: not an entry"));
    let moved = format!("{}\n{}\n{}\n", lines[0], lines[3], lines[2]);
    assert!(failure(moved).starts_with("line 3 of the trace: time goes back from 3000000 to 1500000"));
}

#[test]
fn a_file_that_cannot_be_written_is_told_at_the_end() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Has room for the header.
            if bytes.windows(6).any(|word| word == b"format") || bytes == b"\n" {
                return Ok(bytes.len());
            }
            Err(io::Error::new(io::ErrorKind::StorageFull, "full"))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut trace = Trace::with_writer(1, &Header::new(1, 1, String::new()), Box::new(Full)).unwrap();
    trace.push(1, Happening::Healed);
    trace.push(2, Happening::Agreed);
    assert_eq!(trace.length(), 2);
    assert_eq!(trace.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
}

#[test]
fn what_a_replica_says_is_told() {
    let member = Member::from("hub");
    let node = NodeId([1; 32]);
    let told = Happening::of_event(&member, Event::Changed(DocumentKey::roster()));
    let document = DocumentKey::roster().to_string();
    assert_eq!(told, Some(Happening::Replica { member: member.clone(), event: Told::Changed(document) }));
    let told = Happening::of_event(&member, Event::NewIncarnation(3));
    assert_eq!(told, Some(Happening::Replica { member: member.clone(), event: Told::NewIncarnation(3) }));
    let live = Happening::of_event(&member, Event::LinkLive(node));
    assert_eq!(live, Some(Happening::LinkLive { member, peer: node }));
}

proptest! {
    #[test]
    fn traces_that_differ_anywhere_have_other_hashes(at in 0..all().len(), other in 0..all().len(), late in 1_u64..1000) {
        let hash = |entries: &[(u64, Happening)]| written(entries).1.hash();
        let mut changed = timed();
        changed[at].1 = all()[other].clone();
        prop_assert_eq!(hash(&changed) == hash(&timed()), at == other);
        let mut changed = timed();
        changed[at].0 += late;
        prop_assert_ne!(hash(&changed), hash(&timed()));
    }
}
