-- The first schema. Sizes matter here: what one transition touches is written twice (log and database), a page at a time. So what
-- changes often is narrow, what is wide is appended and never rewritten, and nothing is indexed that a list can do without.

-- Facts about this store: its partitions, a sealed word that proves the key file, the tail of the hub's own audit rows.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Every business key ever taken, kept for ever: the dedup of orders and the way from a key to its number.
CREATE TABLE process_key (
    kind TEXT NOT NULL,
    key  TEXT NOT NULL,
    no   INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

-- A process in two halves: what is told once, and what each transition rewrites. The second is kept narrow.
CREATE TABLE process (
    no          INTEGER PRIMARY KEY,
    kind        TEXT NOT NULL,
    key         TEXT NOT NULL,
    logic       INTEGER NOT NULL,
    policy      ANY NOT NULL,
    subject     TEXT NOT NULL,
    priority    INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 3),
    opened_at   INTEGER NOT NULL,
    channel     TEXT NOT NULL,
    site        TEXT NOT NULL,
    number      TEXT NOT NULL,
    market      TEXT NOT NULL,
    total       TEXT NOT NULL,
    currency    TEXT NOT NULL
) STRICT;
CREATE INDEX process_number ON process (number);

CREATE TABLE process_state (
    no          INTEGER PRIMARY KEY,
    version     INTEGER NOT NULL CHECK (version > 0),
    -- Its newest journal row and its newest payload (0: none): each names the one before it, so neither table needs an index.
    journal     INTEGER NOT NULL,
    payload     INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    schema      INTEGER NOT NULL,
    state       BLOB NOT NULL,
    document    BLOB,
    stage       TEXT NOT NULL,
    -- Not `IN`: SQLite builds a table for a longer list, at every write.
    status      TEXT NOT NULL CHECK (status = 'open' OR status = 'held' OR status = 'closed' OR status = 'cancelled' OR status = 'failed'),
    waiting_for TEXT NOT NULL
) STRICT;

-- How many processes there are of each kind, status and stage, so that no list has to count millions.
CREATE TABLE tally (
    kind   TEXT NOT NULL,
    status TEXT NOT NULL,
    stage  TEXT NOT NULL,
    count  INTEGER NOT NULL CHECK (count >= 0),
    PRIMARY KEY (kind, status, stage)
) STRICT, WITHOUT ROWID;

-- Journal and audit at once: one row a transition, in commit order. A row without a record is bookkeeping: it has a place in the
-- audit chain of its partition, and no offset. process_no 0 is the hub itself.
CREATE TABLE journal (
    seq        INTEGER PRIMARY KEY,
    process_no INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    prev       INTEGER NOT NULL,
    partition  INTEGER NOT NULL CHECK (partition BETWEEN 0 AND 255),
    "offset"   INTEGER,
    at         INTEGER NOT NULL,
    actor      TEXT NOT NULL,
    action     TEXT NOT NULL,
    transition INTEGER NOT NULL,
    messages   BLOB,
    record     BLOB,
    hash       BLOB NOT NULL CHECK (length(hash) = 32),
    CHECK ((record IS NULL) = ("offset" IS NULL))
) STRICT;

-- Every few thousand journal rows, where each partition stood: offsets and chain heads. Opening reads on from the last one.
CREATE TABLE mark (
    seq     INTEGER PRIMARY KEY,
    offsets BLOB NOT NULL,
    heads   BLOB NOT NULL
) STRICT;

-- Every effect ever intended, with the key of its generation: kept for ever. State as in `EffectState`, open ones below 4.
CREATE TABLE effect (
    process_no INTEGER NOT NULL,
    no         INTEGER NOT NULL CHECK (no > 0),
    step       TEXT NOT NULL,
    intent     TEXT NOT NULL,
    system     TEXT NOT NULL,
    operation  TEXT NOT NULL,
    generation INTEGER NOT NULL CHECK (generation > 0),
    key        ANY NOT NULL,
    state      INTEGER NOT NULL CHECK (state BETWEEN 0 AND 7),
    class      INTEGER NOT NULL,
    due        INTEGER,
    attempts   INTEGER NOT NULL,
    deadline   INTEGER NOT NULL,
    made_at    INTEGER NOT NULL,
    request    BLOB,
    last       TEXT NOT NULL,
    PRIMARY KEY (process_no, no),
    CHECK (state < 4 OR due IS NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX effect_open ON effect (system, class, due) WHERE state < 4;

CREATE TABLE timer (
    process_no INTEGER NOT NULL,
    name       TEXT NOT NULL,
    due        INTEGER NOT NULL,
    PRIMARY KEY (process_no, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX timer_due ON timer (due);

CREATE TABLE exception (
    process_no INTEGER NOT NULL,
    name       TEXT NOT NULL,
    class      TEXT NOT NULL,
    step       TEXT NOT NULL,
    intent     TEXT NOT NULL,
    system     TEXT NOT NULL,
    cause      TEXT NOT NULL,
    suggestion TEXT NOT NULL,
    since      INTEGER NOT NULL,
    payload    TEXT,
    PRIMARY KEY (process_no, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE identity (
    system     TEXT NOT NULL,
    kind       TEXT NOT NULL,
    theirs     TEXT NOT NULL,
    process_no INTEGER NOT NULL,
    ours       TEXT NOT NULL,
    PRIMARY KEY (system, kind, theirs)
) STRICT, WITHOUT ROWID;
CREATE INDEX identity_process ON identity (process_no);

-- Raw messages, appended and never changed; what waits to be folded is named in `pending`, a small table that stays in memory.
CREATE TABLE inbox (
    id         INTEGER PRIMARY KEY,
    -- NULL: addressed to a process of ours. Else: by this system's own id, through the identity map.
    to_system  TEXT,
    to_kind    TEXT NOT NULL,
    to_key     TEXT NOT NULL,
    source     TEXT NOT NULL,
    message_id TEXT,
    kind       TEXT NOT NULL,
    actor      TEXT NOT NULL,
    subject    TEXT NOT NULL,
    at         INTEGER NOT NULL,
    body       BLOB NOT NULL
) STRICT;
CREATE TABLE pending (
    id INTEGER PRIMARY KEY
) STRICT;

-- Every message id ever taken from a source, kept for ever; a long id is shortened to its beginning and its hash.
CREATE TABLE dedup (
    source TEXT NOT NULL,
    id     BLOB NOT NULL,
    inbox  INTEGER NOT NULL,
    PRIMARY KEY (source, id)
) STRICT, WITHOUT ROWID;

-- Archived bytes, compressed and sealed, appended in order of time. Found from the newest of a process back.
CREATE TABLE payload (
    id         INTEGER PRIMARY KEY,
    process_no INTEGER NOT NULL,
    prev       INTEGER NOT NULL,
    hash       BLOB NOT NULL CHECK (length(hash) = 16),
    expires_at INTEGER,
    bytes      BLOB NOT NULL
) STRICT;
CREATE INDEX payload_expires ON payload (expires_at) WHERE expires_at IS NOT NULL;

-- Keys of the people whose data is sealed, wrapped by the hub's key. A subject may have several; erasing overwrites them all with
-- zeros, in place: nothing else in the row changes, so that its old bytes are left in no free corner of the page.
CREATE TABLE subject_key (
    no      INTEGER PRIMARY KEY,
    subject TEXT NOT NULL,
    wrapped BLOB NOT NULL
) STRICT;
CREATE INDEX subject_key_subject ON subject_key (subject);

CREATE TABLE cursor (
    name TEXT PRIMARY KEY,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE pin (
    hash TEXT PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE lease (
    partition INTEGER PRIMARY KEY CHECK (partition BETWEEN 0 AND 255),
    epoch     INTEGER NOT NULL,
    node      TEXT NOT NULL,
    taken_at  INTEGER NOT NULL
) STRICT;
