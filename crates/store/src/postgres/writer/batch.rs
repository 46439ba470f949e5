//! The rows of a group, column by column: each table gets one statement a group, whatever the group holds.

use tokio_postgres::types::ToSql;

/// A batch of rows of one table: its columns as vectors, the row that is pushed, and the statement that writes them all.
macro_rules! batch {
    ($batch:ident of $row:ident $(<$life:lifetime>)? into $table:literal { $($column:ident $sql:literal: $type:ty),+ $(,)? } $then:literal) => {
        pub(super) struct $row $(<$life>)? { $(pub(super) $column: $type),+ }

        #[derive(Default)]
        pub(super) struct $batch $(<$life>)? { $($column: Vec<$type>),+ }

        impl $(<$life>)? $batch $(<$life>)? {
            pub(super) fn push(&mut self, row: $row $(<$life>)?) { $(self.$column.push(row.$column);)+ }
        }

        impl $(<$life>)? Batch for $batch $(<$life>)? {
            fn sql() -> String { insert($table, &[$((stringify!($column), $sql)),+], $then) }
            fn rows(&self) -> usize { [$(self.$column.len()),+][0] }
            fn values(&self) -> Vec<&(dyn ToSql + Sync)> { vec![$(&self.$column as &(dyn ToSql + Sync)),+] }
        }
    };
}

pub(super) trait Batch {
    fn sql() -> String;
    fn rows(&self) -> usize;
    fn values(&self) -> Vec<&(dyn ToSql + Sync)>;
}

fn insert(table: &str, columns: &[(&str, &str)], then: &str) -> String {
    let names: Vec<_> = columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let arrays: Vec<_> = columns.iter().enumerate().map(|(at, (_, kind))| format!("${}::{kind}[]", at + 1)).collect();
    format!("INSERT INTO {table} ({}) SELECT * FROM unnest({}) {then}", names.join(", "), arrays.join(", "))
}

// One of these is here already when the reply to the commit that wrote it was lost: the number is this store's alone, so it is the same.
batch!(Keys of Key<'g> into "subject_key" { no "int8": i64, subject "text": &'g str, wrapped "bytea": &'g [u8] } "ON CONFLICT (no) DO NOTHING");

// In the order of their keys, so that two nodes which take the same ones wait for each other in one order. What is not inserted was
// taken by another node since the group began.
batch!(Dedups of Dedup<'g> into "dedup" { source "text": &'g str, id "bytea": Vec<u8>, inbox "int8": i64 }
    "ORDER BY 1, 2 ON CONFLICT DO NOTHING");
batch!(ProcessKeys of ProcessKeyRow<'g> into "process_key" { kind "text": &'g str, key "text": &'g str, no "int8": i64 }
    "ORDER BY 1, 2 ON CONFLICT DO NOTHING");

// Also tells again what was told before, when it has changed. A number never changes hands: no row is changed then.
batch!(Processes of Process<'g> into "process" {
    no "int8": i64, kind "text": &'g str, key "text": &'g str, logic "int8": i64, policy "bytea": Vec<u8>, subject "text": &'g str,
    priority "int2": i16, opened_at "int8": i64, channel "text": &'g str, site "text": &'g str, number "text": &'g str,
    market "text": &'g str, total "text": &'g str, currency "text": &'g str }
    "ON CONFLICT (no) DO UPDATE SET logic = excluded.logic, policy = excluded.policy, subject = excluded.subject,
    priority = excluded.priority, opened_at = excluded.opened_at, channel = excluded.channel, site = excluded.site,
    number = excluded.number, market = excluded.market, total = excluded.total, currency = excluded.currency
    WHERE process.kind = excluded.kind AND process.key = excluded.key");

// Of a process that begins. What goes on is changed by `States::move_on`: to try an insert first would lock each row before it is changed.
batch!(States of State<'g> into "process_state" {
    no "int8": i64, version "int8": i64, journal "int8": i64, payload "int8": i64, told "int8": i64, updated_at "int8": i64,
    schema "int8": i64, state "bytea": &'g [u8], document "bytea": Option<&'g [u8]>, stage "text": &'g str, status "text": &'g str,
    waiting_for "text": &'g str }
    "ON CONFLICT DO NOTHING");

impl States<'_> {
    pub(super) const MOVE_ON: &'static str = "UPDATE process_state s
        SET version = u.version, journal = u.journal, payload = u.payload, told = u.told, updated_at = u.updated_at, schema = u.schema,
            state = u.state, document = u.document, stage = u.stage, status = u.status, waiting_for = u.waiting_for
        FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], $8::bytea[], $9::bytea[],
                $10::text[], $11::text[], $12::text[])
            u (no, version, journal, payload, told, updated_at, schema, state, document, stage, status, waiting_for)
        WHERE s.no = u.no AND s.version = u.version - 1";
}

batch!(Links of Link<'g> into "journal" {
    seq "int8": i64, process_no "int8": i64, version "int8": i64, prev "int8": i64, partition "int2": i16, offset "int8": Option<i64>,
    at "int8": i64, actor "text": &'g str, action "text": &'g str, transition "int8": i64, messages "bytea": Option<Vec<u8>>,
    record "bytea": Option<&'g [u8]>, hash "bytea": Vec<u8> } "");

// An effect keeps its name, and its generation never falls: no row is changed when one of them would.
batch!(Effects of Effect<'g> into "effect" {
    process_no "int8": i64, no "int8": i64, step "text": &'g str, intent "text": &'g str, system "text": &'g str,
    operation "text": &'g str, generation "int8": i64, key "bytea": Vec<u8>, state "int2": i16, class "int2": i16,
    due "int8": Option<i64>, attempts "int8": i64, deadline "int8": i64, made_at "int8": i64, request "bytea": Option<&'g [u8]>,
    last "text": &'g str, partition "int2": i16, epoch "int8": i64 }
    "ON CONFLICT (process_no, no) DO UPDATE SET system = excluded.system, operation = excluded.operation,
    generation = excluded.generation, key = excluded.key, state = excluded.state, class = excluded.class, due = excluded.due,
    attempts = excluded.attempts, deadline = excluded.deadline, made_at = excluded.made_at, request = excluded.request,
    last = excluded.last, partition = excluded.partition, epoch = excluded.epoch
    WHERE effect.step = excluded.step AND effect.intent = excluded.intent AND (effect.generation < excluded.generation
    OR effect.generation = excluded.generation AND effect.key = excluded.key)");

batch!(Timers of Timer<'g> into "timer" { process_no "int8": i64, name "text": &'g str, due "int8": i64, partition "int2": i16 }
    "ON CONFLICT (process_no, name) DO UPDATE SET due = excluded.due, partition = excluded.partition");

batch!(Exceptions of Exception<'g> into "exception" {
    process_no "int8": i64, name "text": &'g str, class "text": &'g str, step "text": &'g str, intent "text": &'g str,
    system "text": &'g str, cause "text": &'g str, suggestion "text": &'g str, since "int8": i64, payload "text": Option<&'g str> }
    "ON CONFLICT (process_no, name) DO UPDATE SET class = excluded.class, step = excluded.step, intent = excluded.intent,
    system = excluded.system, cause = excluded.cause, suggestion = excluded.suggestion, since = excluded.since,
    payload = excluded.payload");

// What belongs to one process is never given to another: no row is changed then.
batch!(Identities of Identity<'g> into "identity" {
    system "text": &'g str, kind "text": &'g str, theirs "text": &'g str, process_no "int8": i64, ours "text": &'g str }
    "ORDER BY 1, 2, 3 ON CONFLICT (system, kind, theirs) DO UPDATE SET ours = excluded.ours
    WHERE identity.process_no = excluded.process_no");

batch!(Payloads of Payload<'g> into "payload" {
    id "int8": i64, process_no "int8": i64, prev "int8": i64, hash "bytea": &'g [u8], expires_at "int8": Option<i64>,
    bytes "bytea": &'g [u8] } "");

batch!(Messages of Message<'g> into "inbox" {
    id "int8": i64, to_system "text": Option<&'g str>, to_kind "text": &'g str, to_key "text": &'g str, source "text": &'g str,
    message_id "text": Option<&'g str>, kind "text": &'g str, actor "text": &'g str, subject "text": &'g str, at "int8": i64,
    body "bytea": &'g [u8] } "");
batch!(Waitings of Waiting into "pending" { id "int8": i64, partition "int2": Option<i16> } "");

batch!(Cursors of CursorRow<'g> into "cursor" { name "text": &'g str, body "bytea": &'g [u8] }
    "ORDER BY 1 ON CONFLICT (name) DO UPDATE SET body = excluded.body");
batch!(Pins of Pin<'g> into "pin" { hash "text": &'g str, body "bytea": &'g [u8] } "ORDER BY 1 ON CONFLICT (hash) DO NOTHING");

batch!(Tallies of Tally<'g> into "tally" { kind "text": &'g str, status "text": &'g str, stage "text": &'g str, shard "int2": i16, count "int8": i64 }
    "ORDER BY 1, 2, 3 ON CONFLICT (kind, status, stage, shard) DO UPDATE SET count = tally.count + excluded.count");
