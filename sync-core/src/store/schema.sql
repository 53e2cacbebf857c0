-- One replica: its identity, its documents, what it owes to each peer. Format 1, written by sync-core 0.1.
-- Hashes and ids are BLOBs of the length given. Times are seconds since 1970, NULL when the clock was not known. What is
-- compressed is a zstd frame, or itself where no frame is shorter.

-- Who this store is. Exactly one row.
CREATE TABLE store (
  only        INTEGER PRIMARY KEY CHECK (only = 1),
  store_id    BLOB    NOT NULL,            -- 16 random bytes, made with the file
  incarnation INTEGER NOT NULL,            -- rises when the store learns that it lost its past
  nonce       BLOB    NOT NULL,            -- 8 random bytes, made with the incarnation
  role        INTEGER NOT NULL,            -- 1 hub, 2 node
  seed        BLOB    NOT NULL,            -- 32 bytes: the Ed25519 private key
  chain       BLOB    NOT NULL,            -- certificates in DER, leaf first, each after its u32 length (little endian)
  pin         BLOB    NOT NULL             -- 32 bytes: hash of the fleet CA's public key
) STRICT;

-- The fleet's certificate authority; only on a hub. At most one row.
CREATE TABLE authority (
  only        INTEGER PRIMARY KEY CHECK (only = 1),
  seed        BLOB    NOT NULL,            -- 32 bytes: the Ed25519 private key
  fleet       TEXT    NOT NULL             -- the fleet's name; with the key it gives the root certificate
) STRICT;

-- Every document held here.
CREATE TABLE document (
  id          INTEGER PRIMARY KEY,
  document    BLOB    NOT NULL UNIQUE,     -- 16 bytes: hash of kind, owner and name
  kind        INTEGER NOT NULL,            -- DocumentKind
  owner       BLOB,                        -- 32 bytes: the node it is about; NULL for the whole fleet
  name        TEXT    NOT NULL,
  generation  INTEGER NOT NULL,            -- how often it was re-rooted
  latest      INTEGER                      -- place in the log of its newest frontier; NULL before the first
) STRICT;
CREATE INDEX document_kind ON document (kind, name);

-- The signed record that began a generation, for the newest few dozen of each document. Generation 0 has none.
CREATE TABLE root (
  document    INTEGER NOT NULL REFERENCES document (id),
  generation  INTEGER NOT NULL,
  epoch       INTEGER NOT NULL,            -- of the author's right to cut
  encoder     INTEGER NOT NULL,            -- how the genesis is written
  genesis     BLOB    NOT NULL,            -- 32 bytes: hash of the first change
  cut         BLOB    NOT NULL,            -- heads of the generation before, ascending, 32 bytes each
  clock       BLOB    NOT NULL,            -- at the cut: actor (16) and seq (u64, big endian), repeated
  author      BLOB    NOT NULL,            -- 32 bytes: node id
  signature   BLOB    NOT NULL,            -- 64 bytes
  PRIMARY KEY (document, generation)
) STRICT, WITHOUT ROWID;

-- Automerge actors, so that changes name them by a small number. Each writes in one generation of one document.
CREATE TABLE actor (
  id          INTEGER PRIMARY KEY,
  actor       BLOB    NOT NULL UNIQUE      -- 16 bytes
) STRICT;

-- Changes, each below a frontier in the log. An actor's changes have no gaps.
CREATE TABLE change (
  id          INTEGER PRIMARY KEY,         -- order of arrival, which is a causal order within a document
  document    INTEGER NOT NULL REFERENCES document (id),
  generation  INTEGER NOT NULL,
  actor       INTEGER NOT NULL,            -- its number in the table `actor`
  seq         INTEGER NOT NULL,
  hash        BLOB    NOT NULL,            -- 32 bytes: SHA-256 of the chunk
  start_op    INTEGER NOT NULL,
  max_op      INTEGER NOT NULL,
  deps        BLOB    NOT NULL,            -- hashes, 32 bytes each
  size        INTEGER NOT NULL,            -- bytes of the chunk; before it, to be read without it
  chunk       BLOB    NOT NULL,            -- the Automerge change chunk, compressed
  UNIQUE (document, actor, seq)
) STRICT;

-- The log: signed frontiers in order of arrival. Those of generations that were dropped go as soon as no feed names them.
CREATE TABLE log (
  seq         INTEGER PRIMARY KEY,
  document    INTEGER NOT NULL REFERENCES document (id),
  generation  INTEGER NOT NULL,
  version     INTEGER NOT NULL,            -- for people; order is causal
  heads       BLOB    NOT NULL,            -- change hashes, ascending, 32 bytes each
  clock       BLOB    NOT NULL,            -- actor (16) and seq (u64, big endian), repeated
  author      BLOB    NOT NULL,            -- 32 bytes: node id
  signature   BLOB    NOT NULL,            -- 64 bytes
  at          INTEGER,
  held        INTEGER NOT NULL DEFAULT 1,  -- 0: the changes below it were dropped with their generation
  UNIQUE (document, generation, heads)
) STRICT;

-- The state at a document's latest frontier.
CREATE TABLE view (
  document    INTEGER PRIMARY KEY REFERENCES document (id),
  log         INTEGER NOT NULL,            -- place in the log
  size        INTEGER NOT NULL,            -- bytes of the state
  state       BLOB    NOT NULL             -- JSON, compressed
) STRICT;

-- Local state of observed documents that was not cut into a change yet, because nobody has asked for it.
CREATE TABLE pending (
  document    INTEGER PRIMARY KEY REFERENCES document (id),
  size        INTEGER NOT NULL,            -- bytes of the state
  state       BLOB    NOT NULL             -- JSON, compressed
) STRICT;

-- Everyone this replica ever talked to or enrolled.
CREATE TABLE peer (
  id           INTEGER PRIMARY KEY,
  node         BLOB    NOT NULL UNIQUE,    -- 32 bytes
  role         INTEGER NOT NULL,           -- 1 hub, 2 node
  name         TEXT    UNIQUE,             -- from its assignment; NULL for hubs, whose names are in the roster
  public_key   BLOB    NOT NULL,           -- 32 bytes
  revoked      INTEGER NOT NULL DEFAULT 0,
  dirty        INTEGER NOT NULL DEFAULT 1, -- its feed may lack entries of the log
  head         INTEGER NOT NULL DEFAULT 0, -- its feed: last position and the chain there
  head_chain   BLOB    NOT NULL,           -- 16 bytes
  scanned      INTEGER NOT NULL DEFAULT 0, -- where the log ended when its feed was last extended; only for hubs
  acked        INTEGER NOT NULL DEFAULT 0, -- what the peer has made durable of its feed
  cursor       INTEGER NOT NULL DEFAULT 0, -- what is durable here of the peer's feed for us
  cursor_chain BLOB,                       -- 16 bytes; NULL before the first contact
  their_store  BLOB,                       -- 16 bytes; NULL before the first contact
  their_incarnation INTEGER NOT NULL DEFAULT 0,
  their_nonce  BLOB,                       -- 8 bytes, of that incarnation
  past_incarnation INTEGER,                -- the one before it; NULL when no other was ever known
  past_nonce   BLOB,                       -- 8 bytes, of that
  past_place   INTEGER,                    -- what was durable here of its feed under that one, and the chain there
  past_chain   BLOB,                       -- 16 bytes
  unsure       INTEGER NOT NULL DEFAULT 0, -- up to here of its feed it may hold what it has not acknowledged: reconcile
  aware        INTEGER NOT NULL DEFAULT 1, -- 0: it has not seen the present feed yet, so its cursor is of an older one
  believed     INTEGER NOT NULL DEFAULT 0, -- 1: a new incarnation was taken on its word, which it has not proved since
  clones       INTEGER NOT NULL DEFAULT 0, -- how often a second copy of its store was refused
  forks        INTEGER NOT NULL DEFAULT 0, -- how often one side was seen to have lost or changed its past
  last_contact INTEGER,
  bytes_in     INTEGER NOT NULL DEFAULT 0, -- payload: frames with their length prefix
  bytes_out    INTEGER NOT NULL DEFAULT 0,
  round_trips  INTEGER NOT NULL DEFAULT 0,
  sessions     INTEGER NOT NULL DEFAULT 0,
  refused      INTEGER NOT NULL DEFAULT 0, -- entries of ours that the peer refused
  certificate  BLOB,                       -- DER, the leaf; NULL when it was never seen
  staged       INTEGER NOT NULL DEFAULT 0  -- at a hub: only the node itself brought its assignment; an operator confirms it
) STRICT;
CREATE INDEX peer_role ON peer (role); -- hubs are few among many nodes, and looked up often

-- What each peer is owed, densely numbered from 1, with a rolling hash. Entries at or below `peer.acked` that a later one
-- of the same document replaces are dropped; all others stay.
CREATE TABLE feed (
  peer        INTEGER NOT NULL REFERENCES peer (id),
  position    INTEGER NOT NULL,
  document    INTEGER NOT NULL REFERENCES document (id),
  log         INTEGER REFERENCES log (seq), -- NULL: the document left the peer's scope
  chain       BLOB    NOT NULL,             -- 16 bytes
  refused     INTEGER NOT NULL DEFAULT 0,   -- the peer would not have it, so nothing can build on it
  reached     INTEGER REFERENCES log (seq), -- an older frontier on the way to it that the peer made durable
  PRIMARY KEY (peer, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX feed_document ON feed (peer, document, position);
CREATE INDEX feed_log ON feed (log);

-- Documents owed to a peer although they are not in its scope: it may write them, and gave a frontier beside the one held
-- here, so it lost its past or never saw ours. Until a frontier above both comes.
CREATE TABLE owed (
  peer        INTEGER NOT NULL REFERENCES peer (id),
  document    INTEGER NOT NULL REFERENCES document (id),
  PRIMARY KEY (document, peer)
) STRICT, WITHOUT ROWID;

-- Transfers that are not complete, one for each peer and document: batches that did not fit one frame.
CREATE TABLE transfer (
  id          INTEGER PRIMARY KEY,         -- rises with each transfer that begins
  peer        INTEGER NOT NULL REFERENCES peer (id),
  document    BLOB    NOT NULL,            -- 16 bytes
  transfer    BLOB    NOT NULL,            -- 16 bytes: hash of the packed batch
  total       INTEGER NOT NULL,            -- bytes of the packed batch
  held        INTEGER NOT NULL,            -- bytes of it in `staging`, from its beginning
  UNIQUE (peer, document)
) STRICT;

-- Their parts, until the last one comes with the frontier that authenticates them all.
CREATE TABLE staging (
  transfer    INTEGER NOT NULL REFERENCES transfer (id) ON DELETE CASCADE,
  start       INTEGER NOT NULL,            -- where the part begins in the packed batch
  changes     BLOB    NOT NULL,
  PRIMARY KEY (transfer, start)
) STRICT;

-- Refused entries of peers' feeds of which the peer may not have heard, because its link died. They are told again after the
-- next hello, until the document comes in a form that is taken.
CREATE TABLE untold (
  id          INTEGER PRIMARY KEY,         -- the oldest makes room
  peer        INTEGER NOT NULL REFERENCES peer (id),
  document    BLOB    NOT NULL,            -- 16 bytes
  refusal     BLOB    NOT NULL,            -- the frame that says so
  told        INTEGER NOT NULL DEFAULT 0,  -- in how many sessions it was told again
  UNIQUE (peer, document)
) STRICT;

-- Join tokens, only on a hub. The secret itself is not kept.
CREATE TABLE token (
  id          BLOB    PRIMARY KEY,         -- 8 bytes
  secret_hash BLOB    NOT NULL,            -- 32 bytes
  labels      TEXT    NOT NULL,            -- JSON object of strings
  expires     INTEGER NOT NULL,
  redeemed_by BLOB,                        -- 32 bytes: node id
  role        INTEGER NOT NULL DEFAULT 2,  -- what its bearer becomes: 1 hub, 2 node
  authority   INTEGER NOT NULL DEFAULT 0   -- 1: a hub that redeems it gets the fleet's certificate authority
) STRICT, WITHOUT ROWID;

-- Input that was refused, the newest few hundred, for an operator to look at.
CREATE TABLE quarantine (
  id          INTEGER PRIMARY KEY,
  peer        BLOB    NOT NULL,            -- 32 bytes: who sent it
  document    BLOB,                        -- 16 bytes, if it named one
  reason      TEXT    NOT NULL,
  input       BLOB    NOT NULL,            -- the first 64 KiB
  at          INTEGER
) STRICT;

-- Values of the embedding program. They never leave this store.
CREATE TABLE local (
  key         TEXT    PRIMARY KEY,
  size        INTEGER NOT NULL,            -- bytes of the value
  value       BLOB    NOT NULL             -- JSON, compressed
) STRICT, WITHOUT ROWID;
