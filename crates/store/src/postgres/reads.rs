//! What the engine reads: one process whole, the inbox, what is due.
//!
//! Numbers of messages are drawn from a sequence and become visible at the commit, so a higher one may be seen before a lower one. A
//! reader that remembers how far it has come must not be shown the higher one then: it would pass the lower one over for ever. So each
//! group of writes first takes a *floor*: a shared advisory lock that carries a number below all that it will draw (`group_begin`).
//! `inbox` reads, in this order and each by a statement of its own: the sequence, the floors held, the rows; and returns no row above
//! the lowest of the first two. A group whose floor it did not see either has released it, and then its rows are committed and were
//! seen (PostgreSQL makes a commit visible before it gives back its locks), or had not yet taken it, and then it draws its numbers
//! after the sequence was read, above what is returned.

use super::{
    pool::{Erasures, Reader, Values, statement},
    rows::{
        EFFECT_COLUMNS, EXCEPTION_COLUMNS, PROCESS_COLUMNS, addressee, bytes, effect_row, exception_row, get, process_key,
        process_row, small, system, text, time, unsigned,
    },
};
use crate::{
    DueEffect, DueTimer, EffectRow, ExceptionRow, IdentityRow, InboxId, InboxPage, InboxRow, Loaded, Partitions, PayloadHash,
    ProcessKey, StoreError,
    codes::referred,
    vault::{KeyRow, Place, SubjectKey, key_no},
};
use crossdock_canonical::Timestamp;
use std::{collections::HashMap, sync::Arc};
use tokio_postgres::Row;

/// What belongs to one process beside its own row.
pub(super) struct Belongings {
    pub(super) effects: Vec<EffectRow>,
    pub(super) timers: Vec<(Arc<str>, Timestamp)>,
    pub(super) exceptions: Vec<(Arc<str>, ExceptionRow)>,
    pub(super) identities: Vec<IdentityRow>,
}

/// Keys that were fetched to open sealed bodies.
struct Keys {
    destructions: u64,
    rows: HashMap<u64, KeyRow>,
    /// Those that were in memory. Held, they stay there: one that fell out would be taken for an erased one.
    _held: Vec<Arc<SubjectKey>>,
}

/// One statement for each way of naming the process whose rows are asked for.
const OF_PROCESS: &str = "(SELECT no FROM process_key WHERE kind = $1 AND key = $2)";

impl Reader {
    pub(super) async fn load(&self, process: &ProcessKey) -> Result<Option<Loaded>, StoreError> {
        self.snapshot(async {
            let (kind, key): (&str, &str) = (&process.kind, &process.key);
            let seen = self.erasures.seen();
            let seen: Values<'_> = &[&seen];
            let row_sql = statement!(
                "SELECT s.version, {PROCESS_COLUMNS} FROM process_key k JOIN process p ON p.no = k.no
                 JOIN process_state s ON s.no = k.no WHERE k.kind = $1 AND k.key = $2"
            );
            let values: Values<'_> = &[&kind, &key];
            let doubtful_sql = statement!(
                "SELECT e.no FROM effect e JOIN lease l ON l.partition = $3 WHERE e.process_no = {OF_PROCESS} AND e.state = 0
                 AND (e.epoch IS NULL OR e.epoch < l.doubt_before)"
            );
            let partition = i16::try_from(process.partition()).unwrap_or(i16::MAX);
            let of: Values<'_> = &[&kind, &key, &partition];
            let (erased, row, belongings, doubtful) = tokio::join!(
                self.ask(Erasures::SQL, seen),
                self.ask_opt(row_sql, values),
                self.belongings(process),
                self.ask(doubtful_sql, of)
            );
            self.erasures.heed(&erased?)?;
            let (Some(found), belongings) = (row?, belongings?) else { return Ok(None) };
            let row = process_row(&found, 1)?;
            let document = match &row.document {
                Some(hash) => self.payload_of(process, hash).await?,
                None => None,
            };
            let Belongings { effects, timers, exceptions, identities } = belongings;
            let doubtful = Some(all(&doubtful?, |row| unsigned(row, 0))?);
            Ok(Some(Loaded { version: unsigned(&found, 0)?, row, document, effects, timers, exceptions, identities, doubtful }))
        })
        .await
    }

    pub(super) async fn belongings(&self, process: &ProcessKey) -> Result<Belongings, StoreError> {
        let (kind, key): (&str, &str) = (&process.kind, &process.key);
        let values: Values<'_> = &[&kind, &key];
        let (effects, timers, exceptions, identities) = tokio::join!(
            self.ask(statement!("SELECT {EFFECT_COLUMNS} FROM effect WHERE process_no = {OF_PROCESS} ORDER BY no"), values),
            self.ask(statement!("SELECT name, due FROM timer WHERE process_no = {OF_PROCESS} ORDER BY name"), values),
            self.ask(
                statement!("SELECT {EXCEPTION_COLUMNS} FROM exception x WHERE x.process_no = {OF_PROCESS} ORDER BY x.name"),
                values
            ),
            self.ask(
                statement!(
                    "SELECT system, kind, ours, theirs FROM identity WHERE process_no = {OF_PROCESS} ORDER BY system, kind, theirs"
                ),
                values
            ),
        );
        let identity = |row: &Row| {
            Ok(IdentityRow { system: system(row, 0)?, kind: text(row, 1)?, ours: text(row, 2)?, theirs: text(row, 3)? })
        };
        Ok(Belongings {
            effects: all(&effects?, effect_row)?,
            timers: all(&timers?, |row| Ok((text(row, 0)?, time(row, 1)?)))?,
            exceptions: all(&exceptions?, |row| exception_row(row, 0))?,
            identities: all(&identities?, identity)?,
        })
    }

    pub(super) async fn payload(&self, process: &ProcessKey, hash: &PayloadHash) -> Result<Option<Arc<[u8]>>, StoreError> {
        let erased = self.ask(Erasures::SQL, &[&self.erasures.seen()]).await?;
        self.erasures.heed(&erased)?;
        self.payload_of(process, hash).await
    }

    /// From the newest payload back, each names the one before it. Where retention has cut the chain, its beginning is gone.
    async fn payload_of(&self, process: &ProcessKey, hash: &PayloadHash) -> Result<Option<Arc<[u8]>>, StoreError> {
        let found = self
            .ask_opt(
                "WITH RECURSIVE chain (id, prev, hash, process_no) AS (
                     SELECT p.id, p.prev, p.hash, p.process_no FROM process_key k JOIN process_state s ON s.no = k.no
                     JOIN payload p ON p.id = s.payload AND p.process_no = k.no WHERE k.kind = $1 AND k.key = $2
                     UNION ALL
                     SELECT p.id, p.prev, p.hash, p.process_no FROM chain c
                     JOIN payload p ON p.id = c.prev AND p.process_no = c.process_no
                     WHERE c.hash <> $3 AND c.prev < c.id)
                 SELECT p.bytes FROM chain c JOIN payload p ON p.id = c.id WHERE c.hash = $3",
                &[&&*process.kind, &&*process.key, &&hash.0[..16]],
            )
            .await?;
        let Some(row) = found else { return Ok(None) };
        let archived: &[u8] = get(&row, 0)?;
        if let Some(message) = referred(archived) {
            return self.message(message).await;
        }
        let keys = self.keys([archived].into_iter()).await?;
        self.open(&keys, &Place::Payload { process, hash }, archived)
    }

    /// The body of a message, folded or not.
    async fn message(&self, InboxId(id): InboxId) -> Result<Option<Arc<[u8]>>, StoreError> {
        let sql = "SELECT to_system, to_kind, to_key, source, kind, body FROM inbox WHERE id = $1";
        let Some(row) = self.ask_opt(sql, &[&id]).await? else { return Ok(None) };
        let (to, source, kind, sealed) = (addressee(&row, 0)?, system(&row, 3)?, text(&row, 4)?, get::<&[u8]>(&row, 5)?);
        let keys = self.keys([sealed].into_iter()).await?;
        self.open(&keys, &Place::Inbox { to: &to, source: source.as_str(), kind: &kind }, sealed)
    }

    /// Fetches the keys of sealed bodies, as far as they are not in memory.
    async fn keys<'a>(&self, sealed: impl Iterator<Item = &'a [u8]>) -> Result<Keys, StoreError> {
        let vault = &self.erasures.vault;
        let destructions = vault.keys.destructions();
        let (mut wanted, mut held) = (Vec::new(), Vec::new());
        for no in sealed.filter_map(key_no) {
            match vault.keys.cached(no) {
                Some(key) => held.push(key),
                None => wanted.push(no.cast_signed()),
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        let mut rows = HashMap::new();
        if !wanted.is_empty() {
            let found = self
                .ask("SELECT no, subject, wrapped FROM subject_key WHERE no = ANY ($1) AND wrapped <> ''::bytea", &[&wanted])
                .await?;
            for row in &found {
                rows.insert(get::<i64>(row, 0)?.cast_unsigned(), (text(row, 1)?, get(row, 2)?));
            }
        }
        Ok(Keys { destructions, rows, _held: held })
    }

    fn open(&self, keys: &Keys, place: &Place<'_>, sealed: &[u8]) -> Result<Option<Arc<[u8]>>, StoreError> {
        self.erasures.vault.open_fetched(keys.destructions, place, sealed, |no| Ok::<_, StoreError>(keys.rows.get(&no).cloned()))
    }

    pub(super) async fn inbox(&self, of: Partitions, after: InboxId, limit: usize) -> Result<InboxPage, StoreError> {
        const LAST: &str = "SELECT last_value FROM inbox_no";
        const FLOOR: &str = "SELECT min(((classid::int8 & 65535) << 32) | objid::int8) FROM pg_locks
            WHERE locktype = 'advisory' AND objsubid = 1 AND classid::int8 >> 16 = 17262
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        const WAITING: &str = "SELECT i.id, i.to_system, i.to_kind, i.to_key, i.source, i.message_id, i.kind, i.actor, i.subject,
                i.at, i.body
            FROM pending w JOIN inbox i ON i.id = w.id
            WHERE w.id > $1 AND (w.partition IS NULL OR get_bit($3::bytea, w.partition) = 1) ORDER BY w.id LIMIT $2";
        // Prepared before, so that each is sent as soon as it is polled: their order matters, see the head of this file.
        self.ready(&[Erasures::SQL, LAST, FLOOR, WAITING]).await?;
        let (seen, limit, of) = (self.erasures.seen(), rows_max(limit), of.to_bytes());
        let (seen, from): (Values<'_>, Values<'_>) = (&[&seen], &[&after.0, &limit, &of]);
        let (erased, last, floor, waiting) = tokio::join!(
            biased;
            self.ask(Erasures::SQL, seen),
            self.ask(LAST, &[]),
            self.ask(FLOOR, &[]),
            self.ask(WAITING, from),
        );
        self.erasures.heed(&erased?)?;
        let last = last?.first().map_or(Ok(0), |row| get::<i64>(row, 0))?;
        let floor = floor?.first().map_or(Ok(None), |row| get::<Option<i64>>(row, 0))?;
        let reach = floor.map_or(last, |floor| floor.min(last));
        let mut waiting = waiting?;
        let mut safe = 0;
        for row in &waiting {
            if get::<i64>(row, 0)? > reach {
                break;
            }
            safe += 1;
        }
        let held_back = safe < waiting.len();
        waiting.truncate(safe);

        let keys = self.keys(waiting.iter().filter_map(|row| row.try_get(10).ok())).await?;
        let rows = all(&waiting, |row| {
            let (to, source, kind) = (addressee(row, 1)?, system(row, 4)?, text(row, 6)?);
            let body = self.open(&keys, &Place::Inbox { to: &to, source: source.as_str(), kind: &kind }, get(row, 10)?)?;
            Ok(InboxRow {
                id: InboxId(get(row, 0)?),
                to,
                source,
                message_id: get::<Option<&str>>(row, 5)?.map(Arc::from),
                kind,
                actor: text(row, 7)?,
                // Its subject was erased before it was folded: there is nothing left to read, and its process will say so.
                body: body.unwrap_or_default(),
                subject: text(row, 8)?,
                at: time(row, 9)?,
            })
        })?;
        Ok(InboxPage { rows, held_back })
    }

    /// Class by class, most urgent first: the index then shows nothing that is not due, however much waits for later.
    pub(super) async fn due_effects(
        &self,
        of: Partitions,
        system: &str,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueEffect>, StoreError> {
        let rows = self
            .ask(
                "WITH RECURSIVE classes (class) AS (
                     SELECT min(class) FROM effect WHERE state < 4 AND system = $1
                     UNION ALL
                     SELECT (SELECT min(e.class) FROM effect e WHERE e.state < 4 AND e.system = $1 AND e.class > c.class)
                     FROM classes c WHERE c.class IS NOT NULL)
                 SELECT p.kind, p.key, e.no, e.class, e.due FROM classes c
                 CROSS JOIN LATERAL (
                     SELECT process_no, no, class, due FROM effect
                     WHERE state < 4 AND system = $1 AND class = c.class AND due <= $2
                     AND (partition IS NULL OR get_bit($4::bytea, partition) = 1) ORDER BY due LIMIT $3) e
                 JOIN process p ON p.no = e.process_no ORDER BY e.class, e.due LIMIT $3",
                &[&system, &before.0, &rows_max(limit), &of.to_bytes()],
            )
            .await?;
        all(&rows, |row| {
            Ok(DueEffect { process: process_key(row, 0)?, no: unsigned(row, 2)?, class: small(row, 3)?, due: time(row, 4)? })
        })
    }

    pub(super) async fn due_timers(&self, of: Partitions, before: Timestamp, limit: usize) -> Result<Vec<DueTimer>, StoreError> {
        let rows = self
            .ask(
                "SELECT p.kind, p.key, t.name, t.due FROM timer t JOIN process p ON p.no = t.process_no
                 WHERE t.due <= $1 AND (t.partition IS NULL OR get_bit($3::bytea, t.partition) = 1) ORDER BY t.due LIMIT $2",
                &[&before.0, &rows_max(limit), &of.to_bytes()],
            )
            .await?;
        all(&rows, |row| Ok(DueTimer { process: process_key(row, 0)?, name: text(row, 2)?, due: time(row, 3)? }))
    }

    pub(super) async fn resolve(&self, system: &str, kind: &str, theirs: &str) -> Result<Option<ProcessKey>, StoreError> {
        let found = self
            .ask_opt(
                "SELECT p.kind, p.key FROM identity i JOIN process p ON p.no = i.process_no
                 WHERE i.system = $1 AND i.kind = $2 AND i.theirs = $3",
                &[&system, &kind, &theirs],
            )
            .await?;
        found.map(|row| process_key(&row, 0)).transpose()
    }

    pub(super) async fn blob(&self, sql: &'static str, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.ask_opt(sql, &[&name]).await?;
        found.map(|row| bytes(&row, 0).map(|bytes| bytes.to_vec())).transpose()
    }
}

pub(super) fn all<T>(rows: &[Row], read: impl Fn(&Row) -> Result<T, StoreError>) -> Result<Vec<T>, StoreError> {
    rows.iter().map(read).collect()
}

pub(super) fn rows_max(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
