-- The first schema. Same rows and same meaning as the embedded store's, cut for many nodes: every number comes from a sequence or from
-- a row that its writer holds locked, and nothing that two nodes write at once is one row for all.
--
-- Keys are compared by their bytes (COLLATE "C"): an order that a new version of the system's library cannot change under an index.

-- Numbers of messages and processes. CACHE 1 matters: `group_begin` counts on `last_value` lying below all that is drawn later.
CREATE SEQUENCE inbox_no CACHE 1;
CREATE SEQUENCE journal_seq CACHE 1;
CREATE SEQUENCE payload_no CACHE 1;
CREATE SEQUENCE erasure_no CACHE 1;
-- Each opened store numbers the keys it makes out of a block of its own, so that no two nodes make the same number.
CREATE SEQUENCE key_block CACHE 1 MAXVALUE 2147483647;

-- Facts about this store: its partitions, a sealed word that proves the key, the tail of the hub's own audit rows.
CREATE TABLE meta (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value BYTEA NOT NULL
);

-- Who owns each partition, and where its journal and audit chain stand. A transition locks the rows of its partitions, so they are
-- kept apart on few, half empty pages, where an update stays on its page.
CREATE TABLE lease (
    partition INT2 PRIMARY KEY CHECK (partition BETWEEN 0 AND 255),
    epoch     INT8 NOT NULL DEFAULT 0,
    node      TEXT NOT NULL DEFAULT '',
    taken_at  INT8 NOT NULL DEFAULT 0,
    "offset"  INT8 NOT NULL DEFAULT 0,
    head      BYTEA NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (octet_length(head) = 32)
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
INSERT INTO lease (partition) SELECT generate_series(0, 255);

-- Nodes and their heartbeats. A taker watches `beat` by his own monotonic clock; `seen_at` is for people.
CREATE TABLE node (
    name    TEXT COLLATE "C" PRIMARY KEY,
    beat    INT8 NOT NULL,
    seen_at INT8 NOT NULL
) WITH (fillfactor = 50);

-- Every business key ever taken, kept for ever.
CREATE TABLE process_key (
    kind TEXT COLLATE "C" NOT NULL,
    key  TEXT COLLATE "C" NOT NULL,
    no   INT8 NOT NULL,
    PRIMARY KEY (kind, key)
);

-- A process in two halves: what is told once, and what each transition rewrites.
CREATE TABLE process (
    no        INT8 PRIMARY KEY,
    kind      TEXT NOT NULL,
    key       TEXT NOT NULL,
    logic     INT8 NOT NULL,
    policy    BYTEA NOT NULL,
    subject   TEXT NOT NULL,
    priority  INT2 NOT NULL CHECK (priority BETWEEN 0 AND 3),
    opened_at INT8 NOT NULL,
    channel   TEXT NOT NULL,
    site      TEXT NOT NULL,
    number    TEXT COLLATE "C" NOT NULL,
    market    TEXT NOT NULL,
    total     TEXT NOT NULL,
    currency  TEXT NOT NULL
);
CREATE INDEX process_number ON process (number);

CREATE TABLE process_state (
    no          INT8 PRIMARY KEY,
    version     INT8 NOT NULL CHECK (version > 0),
    -- Its newest journal row and its newest payload (0: none): each names the one before it, so neither table needs an index.
    journal     INT8 NOT NULL,
    payload     INT8 NOT NULL,
    -- Digest of what `process` says, so that it is written again only when it changed.
    told        INT8 NOT NULL,
    updated_at  INT8 NOT NULL,
    schema      INT8 NOT NULL,
    state       BYTEA NOT NULL,
    document    BYTEA,
    stage       TEXT NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('open', 'held', 'closed', 'cancelled', 'failed')),
    waiting_for TEXT NOT NULL
) WITH (fillfactor = 70);

-- How many processes there are of each kind, status and stage. Each open store adds to rows of its own shard, so that nodes do not
-- wait for each other; a single row may be negative, only their sum counts.
CREATE TABLE tally (
    kind   TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    stage  TEXT COLLATE "C" NOT NULL,
    shard  INT2 NOT NULL,
    count  INT8 NOT NULL,
    PRIMARY KEY (kind, status, stage, shard)
) WITH (fillfactor = 30, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- Journal and audit at once: one row a transition. `seq` says where a row lies; it rises within a partition, and across partitions
-- only nearly. A row without a record is bookkeeping: it has a place in the audit chain and no offset. process_no 0 is the hub itself.
CREATE TABLE journal (
    seq        INT8 NOT NULL,
    process_no INT8 NOT NULL,
    version    INT8 NOT NULL,
    prev       INT8 NOT NULL,
    partition  INT2 NOT NULL CHECK (partition BETWEEN 0 AND 255),
    "offset"   INT8,
    at         INT8 NOT NULL,
    actor      TEXT NOT NULL,
    action     TEXT NOT NULL,
    transition INT8 NOT NULL,
    messages   BYTEA,
    record     BYTEA,
    hash       BYTEA NOT NULL CHECK (octet_length(hash) = 32),
    CHECK ((record IS NULL) = ("offset" IS NULL)),
    PRIMARY KEY (seq)
) PARTITION BY RANGE (seq);
CREATE INDEX journal_offset ON journal (partition, "offset");

-- Makes a piece of the journal, 2^22 rows, unless it is there. Retention drops whole pieces. Made apart and then attached, which keeps
-- neither readers nor writers waiting.
CREATE FUNCTION journal_piece(place INT8) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    piece  TEXT := format('journal_%s', place);
    beginning INT8 := place << 22;
    ending INT8 := (place + 1) << 22;
BEGIN
    IF to_regclass(piece) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(4858539573002633216);
    IF to_regclass(piece) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE journal INCLUDING CONSTRAINTS INCLUDING INDEXES)', piece);
    EXECUTE format('ALTER TABLE %I ADD CHECK (seq >= %s AND seq < %s)', piece, beginning, ending);
    EXECUTE format('CREATE UNIQUE INDEX ON %I (partition, "offset") WHERE "offset" IS NOT NULL', piece);
    EXECUTE format('ALTER TABLE journal ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', piece, beginning, ending);
END $$;
SELECT journal_piece(0), journal_piece(1);

-- Where retention cut the journal: of each partition its last row that is gone. Its chain is verified from there on.
CREATE TABLE journal_cut (
    partition INT2 PRIMARY KEY,
    seq       INT8 NOT NULL,
    "offset"  INT8 NOT NULL,
    head      BYTEA NOT NULL CHECK (octet_length(head) = 32)
);

-- Drops the pieces of which every row is older than an instant, oldest first; how many. The newest two stay whatever their age: a
-- number may have been drawn for them that is not written yet.
CREATE FUNCTION journal_drop(before INT8) RETURNS INT8 LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    place   INT8;
    piece   TEXT;
    newest  INT8;
    dropped INT8 := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(4858539573002633216);
    FOR place, piece IN
        SELECT substr(c.relname, 9)::INT8, c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'journal'::REGCLASS ORDER BY 1
    LOOP
        EXIT WHEN (place + 2) << 22 > (SELECT last_value FROM journal_seq);
        EXECUTE format('SELECT max(at) FROM %I', piece) INTO newest;
        EXIT WHEN newest >= before;
        EXECUTE format(
            'INSERT INTO journal_cut AS cut
             SELECT DISTINCT ON (partition) partition, seq, coalesce(max("offset") OVER (PARTITION BY partition), 0), hash
             FROM %I ORDER BY partition, seq DESC
             ON CONFLICT (partition) DO UPDATE
             SET seq = excluded.seq, "offset" = greatest(cut."offset", excluded."offset"), head = excluded.head', piece);
        EXECUTE format('ALTER TABLE journal DETACH PARTITION %I', piece);
        EXECUTE format('DROP TABLE %I', piece);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;

-- Every effect ever intended, with the key of its generation: kept for ever. State as in `EffectState`, open ones below 4.
CREATE TABLE effect (
    process_no INT8 NOT NULL,
    no         INT8 NOT NULL CHECK (no > 0),
    step       TEXT NOT NULL,
    intent     TEXT NOT NULL,
    system     TEXT COLLATE "C" NOT NULL,
    operation  TEXT NOT NULL,
    generation INT8 NOT NULL CHECK (generation > 0),
    key        BYTEA NOT NULL,
    state      INT2 NOT NULL CHECK (state BETWEEN 0 AND 7),
    class      INT2 NOT NULL,
    due        INT8,
    attempts   INT8 NOT NULL,
    deadline   INT8 NOT NULL,
    made_at    INT8 NOT NULL,
    request    BYTEA,
    last       TEXT NOT NULL,
    PRIMARY KEY (process_no, no),
    CHECK (state < 4 OR due IS NULL)
) WITH (fillfactor = 80);
CREATE INDEX effect_open ON effect (system, class, due) WHERE state < 4;

CREATE TABLE timer (
    process_no INT8 NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    due        INT8 NOT NULL,
    PRIMARY KEY (process_no, name)
);
CREATE INDEX timer_due ON timer (due);

CREATE TABLE exception (
    process_no INT8 NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    class      TEXT COLLATE "C" NOT NULL,
    step       TEXT NOT NULL,
    intent     TEXT NOT NULL,
    system     TEXT NOT NULL,
    cause      TEXT NOT NULL,
    suggestion TEXT NOT NULL,
    since      INT8 NOT NULL,
    payload    TEXT,
    PRIMARY KEY (process_no, name)
);

CREATE TABLE identity (
    system     TEXT COLLATE "C" NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    theirs     TEXT COLLATE "C" NOT NULL,
    process_no INT8 NOT NULL,
    ours       TEXT NOT NULL,
    PRIMARY KEY (system, kind, theirs)
);
CREATE INDEX identity_process ON identity (process_no);
CREATE INDEX identity_theirs ON identity (theirs);

-- Raw messages, appended and never changed; what waits to be folded is named in `pending`. The bodies are sealed: nothing to compress.
CREATE TABLE inbox (
    id         INT8 PRIMARY KEY,
    -- NULL: addressed to a process of ours. Else: by this system's own id, through the identity map.
    to_system  TEXT,
    to_kind    TEXT NOT NULL,
    to_key     TEXT NOT NULL,
    source     TEXT NOT NULL,
    message_id TEXT,
    kind       TEXT NOT NULL,
    actor      TEXT NOT NULL,
    subject    TEXT NOT NULL,
    at         INT8 NOT NULL,
    body       BYTEA NOT NULL
);
ALTER TABLE inbox ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE TABLE pending (
    id        INT8 PRIMARY KEY,
    -- Whose turn it is; NULL while the identity map has not been asked.
    partition INT2
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- Every message id ever taken from a source, kept for ever; a long id is shortened to its beginning and its hash.
CREATE TABLE dedup (
    source TEXT COLLATE "C" NOT NULL,
    id     BYTEA NOT NULL,
    inbox  INT8 NOT NULL,
    PRIMARY KEY (source, id)
);

-- Archived bytes, compressed and sealed. Found from the newest of a process back.
CREATE TABLE payload (
    id         INT8 PRIMARY KEY,
    process_no INT8 NOT NULL,
    prev       INT8 NOT NULL,
    hash       BYTEA NOT NULL CHECK (octet_length(hash) = 16),
    expires_at INT8,
    bytes      BYTEA NOT NULL
);
ALTER TABLE payload ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE INDEX payload_expires ON payload (expires_at) WHERE expires_at IS NOT NULL;

-- Keys of the people whose data is sealed, wrapped by the hub's key; empty once erased.
CREATE TABLE subject_key (
    no      INT8 PRIMARY KEY,
    subject TEXT COLLATE "C" NOT NULL,
    wrapped BYTEA NOT NULL
);
CREATE INDEX subject_key_subject ON subject_key (subject);

-- Erasures, so that every node forgets a key that another one destroyed.
CREATE TABLE erasure (
    no      INT8 PRIMARY KEY,
    subject TEXT NOT NULL
);

CREATE TABLE cursor (
    name TEXT COLLATE "C" PRIMARY KEY,
    body BYTEA NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE pin (
    hash TEXT COLLATE "C" PRIMARY KEY,
    body BYTEA NOT NULL
);

-- Begins a group of writes. First, no erasure commits while it runs. Second, its floor: a shared lock, seen by all in pg_locks, that
-- says that every number of a message this transaction will draw lies above. A reader returns no message beyond the lowest floor, so
-- that none is passed over which commits later under a lower number (see postgres/reads.rs).
CREATE FUNCTION group_begin() RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(4858539573002633217);
    PERFORM pg_advisory_xact_lock_shared((17262::INT8 << 48) | last_value) FROM inbox_no;
END $$;
