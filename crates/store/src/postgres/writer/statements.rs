//! The writer's statements, prepared once a connection.

use super::batch::{
    Batch, Cursors, Dedups, Effects, Exceptions, Identities, Keys, Links, Messages, Payloads, Pins, ProcessKeys, Processes,
    States, Tallies, Timers, Waitings,
};
use tokio_postgres::{Client, Error, Statement};

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident: $sql:expr;)*) => {
        pub(super) struct Statements { $($(#[$doc])* pub(super) $name: Statement),* }

        impl Statements {
            pub(super) async fn prepare(client: &Client) -> Result<Self, Error> {
                Ok(Self { $($name: client.prepare(&$sql).await?),* })
            }
        }
    };
}

statements! {
    group_begin: "SELECT group_begin()";
    erasures: super::super::pool::Erasures::SQL;
    own_rows: super::OwnRows::SQL;
    /// One lock does two things, see the head of `writer/mod.rs`. In one order, so that two nodes never wait for each other crosswise.
    lock_leases: "SELECT partition, epoch, \"offset\", head FROM lease WHERE partition = ANY ($1) ORDER BY partition FOR NO KEY UPDATE";
    draw: "SELECT ARRAY(SELECT nextval('inbox_no') FROM generate_series(1, $1::int8)),
            ARRAY(SELECT nextval('journal_seq') FROM generate_series(1, $2::int8)),
            ARRAY(SELECT nextval('payload_no') FROM generate_series(1, $3::int8))";
    find_processes: "SELECT u.place, k.no, s.version, s.journal, s.payload, s.told, s.status, s.stage
        FROM unnest($1::text[], $2::text[]) WITH ORDINALITY u (kind, key, place)
        JOIN process_key k ON k.kind = u.kind AND k.key = u.key LEFT JOIN process_state s ON s.no = k.no";
    find_dedups: "SELECT u.place, d.inbox FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY u (source, id, place)
        JOIN dedup d ON d.source = u.source AND d.id = u.id";

    find_cursors: "SELECT name, body FROM cursor WHERE name = ANY ($1) ORDER BY name FOR NO KEY UPDATE";

    keys: Keys::sql();
    dedups: Dedups::sql();
    process_keys: ProcessKeys::sql();
    settle: "DELETE FROM pending WHERE id = ANY ($1)";
    move_tails: "UPDATE lease SET \"offset\" = u.last, head = u.head
        FROM unnest($1::int2[], $2::int8[], $3::int8[], $4::bytea[]) u (partition, epoch, last, head)
        WHERE lease.partition = u.partition AND lease.epoch = u.epoch";
    processes: Processes::sql();
    states: States::sql();
    move_states: States::MOVE_ON;
    payloads: Payloads::sql();
    effects: Effects::sql();
    timers: Timers::sql();
    cancel_timers: "DELETE FROM timer t USING unnest($1::int8[], $2::text[]) u (no, name) WHERE t.process_no = u.no AND t.name = u.name";
    exceptions: Exceptions::sql();
    close_exceptions: "DELETE FROM exception x USING unnest($1::int8[], $2::text[]) u (no, name)
        WHERE x.process_no = u.no AND x.name = u.name";
    identities: Identities::sql();
    messages: Messages::sql();
    waitings: Waitings::sql();
    links: Links::sql();
    cursors: Cursors::sql();
    pins: Pins::sql();
    set_meta: "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    tallies: Tallies::sql();

    /// How far back a lost reply is looked up: a lane asks about its last transition before it makes another.
    find_transition: "WITH RECURSIVE chain AS (
            SELECT j.prev, j.version, j.transition, j.messages, 1 AS depth FROM process_key k
            JOIN process_state s ON s.no = k.no JOIN journal j ON j.seq = s.journal WHERE k.kind = $1 AND k.key = $2
            UNION ALL
            SELECT j.prev, j.version, j.transition, j.messages, c.depth + 1 FROM chain c JOIN journal j ON j.seq = c.prev
            WHERE c.depth < 64 AND c.transition <> $3)
        SELECT version, messages FROM chain WHERE transition = $3";
    lock_all_leases: "SELECT FROM lease ORDER BY partition FOR NO KEY UPDATE";
    take_leases: "UPDATE lease SET epoch = epoch + 1, doubt_before = epoch + 1, node = $1, taken_at = $2 RETURNING partition, epoch";
    beat: "INSERT INTO node (name, beat, seen_at) VALUES ($1, 1, $2)
        ON CONFLICT (name) DO UPDATE SET beat = node.beat + 1, seen_at = excluded.seen_at";
    /// Waits for the groups under way, and keeps new ones waiting: see `group_begin`.
    lock_erasure: "SELECT pg_advisory_xact_lock(4858539573002633217)";
    erase_keys: "UPDATE subject_key SET wrapped = '' WHERE subject = $1 AND wrapped <> ''";
    add_erasure: "INSERT INTO erasure (no, subject) VALUES (nextval('erasure_no'), $1) RETURNING no";
    /// What is still open may need its document and its requests, however old they are.
    sweep_payloads: "DELETE FROM payload WHERE id IN (
            SELECT p.id FROM payload p JOIN process_state s ON s.no = p.process_no
            WHERE p.expires_at < $1 AND s.status NOT IN ('open', 'held') LIMIT $2)";
    /// Looks at the oldest only.
    sweep_inbox: "DELETE FROM inbox WHERE id IN (SELECT o.id FROM (SELECT id, at FROM inbox ORDER BY id LIMIT $2) o
        WHERE o.at < $1 AND NOT EXISTS (SELECT FROM pending w WHERE w.id = o.id))";
    journal_piece: "SELECT journal_piece($1)";
}
