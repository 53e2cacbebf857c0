//! What an attacker does to one hub: each of the attacks that a scenario names.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sync_core::document::codec::Codec;
use sync_core::document::generation::{ENCODER, Root};
use sync_core::document::{ActorBytes, Clock, DocumentKey, Heads};
use sync_core::id::{Chain, ChangeHash, NodeId, TransferId};
use sync_core::limits::{DELTA_BYTES_MAX, FRAME_BYTES_MAX, PART_BYTES_MIN, TRANSFER_BYTES_MAX};
use sync_core::wire::{
    DeltaFrame, Hello, Message, Part, Position, Push, PushEntry, Reconcile, Resume, Summary, Through, Want, Wanted,
};
use tokio::time::sleep;

use super::changes::{Chunk, Forge};
use super::conversation::{Conversation, Notes, connect};
use super::insider::{Insider, bytes};
use super::pushes::{again, altered, delta, endless, foreign, forged, no_layers, of_own, raw, signed};
use crate::random::Random;
use crate::scenario::Attack;

/// How long an answer is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How often an attacker dials a hub again that has ended the link.
const DIALS_MAX: u32 = 12;

/// Connections of one attacker that say nothing.
const SILENT_CONNECTIONS: usize = 40;

/// An attacker before one hub.
pub(super) struct Thief {
    pub(super) insider: Arc<Insider>,
    pub(super) endpoint: quinn::Endpoint,
    pub(super) address: SocketAddr,
    pub(super) hub: NodeId,
    /// Which of the hubs it is: what is said to one may be another thing than what is said to the next.
    pub(super) number: u64,
    pub(super) random: Random,
    pub(super) notes: Notes,
}

impl Thief {
    /// Attacks until nothing is left to say; whoever holds the task ends it.
    pub(super) async fn carry_out(mut self, attack: Attack) {
        match attack {
            Attack::Garbage => self.garbage().await,
            Attack::EndlessTransfers => self.endless_transfers().await,
            Attack::SilentConnections => self.silent_connections().await,
            Attack::NeverAcknowledges => self.never_acknowledges().await,
            Attack::FalseAcknowledgements => self.false_acknowledgements().await,
            Attack::ForeignScope => self.foreign_scope().await,
            Attack::HugeClaims => self.huge_claims().await,
            Attack::Replay => self.replay().await,
            Attack::Bomb => {
                let entries = self.bombs();
                self.push_all(entries).await;
            }
            Attack::CraftedChanges => {
                let chunks = Forge::new(&self.insider, &mut self.random).map(|forge| forge.crafted(&mut self.random));
                self.push_chunks(chunks.unwrap_or_default()).await;
            }
            Attack::ForkedActor => {
                let chunks = self.forked();
                self.push_chunks(chunks).await;
            }
            Attack::SequenceGap => {
                let chunks = self.gaps();
                self.push_chunks(chunks).await;
            }
            Attack::ForeignActor => {
                let chunks = self.under_foreign_actors();
                self.push_chunks(chunks).await;
            }
            Attack::ForeignDocument => {
                let entries = self.foreign_documents();
                self.push_all(entries).await;
            }
            Attack::ForgedSignature => {
                let entries = self.forgeries();
                self.push_all(entries).await;
            }
        }
    }

    /// The hello of the node itself, or of a store that was never heard of.
    fn hello(&mut self) -> Hello {
        if self.random.below(2) == 0 {
            self.insider.hello(self.hub, &mut self.random)
        } else {
            self.insider.other_hello(&mut self.random)
        }
    }

    async fn dial(&self) -> Option<Conversation> {
        let (insider, notes) = (Arc::clone(&self.insider), self.notes.clone());
        Conversation::dial(&self.endpoint, self.address, self.hub, insider, notes).await
    }

    /// Dials and says hello. `None` when no hub answers with its own.
    async fn meet(&self, hello: Hello) -> Option<Conversation> {
        let mut talk = self.dial().await?;
        talk.say(&Message::Hello(hello)).await;
        let heard = talk.hear(ANSWER_WITHIN, |message| matches!(message, Message::Hello(_))).await;
        if !heard.iter().any(|message| matches!(message, Message::Hello(_))) {
            return None;
        }
        self.notes.met();
        Some(talk)
    }

    async fn push_chunks(&mut self, chunks: Vec<Chunk>) {
        let entries = chunks.into_iter().filter_map(|chunk| of_own(&self.insider, chunk)).collect();
        self.push_all(entries).await;
    }

    /// Pushes one entry after the other, as steps of the node's feed, on as many links as it takes.
    async fn push_all(&mut self, entries: Vec<PushEntry>) {
        let mut talk: Option<(Conversation, u64)> = None;
        let mut dials = 0;
        for entry in entries {
            // A hub may refuse one hello and take another.
            while talk.is_none() && dials < DIALS_MAX {
                dials += 1;
                let hello = self.hello();
                let head = hello.head.number;
                talk = self.meet(hello).await.map(|talk| (talk, head));
            }
            let Some((open, head)) = &mut talk else { return };
            *head += 1;
            let through = Through::Place(Position { number: *head, chain: Chain(bytes(&mut self.random)) });
            open.say(&Message::Push(Push { entry: Some(entry), through: Some(through), more: false })).await;
            let number = *head;
            open.hear(ANSWER_WITHIN, |message| *message == Message::Acknowledge(number)).await;
            if !open.is_open {
                talk = None;
            }
        }
    }

    async fn garbage(&mut self) {
        for round in 0..DIALS_MAX {
            let hello = self.hello();
            let talk = if round % 3 == 0 { self.dial().await } else { self.meet(hello).await };
            let Some(mut talk) = talk else { continue };
            for _ in 0..4 {
                let mut garbage = vec![0; usize::try_from(1 + self.random.below(3000)).unwrap_or(1)];
                garbage.fill_with(|| self.random.next_u64().to_le_bytes()[0]);
                match round % 4 {
                    0 => talk.write(&garbage).await,
                    1 => talk.say_bytes(garbage).await,
                    // A message with some bits flipped.
                    _ => {
                        let hello = self.insider.other_hello(&mut self.random);
                        let mut frame = Message::Hello(hello).encode(self.insider.node());
                        let place = usize::try_from(self.random.below(frame.len() as u64)).unwrap_or(0);
                        frame.iter_mut().skip(place).take(2).for_each(|byte| *byte ^= 0x24);
                        talk.say_bytes(frame).await;
                    }
                }
            }
            talk.hear(ANSWER_WITHIN, |message| matches!(message, Message::Close(_))).await;
            if round % 3 == 0 {
                self.notes.met();
            }
        }
    }

    async fn endless_transfers(&mut self) {
        let hello = self.hello();
        if let Some(mut talk) = self.meet(hello).await {
            for key in no_layers(100) {
                let part =
                    Part { transfer: TransferId(bytes(&mut self.random)), offset: 0, total: TRANSFER_BYTES_MAX / 8 };
                let entry = endless(key, part, vec![7; PART_BYTES_MIN]);
                talk.say(&Message::Push(Push { entry: Some(entry), through: None, more: true })).await;
            }
            talk.hear(ANSWER_WITHIN, |message| matches!(message, Message::Close(_))).await;
        }
        // Frames that are announced, begin, and never end.
        for announced in [1_usize, 4096, FRAME_BYTES_MAX, FRAME_BYTES_MAX + 1] {
            let hello = self.hello();
            let Some(mut talk) = self.meet(hello).await else { continue };
            let frame = sync_core::transport::frame::prefixed(vec![0; announced]);
            talk.write(frame.get(..frame.len().min(2048) - 1).unwrap_or_default()).await;
            talk.hear(ANSWER_WITHIN * 4, |message| matches!(message, Message::Close(_))).await;
        }
    }

    async fn silent_connections(&mut self) {
        let mut open = Vec::new();
        for number in 0..SILENT_CONNECTIONS {
            let Some(connection) = connect(&self.endpoint, self.address, &self.insider).await else { break };
            self.notes.met();
            let mut stream = None;
            if number % 2 == 0
                && let Ok((mut send, receive)) = connection.open_bi().await
            {
                // The hub sees a stream when something comes through it: the beginning of a length, and no more.
                let _ = send.write_all(&[0x80]).await;
                stream = Some((send, receive));
            }
            open.push((connection, stream));
        }
        // To be ended from outside.
        std::future::pending::<()>().await;
        drop(open);
    }

    async fn never_acknowledges(&mut self) {
        for _ in 0..DIALS_MAX {
            let hello = self.insider.other_hello(&mut self.random);
            let Some(mut talk) = self.meet(hello).await else { continue };
            talk.acknowledges = false;
            talk.hear(ANSWER_WITHIN * 12, |message| matches!(message, Message::Close(_))).await;
        }
    }

    async fn false_acknowledgements(&mut self) {
        if let Some(mut talk) = self.dial().await {
            talk.say(&Message::Acknowledge(1)).await;
            talk.hear(ANSWER_WITHIN, |message| matches!(message, Message::Close(_))).await;
        }
        for round in 0..DIALS_MAX {
            let mut hello = self.hello();
            let chain = Chain(bytes(&mut self.random));
            let number = hello.cursor.map_or(0, |cursor| cursor.number);
            // What the hub never had, what it had at another place, and what it may have.
            hello.cursor = match round % 4 {
                0 => Some(Position { number: number + 1 + self.random.below(1000), chain }),
                1 => Some(Position { number: number.saturating_sub(1), chain }),
                2 => Some(Position { number: u64::MAX, chain }),
                _ => hello.cursor,
            };
            let Some(mut talk) = self.meet(hello).await else { continue };
            talk.acknowledges = false;
            let last = talk.hear(ANSWER_WITHIN, |message| matches!(message, Message::Push(_))).await.pop();
            let number = match last {
                Some(Message::Push(Push { through: Some(through), .. })) => through.number(),
                _ => number,
            };
            for wrong in [number + 1, number, number, u64::MAX] {
                talk.say(&Message::Acknowledge(wrong)).await;
            }
            talk.hear(ANSWER_WITHIN, |message| matches!(message, Message::Close(_))).await;
        }
    }

    async fn foreign_scope(&mut self) {
        let foreign = foreign(&self.insider);
        let wanted = |key: &DocumentKey| Wanted { document: key.id(), clock: Clock::default() };
        let want = Message::Want(Want { documents: foreign.iter().map(wanted).collect(), more: false });
        let reconcile = |answer, message| Message::Reconcile(Reconcile { message, answer });
        for round in 0..DIALS_MAX {
            let hello = if round % 2 == 0 { self.insider.other_hello(&mut self.random) } else { self.hello() };
            let Some(mut talk) = self.meet(hello).await else { continue };
            if round % 3 > 0 {
                talk.say(&Message::Summary(Summary::Counted(100_000))).await;
                talk.hear(ANSWER_WITHIN, |message| matches!(message, Message::Reconcile(_) | Message::Want(_))).await;
                // Version 0x61, then one range over everything, asking for all that is in it.
                talk.say(&reconcile(round % 2 == 0, vec![0x61, 0, 0, 2, 0])).await;
            }
            for key in foreign.iter().take(8) {
                let resume = Resume { document: key.id(), transfer: TransferId(bytes(&mut self.random)), offset: 4096 };
                talk.say(&Message::Resume(resume)).await;
            }
            talk.say(&want).await;
            talk.hear(ANSWER_WITHIN, |message| matches!(message, Message::Close(_))).await;
        }
    }

    async fn huge_claims(&mut self) {
        let chunks = Forge::new(&self.insider, &mut self.random).map(|forge| forge.claims()).unwrap_or_default();
        let mut entries: Vec<PushEntry> = chunks.into_iter().filter_map(|chunk| of_own(&self.insider, chunk)).collect();
        entries.extend(self.claimed_generation());
        entries.extend(self.claimed_version());
        self.push_all(entries).await;
        let most = Position { number: u64::MAX, chain: Chain(bytes(&mut self.random)) };
        let part = Part { transfer: TransferId(bytes(&mut self.random)), offset: u64::MAX - 1, total: u64::MAX };
        let key = DocumentKey::observed(self.insider.node());
        let pushes = [
            Push { entry: None, through: Some(Through::Place(most)), more: true },
            Push { entry: None, through: Some(Through::Next(u64::MAX)), more: false },
            Push { entry: Some(endless(key, part, vec![7; PART_BYTES_MIN])), through: None, more: true },
        ];
        for round in 0..DIALS_MAX {
            let mut hello = self.hello();
            match round % 3 {
                0 => hello.head = most,
                1 => hello.credit = u64::MAX,
                _ => hello.incarnation.number = u32::MAX,
            }
            let Some(mut talk) = self.meet(hello).await else { continue };
            talk.say(&Message::Credit(u64::MAX)).await;
            talk.say(&Message::Credit(u64::MAX)).await;
            talk.say(&Message::Summary(Summary::Counted(u64::MAX))).await;
            if let Some(push) = pushes.get(round as usize % pushes.len()) {
                talk.say(&Message::Push(push.clone())).await;
            }
            // A frame of a quarter of a gigabyte.
            talk.write(&[0xff, 0xff, 0xff, 0x7f]).await;
            talk.hear(ANSWER_WITHIN, |message| matches!(message, Message::Close(_))).await;
        }
    }

    /// The last generation that there can be, rightly signed.
    fn claimed_generation(&mut self) -> Option<PushEntry> {
        let key = DocumentKey::observed(self.insider.node());
        let chunk = Forge::new(&self.insider, &mut self.random)?.next(1, |_| {})?;
        let root = Root {
            document: key.id(),
            generation: u32::MAX,
            epoch: 0,
            encoder: ENCODER,
            genesis: ChangeHash(bytes(&mut self.random)),
            cut: Heads::new(vec![chunk.hash])?,
            clock: Clock::default(),
        };
        let root = root.sign(self.insider.identity.key()).to_claim();
        let frontier = signed(&self.insider, &key, (u32::MAX, 1), vec![chunk.hash]);
        let frame = delta(key, raw(&[chunk.bytes]), frontier);
        Some(PushEntry::Delta(DeltaFrame { roots: vec![root], ..frame }))
    }

    /// A good change under the last version that there can be.
    fn claimed_version(&mut self) -> Option<PushEntry> {
        let key = DocumentKey::observed(self.insider.node());
        let chunk = Forge::new(&self.insider, &mut self.random)?.next(2, |_| {})?;
        let generation = self.insider.own().generation;
        let frontier = signed(&self.insider, &key, (generation, u64::MAX), vec![chunk.hash]);
        Some(PushEntry::Delta(delta(key, raw(&[chunk.bytes]), frontier)))
    }

    fn bombs(&mut self) -> Vec<PushEntry> {
        let chunks = Forge::new(&self.insider, &mut self.random).map(|forge| forge.bombs()).unwrap_or_default();
        let mut entries: Vec<PushEntry> = chunks.into_iter().filter_map(|chunk| of_own(&self.insider, chunk)).collect();
        let key = DocumentKey::observed(self.insider.node());
        let Ok(zeros) = zstd::bulk::compress(&vec![0; DELTA_BYTES_MAX + 1], 3) else { return entries };
        for codec in [Codec::RawZstd, Codec::Runs, Codec::Columns] {
            let heads = vec![ChangeHash(bytes(&mut self.random))];
            let frontier = signed(&self.insider, &key, (self.insider.own().generation, 1), heads);
            let frame = delta(key.clone(), zeros.clone(), frontier);
            entries.push(PushEntry::Delta(DeltaFrame { codec, ..frame }));
        }
        entries
    }

    /// A number that the node has used, and one that is used for another thing at each hub.
    fn forked(&mut self) -> Vec<Chunk> {
        let Some(forge) = Forge::new(&self.insider, &mut self.random) else { return Vec::new() };
        let twice = forge.last(|change| change.message = Some(format!("other {}", self.number)));
        // The same actor at every hub.
        let actor = ActorBytes::mint(&self.insider.node(), [0xf0; 8]);
        let fork = Forge::with_actor(&self.insider, actor);
        let mut chunks: Vec<Chunk> = twice.into_iter().collect();
        chunks.extend(fork.iter().filter_map(|fork| fork.next(1000 + self.number, |_| {})));
        chunks.extend(fork.iter().filter_map(|fork| fork.next(2000 + self.number, |_| {})));
        chunks
    }

    fn gaps(&mut self) -> Vec<Chunk> {
        let Some(forge) = Forge::new(&self.insider, &mut self.random) else { return Vec::new() };
        let next = |seq| forge.next(seq, |change| change.seq = seq);
        let after = forge.last(|change| change.seq += 2);
        [2, 3, 1000, u64::from(u32::MAX)].into_iter().filter_map(next).chain(after).collect()
    }

    fn under_foreign_actors(&mut self) -> Vec<Chunk> {
        let whom: Vec<NodeId> = self.insider.others.iter().chain(&self.insider.hubs).copied().collect();
        let mut chunks = Vec::new();
        for node in whom {
            let actor = ActorBytes::mint(&node, bytes(&mut self.random));
            let forge = Forge::with_actor(&self.insider, actor);
            chunks.extend(forge.and_then(|forge| forge.next(3, |_| {})));
        }
        chunks
    }

    fn foreign_documents(&mut self) -> Vec<PushEntry> {
        let mut entries = Vec::new();
        for key in foreign(&self.insider) {
            entries.extend(forged(&self.insider, &key, self.insider.node(), &mut self.random));
            entries.push(PushEntry::Leave(key));
        }
        entries
    }

    fn forgeries(&mut self) -> Vec<PushEntry> {
        let insider = Arc::clone(&self.insider);
        let mut entries: Vec<PushEntry> =
            insider.loot.records.iter().map(|record| altered(record, &mut self.random)).collect();
        for key in foreign(&insider) {
            let author = key.owner.filter(|owner| *owner != insider.node()).or(insider.hubs.first().copied());
            entries.extend(author.and_then(|author| forged(&insider, &key, author, &mut self.random)));
        }
        entries
    }

    /// Everything that the node holds, old and new, in any order and twice; then what the hub says, back to the hub.
    async fn replay(&mut self) {
        let insider = Arc::clone(&self.insider);
        let records = &insider.loot.records;
        let place = |random: &mut Random| usize::try_from(random.below(records.len() as u64)).unwrap_or(0);
        let drawn: Vec<usize> = (0..2 * records.len()).map(|_| place(&mut self.random)).collect();
        self.push_all(drawn.into_iter().filter_map(|place| records.get(place)).map(again).collect()).await;
        let hello = insider.other_hello(&mut self.random);
        let Some(mut talk) = self.meet(hello).await else { return };
        let heard = talk.hear(ANSWER_WITHIN, |message| matches!(message, Message::Close(_))).await;
        drop(talk);
        sleep(ANSWER_WITHIN).await;
        let said = heard
            .into_iter()
            .filter_map(|message| if let Message::Push(Push { entry, .. }) = message { entry } else { None });
        self.push_all(said.collect()).await;
    }
}
