//! Every bound of the engine, with its unit and its reason. A bound that is not here is a defect.

/// Bytes of one Automerge change as stored (uncompressed). Kubernetes refuses objects above 1.5 MiB, and a layer is
/// written in one change: this leaves room for a layer of a few hundred objects and still parses in milliseconds.
pub const CHANGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Operations in one change. One object of a hundred fields is about a hundred operations.
pub const CHANGE_OPERATIONS_MAX: u64 = 262_144;

/// Dependencies of one change: at most one for each actor that can be concurrent.
pub const CHANGE_DEPENDENCIES_MAX: usize = 64;

/// Actors that one change may name besides its own: every start of a process writes under a fresh one, so this many starts
/// may have left a field each before one change overwrites them all. Generations (decision D5) will cut long before.
pub const CHANGE_ACTORS_MAX: usize = 4096;

/// Bytes of an actor id: 8 of its author's node id, 8 random.
pub const ACTOR_BYTES: usize = 16;

/// Highest operation counter of a document. Automerge stores counters in 32 bits and panics past them; a document is
/// re-rooted long before (decision D5), so this far below the edge nothing honest is refused.
pub const OPERATION_COUNTER_MAX: u64 = 1 << 31;

/// Bytes of one string or byte value inside a change.
pub const VALUE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Depth of nested maps and lists in one document. Kubernetes objects stay below 40.
pub const DOCUMENT_DEPTH_MAX: usize = 96;

/// Bytes of one frame on the wire, after its length prefix. Far above a part, and little enough that what a hostile peer
/// makes a link hold before the frame is whole, and the queue of the replica's thread ([`JOBS_WAITING_MAX`]), stay small.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of the changes of one delta after decompression. Larger catch-ups travel as several deltas.
pub const DELTA_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Changes in one delta.
pub const DELTA_CHANGES_MAX: usize = 16_384;

/// Dependencies in one delta, over all its changes. Each joins a clock; a line of changes has one each, and hubs that write
/// beside each other a few now and then.
pub const DELTA_DEPENDENCIES_MAX: u64 = 65_536;

/// Actors that one delta names, over all its changes; of these that begin in it: as many as one change may name.
pub const DELTA_ACTORS_MAX: u64 = 4096;

/// Operations in one delta, over all its changes: a scanned operation takes about a hundred bytes while it is checked.
pub const DELTA_OPERATIONS_MAX: u64 = 1 << 20;

/// Predecessors in one delta, over all its changes: as many for each operation as in one change. A run of them takes a few
/// bytes, and each is looked up.
pub const DELTA_PREDECESSORS_MAX: u64 = 2 * DELTA_OPERATIONS_MAX;

/// Bytes of a document's, node's, token's or layer's name. Names become file names and Kubernetes labels (RFC 1123: 63).
pub const NAME_BYTES_MAX: usize = 63;

/// Heads in one frontier: one for each actor that can be concurrent.
pub const FRONTIER_HEADS_MAX: usize = 64;

/// Frontiers of one document in one push. Each is a signature of 64 bytes, which takes its receiver some 60 us to check: this
/// many are half a part and a sixtieth of a second, and a thousand edits of a layer travel in a handful of pushes.
pub const FRONTIERS_MAX: usize = 256;

/// Bytes of the changes, as stored, below the frontiers of one push when it holds several. They then pack into one frame, and
/// a large change that travels in parts is the same transfer whatever else was written after it.
pub const FRONTIERS_CHANGE_BYTES_MAX: u64 = 64 * 1024;

/// Bytes of credit for which a push holds one more frontier than one: a signature, a head and what else says which. Half of
/// the room is left for changes.
pub const FRONTIER_ROOM: u64 = 256;

/// Entries of a feed that need no content and are passed by in one step.
pub const PASSED_BY_MAX: usize = 4_096;

/// Entries kept in quarantine; the oldest make room. Enough to see what a faulty peer does, too few to fill a disk.
pub const QUARANTINE_ENTRIES_MAX: u64 = 256;

/// Bytes kept of each quarantined input.
pub const QUARANTINE_BYTES_MAX: usize = 64 * 1024;

/// Characters kept of a text that a peer sent for people to read.
pub const MESSAGE_TEXT_BYTES_MAX: usize = 512;

/// Bytes of packed changes that travel in one frame; a larger delta is a transfer in parts. A cut loses one part at most: at
/// 64 kbit/s this is four seconds, so a link that lives for a minute loses 3 % on average. Each costs its receiver one
/// transaction: 5 ms each still take 50 Mbit/s.
pub const PART_BYTES_MAX: usize = 32 * 1024;

/// Bytes of a part that is not the last: fewer would make a row and a transaction for next to nothing.
pub const PART_BYTES_MIN: usize = 2 * 1024;

/// Bytes of one transfer: what [`DELTA_BYTES_MAX`] may become when nothing of it can be compressed, with room to spare.
pub const TRANSFER_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Bytes of the changes of one delta once unpacked, over everything that is admitted together: it is in memory then. Also
/// what transfers that are not complete may announce together for each peer, all of which may come to lie on the disk.
pub const STAGING_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Bytes that transfers which are not complete may announce over all peers. Past it, the peer that announced most loses its
/// oldest, so a hostile peer makes room before it takes any.
pub const STAGING_TOTAL_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Transfers of one peer that are not complete. A link carries one at a time; the others are left over from documents that
/// have moved on, and the oldest goes. Also the resumes that are kept of a peer on one link.
pub const STAGED_TRANSFERS_MAX: usize = 16;

/// Bytes of packed transfers that a replica keeps in memory while links send them. One that was dropped is packed again: a
/// hub that rolls one layer out to thousands holds it once, and fifty slow links may each have a layer of 5 MB of their own
/// before any is packed twice.
pub const PACKED_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Entries of a feed that are looked at, each time, for a small one that goes ahead of a transfer's next part.
pub const LOOK_AHEAD_ENTRIES_MAX: usize = 32;

/// Documents whose entries a transfer noted as too large to go ahead of it. Past it nothing more goes ahead.
pub const LOOK_AHEAD_SKIPPED_MAX: usize = 1024;

/// Ranges of frontiers of one document that a link remembers to have passed. One that was forgotten is sent once more.
pub const PASSED_RANGES_MAX: usize = 64;

/// Bytes of pushes under way on one link: what a receiver grants at most, and what a sender sends at most before it heard
/// that something of it is durable. Enough to fill 10 Mbit/s at 800 ms, a bad satellite link.
pub const WINDOW_BYTES_MAX: u64 = 1024 * 1024;

/// Steps of a feed that wait for an acknowledgement on one link. With the peer's acknowledgements they fit the frames that
/// may wait for a link.
pub const WINDOW_STEPS_MAX: usize = 512;

/// Refusals of one peer's entries that are kept to be told again. No more can be unheard: so many steps may wait for an
/// acknowledgement, and each refusal goes before one.
pub const UNTOLD_REFUSALS_MAX: usize = WINDOW_STEPS_MAX;

/// Sessions in which a refusal is told again while the document does not come in a form that is taken. Each may cost the peer
/// the whole document, in vain if it will never be taken.
pub const UNTOLD_TELLS_MAX: u32 = 8;

/// Bytes of pushes under way over all links, in each direction: what is granted together, and what waits in memory to be
/// sent. Links to nodes share it, so that a hub with thousands of slow links does not hold gigabytes.
pub const LINKS_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Bytes of pushes that each link to a node may have under way, however many there are. Two full pushes, so that one can be
/// made durable while the next travels; 160 MiB for ten thousand links.
pub const LINK_BYTES_MIN: u64 = 16 * 1024;

/// The parts of [`LINKS_BYTES_MAX`] still free that a receiver grants to a new link to a node. The first gets 256 KiB, the
/// thousandth 94, and from some three thousand on each gets [`LINK_BYTES_MIN`].
pub const GRANT_SHARES: u64 = 1024;

/// The parts of [`LINKS_BYTES_MAX`] still free that a sender uses for one link to a node.
pub const SEND_SHARES: u64 = 16;

/// Seconds of a transfer that may be under way at the pace at which the peer makes it durable: what is written meanwhile waits
/// that long behind it. Several times the slowest round trip, so that the pace can rise.
pub const TRANSFER_AHEAD_SECONDS: u64 = 4;

/// Bytes of a transfer that may be under way however slow the link is: the part that arrives, and the one after it.
pub const TRANSFER_AHEAD_BYTES_MIN: u64 = 80 * 1024;

/// Bytes that a push counts as at least, so that a window of small pushes fits the frames that may wait for a link.
pub const PUSH_BYTES_MIN: u64 = 2 * 1024;

/// Bytes of credit without which nothing is pushed: the smallest part, and everything else that a push may hold (64 heads,
/// a name, a place, ids).
pub const PUSH_ROOM_MIN: u64 = 8 * 1024;

/// Bytes that a receiver makes durable before it renews the sender's credit. Half of [`LINK_BYTES_MIN`], so that the
/// smallest window never runs dry for good.
pub const CREDIT_STEP_BYTES: u64 = 8 * 1024;

/// Sessions of nodes with something to catch up that a hub takes at once; the others are told when to come back. A disk
/// that makes 200 transactions a second durable is busy with as many as answer within a slow round trip of 300 ms.
pub const CATCH_UPS_MAX: usize = 64;

/// How long a session counts as catching up, in seconds. One that takes longer has a slow link: it makes a transaction
/// every few seconds and is no burden, and must not keep the place of those that would be through in one.
pub const CATCH_UP_SECONDS_MAX: u64 = 10;

/// Peers whose last contacts are noted in memory before they are written down together: some 100 bytes each, and one
/// transaction that takes about as long as a hundred admitted changes.
pub const CONTACTS_NOTED_MAX: usize = 1_024;

/// How long a contact may stay noted in memory alone, in seconds: what a crash may lose of times and counters.
pub const CONTACTS_NOTED_SECONDS_MAX: u64 = 10;

/// Longest wait that a node lets its hub impose, in milliseconds: an hour. A hub that asks for more is faulty, and must not
/// silence a fleet.
pub const RETRY_AFTER_MS_MAX: u64 = 3_600_000;

/// How long a link may stay without a hello, in seconds: three tries of a lost packet on the slowest link.
pub const HELLO_WAIT_SECONDS: u64 = 20;

/// Shortest bound of the wait before a link is dialled again, in milliseconds.
pub const REDIAL_WAIT_MS_MIN: u64 = 500;

/// Longest bound of the wait before a link is dialled again, in milliseconds. Five minutes: a hub that comes back has its
/// fleet within that time, and ten thousand nodes then arrive at some thirty a second.
pub const REDIAL_WAIT_MS_MAX: u64 = 300_000;

/// Bytes of one map key inside a change. Kubernetes' longest keys (annotations, 317 bytes) stay far below.
pub const KEY_BYTES_MAX: usize = 4 * 1024;

/// Bytes of all map keys of a change with repeats written out. Automerge copies a key for every operation that uses it, so
/// a run of one long key grows from a few bytes; a change as large as allowed, with a key for every operation, fits.
pub const CHANGE_KEY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Bytes of the map keys in one batch of symbols, each counted as often as it is named: so often it is compared when the column
/// is written. Four changes with as much as a change may have; a sender with more sends its chunks as they are.
pub const NAMED_KEY_BYTES_MAX: u64 = 4 * CHANGE_KEY_BYTES_MAX;

/// Predecessors in one change: two for each operation, as when every field of a document in conflict is overwritten.
pub const CHANGE_PREDECESSORS_MAX: u64 = 2 * CHANGE_OPERATIONS_MAX;

/// Bytes that any batch of symbols may take while it is unpacked: what it unpacks to, the rows of a change, what operations are
/// foretold from, and the changes. A report of thousands of fields fits, and a few hundred bytes cannot ask for more.
pub const UNPACKED_BYTES_MIN: usize = 2 * 1024 * 1024;

/// Bytes more that a batch may take for each of its own. Histories as this project writes them take up to a hundred; a batch
/// above this is sent as it is.
pub const UNPACKED_RATIO_MAX: usize = 256;

/// Bytes that no batch of symbols may take more of: three times the changes of one delta.
pub const UNPACKED_BYTES_MAX: usize = 3 * DELTA_BYTES_MAX;

/// Bytes of a decompressor that a thread keeps for the next stream: what zstd takes for a window of 128 KiB. One that a peer
/// made take more, up to a window of [`DELTA_BYTES_MAX`], is let go.
pub const KEPT_DECOMPRESSOR_BYTES_MAX: usize = 512 * 1024;

/// Bytes of a change's message, which people read.
pub const CHANGE_MESSAGE_BYTES_MAX: usize = 1024;

/// Largest distance of a change's timestamp from 1970, in whatever unit its author uses. Automerge stores differences of
/// timestamps in 64 bits; numbers that JSON can hold leave them room.
pub const CHANGE_TIMESTAMP_MAX: i64 = 1 << 53;

/// Bytes of one key of a map in a document. The longest known are object keys: group 253, kind 63, namespace 63, name 253.
pub const DOCUMENT_KEY_BYTES_MAX: usize = 1024;

/// Pairs of items that are compared to find the smallest difference of two lists without keys: 512 x 512 items, below
/// 1 MiB of table. Above it the differing middle is written item over item: more operations, never a wrong result.
pub const LIST_DIFFERENCE_PAIRS_MAX: usize = 512 * 512;

/// Bytes of one file in a target folder. The largest object that fits one change, printed with indentation; a longer
/// file is not read, it cannot be ours.
pub const TARGET_FILE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Files with this project's prefix in one target folder: far above the objects of a large edge cluster (2 000), low
/// enough that a folder that something else fills does not eat the agent's memory.
pub const TARGET_FILES_MAX: usize = 65_536;

/// Bytes of one certificate (DER). Ours take about 400; a chain is two of them.
pub const CERTIFICATE_BYTES_MAX: usize = 2 * 1024;

/// Bytes of one message of the join exchange, either way: a chain of two certificates and a sentence for people.
pub const JOIN_MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// Bytes of the sentence for people in a refusal.
pub const REFUSAL_BYTES_MAX: usize = 512;

/// Bytes taken from a stream at once: what a frame's buffer grows by, whatever length its prefix claims.
pub const READ_BYTES_MAX: usize = 64 * 1024;

/// Bytes that one stream may have under way before its reader took them: 1 MiB fills 10 Mbit/s over 800 ms, a satellite.
pub const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// Bytes that one connection may have under way, over all its streams, in each direction. quinn's default is unbounded.
pub const CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// Streams that a peer may have open on one connection. One is used; the others let an older and a newer version meet.
pub const STREAMS_MAX: u32 = 4;

/// Connections of one endpoint, authenticated or not: past it, new ones are refused until some end.
pub const CONNECTIONS_MAX: usize = 65_536;

/// Handshakes that run at once, each some 50 KiB. More wait as unanswered first packets.
pub const HANDSHAKES_MAX: usize = 512;

/// Handshakes under way from which on a new address must first prove that it can receive (RFC 9000, 8.1.2).
pub const HANDSHAKES_BEFORE_RETRY: usize = 64;

/// First packets that wait for a free handshake; past it they are dropped and their senders try again.
pub const WAITING_HANDSHAKES_MAX: usize = 1_024;

/// Bytes kept of each waiting handshake. A client hello of ours takes about 400.
pub const WAITING_HANDSHAKE_BYTES_MAX: u64 = 16 * 1024;

/// Bytes kept of all waiting handshakes together.
pub const WAITING_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Bytes of a closing reason that are sent: it has to fit in one packet.
pub const CLOSE_REASON_BYTES_MAX: usize = 256;

/// Inputs that wait for a replica's thread. Each holds a frame at worst (64 MiB together); links wait while it is full.
pub const JOBS_WAITING_MAX: usize = 64;

/// Frames that wait for one link. Pushes are bounded by the window, so this many are acknowledgements and credits that a
/// peer does not read.
pub const LINK_FRAMES_WAITING_MAX: usize = 1024;

/// Bytes of pushes that wait for one link: a whole window, and one push that goes over it. A peer that grants more and does not
/// read loses the link.
pub const LINK_BYTES_WAITING_MAX: u64 = 2 * 1024 * 1024;

/// Events that a slow subscriber can be behind.
pub const EVENTS_KEPT: usize = 1024;

/// How long a link that ended may take to say what the peer's last frames meant: the replica's queue at a slow disk's pace.
pub const LAST_FRAMES_WAIT: std::time::Duration = std::time::Duration::from_secs(2);

/// How long a process that was told to end waits for its peers to take the goodbye, and again for QUIC to fall silent.
/// Twice this and a full stop of the replica stay below five seconds, in which service managers start to kill.
pub const GOODBYE_WAIT: std::time::Duration = std::time::Duration::from_millis(1_500);

/// Frontiers that a summary lists; where a feed holds more, the two sides reconcile with negentropy. 64 KiB: half a second
/// at 1 Mbit/s, no more than three rounds of reconciling take on a satellite link. Also how much a node can make a hub look
/// up.
pub const SUMMARY_ITEMS_MAX: usize = 2_048;

/// Frontiers of one document that are compared with a summary's, the newest first. One that is older than these is fetched
/// although it is held, without its changes.
pub const COMPARED_FRONTIERS_MAX: u64 = 64;

/// Bytes of one message of a reconciliation. A hundred thousand documents of which all differ take some thirty such
/// messages each way, a few differing ones one.
pub const RECONCILE_BYTES_MAX: usize = 256 * 1024;

/// Messages of one reconciliation that a side answers before it takes the other for broken: twice what a hundred thousand
/// documents need that all differ.
pub const RECONCILE_ROUNDS_MAX: u32 = 64;

/// Bytes of one frame of wants.
pub const WANT_BYTES_MAX: usize = 64 * 1024;

/// Actors in the clock of one wanted document; the changes of others are sent again.
pub const WANTED_ACTORS_MAX: usize = CHANGE_ACTORS_MAX;

/// How long a copy of a store that is in use elsewhere is told to stay away, in seconds: nothing changes until somebody
/// takes one of the two away, and an hour later the one that is left is served.
pub const CLONED_WAIT_SECONDS: u32 = 3_600;

/// Certificates that one frontier carries: its author's and those of hubs whose changes lie below it.
pub const CERTIFICATES_CARRIED_MAX: usize = 64;

/// Hubs of one fleet. Each links to each, so more would be a mesh of thousands of links; fleets have two to five.
pub const HUBS_MAX: usize = 64;

/// Addresses of one hub: names and literals, inside and outside a site.
pub const HUB_ADDRESSES_MAX: usize = 8;

/// Bytes of one address: a DNS name (253) and a port.
pub const ADDRESS_BYTES_MAX: usize = 260;

/// Members that the roster names as revoked. Each takes some 300 bytes on every member, and the roster is one document.
pub const REVOKED_MAX: usize = 8_192;

/// Statements that a store keeps parsed, at some 5 KiB each: more than there are, so that each is parsed once.
pub const STATEMENTS_KEPT_MAX: usize = 256;

/// Loaded documents that a replica keeps for the next change: one for each node of a large fleet. A hub with more nodes than
/// these that report in turn loads each again, which takes it several times as long as the rest of a report.
pub const LOADED_DOCUMENTS_MAX: usize = 16 * 1024;

/// Operations of all loaded documents that are kept, at some 300 bytes each: 300 MiB at a hub to which ten thousand nodes
/// report, 30 KiB for each. A node keeps its own documents only, a few thousand operations. A change counts as one more, and
/// so do the clocks of changes by their bytes.
pub const LOADED_OPERATIONS_MAX: u64 = 1024 * 1024;

/// Operations, counted in the same way, of one document that stays loaded. A report that large is loaded in milliseconds, and
/// must not put out those of hundreds of nodes.
pub const LOADED_DOCUMENT_OPERATIONS_MAX: u64 = 32 * 1024;

/// Changes of a document after which its author begins a new generation (decision D5). A thousand small changes are some
/// 120 KB, load in 3 ms and are scanned on every admission.
pub const GENERATION_CHANGES_MAX: u64 = 1_024;

/// Actors of a document after which a new generation begins: as many as may be concurrent in one change.
pub const GENERATION_ACTORS_MAX: u64 = 64;

/// A new generation begins when what it drops is more than this many times the state: with rows and indexes beside them, a
/// document then takes less than 8 times its state on disk.
pub const GENERATION_LOG_RATIO_MAX: u64 = 3;

/// Operations after the genesis from which on a new generation begins: as many as the largest change has. Without it runs of
/// equal operations, which take next to no bytes, would pile up.
pub const GENERATION_LOG_OPERATIONS_MAX: u64 = CHANGE_OPERATIONS_MAX;

/// Operations of one generation of a document, over all deltas that brought them. All are read for each delta that comes,
/// some two hundred bytes each. An honest author cuts below [`GENERATION_LOG_OPERATIONS_MAX`] after the genesis, so genesis, log
/// and one more change stay below three quarters of this.
pub const GENERATION_OPERATIONS_MAX: u64 = 4 * CHANGE_OPERATIONS_MAX;

/// Bytes of the changes of one generation: they are in memory whenever the document is loaded. An honest author cuts below
/// [`GENERATION_LOG_BYTES_MAX`], so with one more change they stay below three quarters of this.
pub const GENERATION_BYTES_MAX: u64 = STAGING_BYTES_MAX;

/// Bytes of the changes of one generation from which on a new one begins, whatever the state takes.
pub const GENERATION_LOG_BYTES_MAX: u64 = GENERATION_BYTES_MAX / 2;

/// Entries in the clocks of all changes of one generation, which are in memory while a delta is admitted: 24 bytes for each
/// actor below each change. [`GENERATION_CHANGES_MAX`] changes by [`GENERATION_ACTORS_MAX`] actors have a sixteenth.
pub const GENERATION_CLOCKS_MAX: u64 = 1 << 20;

/// Bytes that a cut has to drop at least: a record and its frontier cost some 300 bytes on each link, a tenth of what the
/// thirty changes cost that are cut with them.
pub const GENERATION_LOG_BYTES_MIN: u64 = 16 * 1024;

/// Bytes on the disk beside a small change: its row without the chunk, the row of its frontier, and both in their indexes.
pub const CHANGE_ROWS_BYTES: u64 = 400;

/// Bytes of a value in the database up to which it is compressed. Sixteen of the largest changes; what a damaged row can make
/// its reader allocate.
pub const COMPRESSED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Generations of one layer that are kept because releases name them; past it the oldest goes, and a release that names it
/// can only be applied where it was applied already.
pub const GENERATIONS_KEPT_MAX: usize = 8;

/// Generation records of one document that are kept and sent: a hub that wrote alone for this many generations can tell
/// which of its changes were in the cuts.
pub const GENERATION_RECORDS_MAX: usize = 64;

/// Bytes of a feed in a file: some minutes' work of a slow disk at most. What does not fit goes into the next file.
pub const BUNDLE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Frames of a bundle, the hello among them: each may cost a transaction, so on a slow disk this is five minutes' work. A
/// hub's feed of more documents goes into several files.
pub const BUNDLE_FRAMES_MAX: u64 = 65_536;

/// Frames of a bundle that are taken before links are served again: less than a tenth of a second on a slow disk.
pub const BUNDLE_STEP_FRAMES_MAX: usize = 16;

/// Refused entries of a bundle that are listed one by one; the others are counted, and what is bad of them is in quarantine.
pub const BUNDLE_REFUSALS_LISTED_MAX: usize = 32;

/// Bytes of generation records that travel with one frontier, the newest first: what a frame holds beside a part and its
/// certificates. The largest record, of a cut above [`CHANGE_ACTORS_MAX`] actors, takes 98 KiB; a common one 300 bytes.
pub const ROOTS_BYTES_MAX: usize = 512 * 1024;

const _: () = assert!(CHANGE_BYTES_MAX < DELTA_BYTES_MAX);
const _: () = assert!(UNPACKED_BYTES_MIN < DELTA_BYTES_MAX);
const _: () = assert!(OPERATION_COUNTER_MAX + CHANGE_OPERATIONS_MAX < u32::MAX as u64);
const _: () = assert!(CHANGE_BYTES_MAX < TARGET_FILE_BYTES_MAX);
const _: () = assert!(2 * WINDOW_STEPS_MAX <= LINK_FRAMES_WAITING_MAX);
const _: () = assert!(WINDOW_BYTES_MAX + FRAME_BYTES_MAX as u64 <= LINK_BYTES_WAITING_MAX);
const _: () = assert!(CHANGE_ACTORS_MAX as u64 <= DELTA_ACTORS_MAX);
const _: () = assert!(REFUSAL_BYTES_MAX + 2 * CERTIFICATE_BYTES_MAX < JOIN_MESSAGE_BYTES_MAX);
const _: () = assert!(WINDOW_BYTES_MAX / PUSH_BYTES_MIN <= WINDOW_STEPS_MAX as u64);
const _: () = assert!(LINK_BYTES_MIN >= 2 * PUSH_ROOM_MIN && CREDIT_STEP_BYTES <= PUSH_ROOM_MIN);
const _: () = assert!(PUSH_ROOM_MIN > (PART_BYTES_MIN + FRONTIER_HEADS_MAX * 32 + CERTIFICATE_BYTES_MAX) as u64);
const _: () = assert!(TRANSFER_BYTES_MAX < STAGING_BYTES_MAX && STAGING_BYTES_MAX < STAGING_TOTAL_BYTES_MAX);
const _: () = assert!(2 * CHANGE_ACTORS_MAX * 24 < ROOTS_BYTES_MAX);
const _: () = assert!(
    2 * CHANGE_OPERATIONS_MAX + GENERATION_LOG_OPERATIONS_MAX < GENERATION_OPERATIONS_MAX
        && (2 + GENERATION_LOG_RATIO_MAX) * (CHANGE_BYTES_MAX as u64) < GENERATION_BYTES_MAX
        && GENERATION_CHANGES_MAX * GENERATION_ACTORS_MAX < GENERATION_CLOCKS_MAX
);
const _: () = assert!(
    PART_BYTES_MAX + ROOTS_BYTES_MAX + (CERTIFICATES_CARRIED_MAX + 2) * CERTIFICATE_BYTES_MAX < FRAME_BYTES_MAX
);
const _: () = assert!(WANTED_ACTORS_MAX * 24 < FRAME_BYTES_MAX - WANT_BYTES_MAX);
const _: () = assert!(SUMMARY_ITEMS_MAX * 32 < FRAME_BYTES_MAX);
