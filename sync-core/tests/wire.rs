//! The bytes of frames: pinned for each kind, the same after a round trip, and no bytes make the decoder panic.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;

use proptest::prelude::*;
use sync_core::document::generation::{Root, UnverifiedRoot};
use sync_core::document::{
    ActorBytes, Clock, Codec, DocumentKey, DocumentKind, Frontier, FrontierDigest, Heads, PackedFrontiers,
    UnverifiedFrontier,
};
use sync_core::id::{Chain, ChangeHash, DocumentId, Incarnation, Name, NodeId, Nonce, StoreId, TransferId};
use sync_core::identity::{Signature, SigningKey};
use sync_core::limits::{PART_BYTES_MIN, TRANSFER_BYTES_MAX};
use sync_core::wire::{
    Close, CloseCode, DeltaFrame, Hello, Message, Part, Position, Push, PushEntry, Reason, Reconcile, Refuse, Resume,
    Summary, Through, VERSION_MAX, VERSION_MIN, Want, Wanted,
};

const REFRESH: &str = "UPDATE_GOLDEN=1 cargo test -p sync-core --test wire";

fn key() -> SigningKey {
    SigningKey::from_seed([1; 32])
}

fn place(number: u64) -> Position {
    Position { number, chain: Chain([number as u8; 16]) }
}

/// Frontiers that travel below this one, by its author and by another; the last is above both, one of which came before.
fn earlier(last: &UnverifiedFrontier) -> PackedFrontiers {
    let with = |version, heads: &[u8]| {
        let heads = heads.iter().map(|byte| ChangeHash([*byte; 32])).collect();
        Frontier { version, heads: Heads::new(heads).unwrap(), ..last.frontier.clone() }
    };
    let signed = [with(5, &[2]).sign(&SigningKey::from_seed([2; 32])), with(6, &[1, 2]).sign(&key())];
    PackedFrontiers::pack(&signed, last.author, &[ChangeHash([1; 32]), ChangeHash([9; 32])])
}

fn hello() -> Hello {
    Hello {
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        store: StoreId([5; 16]),
        incarnation: Incarnation { number: 1, nonce: Nonce([6; 8]) },
        head: place(300),
        cursor: Some(place(2)),
        credit: 262_144,
    }
}

/// One of each kind, from fixed keys.
fn kinds() -> Vec<(&'static str, Message)> {
    let base = DocumentKey::layer(&Name::new("base").unwrap());
    let heads = Heads::new(vec![ChangeHash([9; 32]), ChangeHash([3; 32])]).unwrap();
    let frontier = Frontier { document: base.id(), generation: 0, version: 7, heads: heads.clone() };
    let signed = frontier.sign(&key());
    let frontier = UnverifiedFrontier {
        frontier: signed.frontier().clone(),
        author: signed.author(),
        signature: *signed.signature(),
        certificates: Vec::new(),
    };
    let delta = |frontier, roots| {
        let (key, changes) = (base.clone(), vec![1, 2, 3]);
        let (codec, earlier) = (Codec::RawZstd, PackedFrontiers::default());
        DeltaFrame { key, generation: 0, codec, changes, frontier, earlier, roots, part: None }
    };
    let earlier = earlier(&frontier);
    let several = DeltaFrame { earlier, ..delta(Some(frontier.clone()), Vec::new()) };
    let part = |offset, changes: Vec<u8>, frontier| {
        let part = Some(Part { transfer: TransferId([6; 16]), offset, total: 5_000 });
        PushEntry::Delta(DeltaFrame {
            key: base.clone(),
            generation: 0,
            codec: Codec::Runs,
            changes,
            frontier,
            earlier: PackedFrontiers::default(),
            roots: Vec::new(),
            part,
        })
    };
    let mut cut_clock = Clock::default();
    cut_clock.raise(ActorBytes([8; 16]), 4_096);
    let root = |generation, author| UnverifiedRoot {
        root: Root {
            document: base.id(),
            generation,
            epoch: 2,
            encoder: 1,
            genesis: ChangeHash([generation as u8; 32]),
            cut: heads.clone(),
            clock: cut_clock.clone(),
        },
        author,
        signature: Signature([6; 64]),
    };
    let roots = vec![root(1, NodeId([8; 32])), root(2, key().node_id())];
    let resume = Resume { document: base.id(), transfer: TransferId([6; 16]), offset: 4_000 };
    let push = |entry, through: Option<Through>, more| Message::Push(Push { entry, through, more });
    let at = |number| Some(Through::Place(place(number)));
    let delta = |frontier, roots| PushEntry::Delta(delta(frontier, roots));
    let leave = PushEntry::Leave(DocumentKey::assignment(NodeId([4; 32])));
    let elsewhere = UnverifiedFrontier { author: NodeId([8; 32]), ..frontier.clone() };
    let introduced = UnverifiedFrontier { certificates: vec![vec![6; 5], vec![7; 2]], ..elsewhere.clone() };
    let refuse = Refuse {
        document: base.id(),
        heads: Some(heads),
        reason: Reason::NotBelow,
        message: "the frontier does not cover exactly what came with it".to_owned(),
    };
    let close = Close { code: CloseCode::Busy, message: "later".to_owned(), retry_after_ms: 2_000, incarnation: 0 };
    let restarted = Close { code: CloseCode::Restarted, message: String::new(), retry_after_ms: 0, incarnation: 2 };
    let digest = |byte| FrontierDigest { document: DocumentId([byte; 16]), state: [byte + 1; 16] };
    let mut clock = Clock::default();
    clock.raise(ActorBytes([7; 16]), 300);
    let wanted = vec![
        Wanted { document: DocumentId([3; 16]), clock },
        Wanted { document: DocumentId([4; 16]), clock: Clock::default() },
    ];
    vec![
        ("hello", Message::Hello(hello())),
        ("hello-first-contact", Message::Hello(Hello { head: place(0), cursor: None, ..hello() })),
        ("push-delta", push(Some(delta(Some(frontier.clone()), Vec::new())), at(3), false)),
        ("push-delta-of-another", push(Some(delta(Some(elsewhere.clone()), Vec::new())), at(3), true)),
        ("push-delta-with-roots", push(Some(delta(Some(elsewhere.clone()), roots)), at(3), true)),
        ("push-delta-with-certificates", push(Some(delta(Some(introduced), Vec::new())), at(3), true)),
        ("push-part", push(Some(part(0, vec![7; 4_000], None)), None, true)),
        ("push-last-part", push(Some(part(4_000, vec![7; 1_000], Some(frontier.clone()))), at(3), false)),
        ("push-leave", push(Some(leave.clone()), at(4), false)),
        ("push-nothing", push(None, at(5), false)),
        ("push-start-over", push(None, at(0), true)),
        ("push-delta-next", push(Some(delta(Some(frontier.clone()), Vec::new())), Some(Through::Next(3)), false)),
        ("push-frontiers", push(Some(PushEntry::Delta(several)), at(5), false)),
        ("push-leave-next", push(Some(leave.clone()), Some(Through::Next(4)), false)),
        ("acknowledge", Message::Acknowledge(5)),
        ("refuse", Message::Refuse(refuse)),
        ("close", Message::Close(close)),
        ("credit", Message::Credit(8_192)),
        ("resume", Message::Resume(resume)),
        ("close-restarted", Message::Close(restarted)),
        ("summary-listed", Message::Summary(Summary::Listed(vec![digest(3), digest(5)]))),
        ("summary-counted", Message::Summary(Summary::Counted(10_000))),
        ("want", Message::Want(Want { documents: wanted, more: true })),
        ("want-nothing", Message::Want(Want { documents: Vec::new(), more: false })),
        ("reconcile", Message::Reconcile(Reconcile { message: vec![0x61, 1, 2], answer: false })),
        ("reconcile-answer", Message::Reconcile(Reconcile { message: vec![0x61], answer: true })),
    ]
}

#[test]
fn frames_have_the_bytes_they_always_had() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for (name, message) in kinds() {
        let bytes = message.encode(key().node_id());
        let mut hex = String::new();
        for (index, byte) in bytes.iter().enumerate() {
            let end = if index % 32 == 31 || index + 1 == bytes.len() { "\n" } else { "" };
            write!(hex, "{byte:02x}{end}").unwrap();
        }
        let path = folder.join(format!("{name}.hex"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &hex).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(hex, golden, "{name}: a stored or older peer reads other bytes; if that is meant, {REFRESH}");
        assert_eq!(Message::decode(&bytes, key().node_id()), Ok(message), "{name}");
    }
}

/// Parts that cannot be put together, and batches that prove nothing, are no messages.
#[test]
fn parts_that_do_not_fit_their_transfer_are_refused() {
    let kinds = kinds();
    let of = |wanted: &str| match kinds.iter().find(|(name, _)| *name == wanted) {
        Some((_, Message::Push(Push { entry: Some(PushEntry::Delta(frame)), .. }))) => frame.clone(),
        other => panic!("{other:?}"),
    };
    let part = |edit: &dyn Fn(&mut DeltaFrame)| {
        let mut frame = of("push-part");
        edit(&mut frame);
        frame
    };
    let frontier = of("push-delta").frontier;
    for (what, frame) in [
        ("an end past the total", part(&|it| it.changes = vec![7; 5_001])),
        ("an end without a frontier", part(&|it| it.changes = vec![7; 5_000])),
        ("a frontier before the end", part(&|it| it.frontier.clone_from(&frontier))),
        ("a small part", part(&|it| it.changes = vec![7; PART_BYTES_MIN - 1])),
        ("a batch without a frontier", part(&|it| it.part = None)),
        ("an offset past all bounds", part(&|it| it.part.as_mut().unwrap().offset = u64::MAX)),
        ("a total past the bound", part(&|it| it.part.as_mut().unwrap().total = TRANSFER_BYTES_MAX + 1)),
    ] {
        let message = Message::Push(Push { entry: Some(PushEntry::Delta(frame)), through: None, more: true });
        let bytes = message.encode(key().node_id());
        assert!(Message::decode(&bytes, key().node_id()).is_err(), "{what}");
    }
}

fn positions() -> impl Strategy<Value = Position> {
    (0..=i64::MAX as u64, any::<[u8; 16]>()).prop_map(|(number, chain)| Position { number, chain: Chain(chain) })
}

fn keys() -> impl Strategy<Value = DocumentKey> {
    let name = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
    let kind = |numbers: &'static [u32]| {
        prop::sample::select(numbers).prop_map(|number| DocumentKind::from_number(number).unwrap())
    };
    prop_oneof![
        (kind(&[1, 2]), name).prop_map(|(kind, name)| DocumentKey { kind, owner: None, name }),
        (kind(&[3, 4, 5, 6]), any::<[u8; 32]>()).prop_map(|(kind, owner)| DocumentKey {
            kind,
            owner: Some(NodeId(owner)),
            name: String::new()
        }),
        Just(DocumentKey::placement()),
        Just(DocumentKey::roster()),
    ]
}

fn heads() -> impl Strategy<Value = Heads> {
    prop::collection::vec(any::<[u8; 32]>(), 1..64)
        .prop_map(|hashes| Heads::new(hashes.into_iter().map(ChangeHash).collect()).unwrap())
}

fn deltas() -> impl Strategy<Value = DeltaFrame> {
    let certificates = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..3);
    let frontier = (0..=i64::MAX as u64, heads(), any::<[u8; 32]>(), any::<[u8; 32]>(), certificates);
    let changes = prop::collection::vec(any::<u8>(), 0..300);
    let part = prop::option::of((any::<[u8; 16]>(), 0..TRANSFER_BYTES_MAX / 2, any::<bool>()));
    let roots = prop::collection::vec((1..9u32, any::<u32>(), heads(), any::<[u8; 32]>(), any::<bool>()), 0..3);
    let bytes = || prop::collection::vec(any::<u8>(), 0..70);
    let earlier = (bytes(), bytes(), bytes(), bytes()).prop_map(|(authors, mut signatures, rows, hashes)| {
        signatures.push(0);
        PackedFrontiers { authors, signatures, rows, hashes }
    });
    let codecs = prop::sample::select(vec![Codec::RawZstd, Codec::Runs, Codec::Columns]);
    (keys(), (any::<u32>(), codecs, earlier), changes, frontier, part, roots).prop_map(
        |(key, (generation, codec, earlier), mut changes, frontier, part, roots)| {
            let (version, heads, author, half, certificates) = frontier;
            let root = |(generation, epoch, cut, bytes, is_known)| {
                let mut clock = Clock::default();
                clock.raise(ActorBytes([9; 16]), u64::from(epoch) + 1);
                let root = Root {
                    document: key.id(),
                    generation,
                    epoch: u64::from(epoch),
                    encoder: 1,
                    genesis: ChangeHash(bytes),
                    cut,
                    clock: if is_known { clock } else { Clock::default() },
                };
                UnverifiedRoot { root, author: NodeId(bytes), signature: Signature([generation as u8; 64]) }
            };
            let roots: Vec<_> =
                roots.into_iter().filter(|_| part.is_none_or(|(_, _, is_last)| is_last)).map(root).collect();
            let frontier = UnverifiedFrontier {
                frontier: Frontier { document: key.id(), generation, version, heads },
                author: NodeId(author),
                signature: Signature([half, author].concat().try_into().unwrap()),
                certificates,
            };
            let is_last = part.is_none_or(|(_, _, is_last)| is_last);
            if !is_last {
                changes.resize(PART_BYTES_MIN, 0);
            }
            let part = part.map(|(transfer, offset, _)| {
                let end = offset + changes.len() as u64;
                Part { transfer: TransferId(transfer), offset, total: if is_last { end } else { end + 1 } }
            });
            let has_earlier = key.kind == DocumentKind::Layer && is_last;
            let earlier = if has_earlier { earlier } else { PackedFrontiers::default() };
            DeltaFrame { key, generation, codec, changes, frontier: is_last.then_some(frontier), earlier, roots, part }
        },
    )
}

fn messages() -> impl Strategy<Value = Message> {
    let places = (positions(), prop::option::of(positions()));
    let hello = (1..9u32, 0..9u32, any::<[u8; 16]>(), any::<(u32, [u8; 8])>(), places, any::<u64>());
    let resume = (any::<[u8; 16]>(), any::<[u8; 16]>(), 0..=TRANSFER_BYTES_MAX);
    let entry = prop_oneof![deltas().prop_map(PushEntry::Delta), keys().prop_map(PushEntry::Leave)];
    let through = prop_oneof![positions().prop_map(Through::Place), (0..=i64::MAX as u64).prop_map(Through::Next)];
    let push = (prop::option::of(entry), prop::option::of(through), any::<bool>());
    let reasons = [
        Reason::Other,
        Reason::Malformed,
        Reason::UnknownAuthor,
        Reason::NotTheAuthor,
        Reason::Signature,
        Reason::Disconnected,
        Reason::Forked,
        Reason::NotBelow,
        Reason::Poison,
        Reason::TooLarge,
        Reason::Generation,
        Reason::Revoked,
        Reason::Certificate,
    ];
    let codes = [
        CloseCode::Other,
        CloseCode::NoCommonVersion,
        CloseCode::Protocol,
        CloseCode::Revoked,
        CloseCode::Busy,
        CloseCode::Shutdown,
        CloseCode::Storage,
        CloseCode::Replaced,
        CloseCode::Cloned,
        CloseCode::Restarted,
    ];
    let refuse = (any::<[u8; 16]>(), prop::option::of(heads()), prop::sample::select(reasons.to_vec()), "[ -~]{0,80}");
    let close = (prop::sample::select(codes.to_vec()), "[ -~]{0,80}", any::<u32>(), any::<u32>());
    let digests = prop::collection::btree_set(any::<([u8; 16], [u8; 16])>(), 1..20);
    let clocks = prop::collection::btree_map(any::<[u8; 16]>(), 1..i64::MAX as u64, 0..5);
    let wants = (prop::collection::vec((any::<[u8; 16]>(), clocks), 0..6), any::<bool>());
    let reconcile = (prop::collection::vec(any::<u8>(), 0..200), any::<bool>());
    prop_oneof![
        hello.prop_map(|(version_min, more, store, incarnation, (head, cursor), credit)| Message::Hello(Hello {
            version_min,
            version_max: version_min + more,
            store: StoreId(store),
            incarnation: Incarnation { number: incarnation.0, nonce: Nonce(incarnation.1) },
            head,
            cursor,
            credit
        })),
        any::<u64>().prop_map(Message::Credit),
        resume.prop_map(|(document, transfer, offset)| {
            Message::Resume(Resume { document: DocumentId(document), transfer: TransferId(transfer), offset })
        }),
        push.prop_filter("a push says something", |(entry, through, _)| entry.is_some() || through.is_some())
            .prop_map(|(entry, through, more)| Message::Push(Push { entry, through, more })),
        (0..=i64::MAX as u64).prop_map(Message::Acknowledge),
        refuse.prop_map(|(document, heads, reason, message)| {
            Message::Refuse(Refuse { document: DocumentId(document), heads, reason, message })
        }),
        close.prop_map(|(code, message, retry_after_ms, incarnation)| {
            Message::Close(Close { code, message, retry_after_ms, incarnation })
        }),
        digests.prop_map(|digests| {
            let digest = |(document, state)| FrontierDigest { document: DocumentId(document), state };
            Message::Summary(Summary::Listed(digests.into_iter().map(digest).collect()))
        }),
        (1..u64::MAX).prop_map(|count| Message::Summary(Summary::Counted(count))),
        wants.prop_map(|(documents, more)| {
            let wanted = |(document, actors): ([u8; 16], std::collections::BTreeMap<[u8; 16], u64>)| {
                let mut clock = Clock::default();
                actors.into_iter().for_each(|(actor, seq)| clock.raise(ActorBytes(actor), seq));
                Wanted { document: DocumentId(document), clock }
            };
            Message::Want(Want { documents: documents.into_iter().map(wanted).collect(), more })
        }),
        reconcile.prop_map(|(message, answer)| Message::Reconcile(Reconcile { message, answer })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_message_survives_its_bytes(message in messages(), sender in any::<[u8; 32]>()) {
        let bytes = message.encode(NodeId(sender));
        prop_assert_eq!(Message::decode(&bytes, NodeId(sender)), Ok(message));
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Message::decode(&bytes, NodeId([0; 32]));
    }

    #[test]
    fn damaged_frames_do_not_panic(message in messages(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = message.encode(NodeId([0; 32]));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Message::decode(&bytes, NodeId([0; 32]));
        bytes.truncate(at);
        let _ = Message::decode(&bytes, NodeId([0; 32]));
    }
}
