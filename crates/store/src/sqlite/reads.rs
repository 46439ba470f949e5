//! What the engine reads: one process whole, the inbox, what is due.

use super::{
    pool::Reader,
    rows::{
        EXCEPTION_COLUMNS, PROCESS_COLUMNS, addressee, effects, exception_row, process_key, process_row, system, time, unsigned,
    },
};
use crate::{
    DueEffect, DueTimer, ExceptionRow, IdentityRow, InboxId, InboxRow, Loaded, PayloadHash, ProcessKey, StoreError,
    codes::referred, vault::Place,
};
use crossdock_canonical::Timestamp;
use rusqlite::OptionalExtension;
use std::sync::Arc;

impl Reader {
    pub(super) fn load(&self, process: &ProcessKey) -> Result<Option<Loaded>, StoreError> {
        let found = self
            .conn
            .prepare_cached(&format!(
                "SELECT p.no, s.version, s.effects, {PROCESS_COLUMNS} FROM process_key k JOIN process p ON p.no = k.no
                 JOIN process_state s ON s.no = k.no WHERE k.kind = ?1 AND k.key = ?2"
            ))?
            .query_row((&process.kind, &process.key), |row| {
                Ok((row.get::<_, i64>(0)?, unsigned::<u64>(row, 1)?, effects(row, 2)?, process_row(row, 3)?))
            })
            .optional()?;
        let Some((no, version, effects, row)) = found else { return Ok(None) };
        let document = match &row.document {
            Some(hash) => self.payload_of(no, process, hash)?,
            None => None,
        };
        Ok(Some(Loaded {
            doubtful: None,
            version,
            row,
            document,
            effects,
            timers: self.timers(no)?,
            exceptions: self.exceptions_of(no)?,
            identities: self.identities(no)?,
        }))
    }

    pub(super) fn identities(&self, no: i64) -> Result<Vec<IdentityRow>, StoreError> {
        let mut rows = self.conn.prepare_cached(
            "SELECT system, kind, ours, theirs FROM identity WHERE process_no = ?1 ORDER BY system, kind, theirs",
        )?;
        let rows = rows.query_map([no], |row| {
            Ok(IdentityRow { system: system(row, 0)?, kind: row.get(1)?, ours: row.get(2)?, theirs: row.get(3)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(super) fn timers(&self, no: i64) -> Result<Vec<(Arc<str>, Timestamp)>, StoreError> {
        let mut rows = self.conn.prepare_cached("SELECT name, due FROM timer WHERE process_no = ?1 ORDER BY name")?;
        Ok(rows.query_map([no], |row| Ok((row.get(0)?, time(row, 1)?)))?.collect::<Result<_, _>>()?)
    }

    pub(super) fn exceptions_of(&self, no: i64) -> Result<Vec<(Arc<str>, ExceptionRow)>, StoreError> {
        let mut rows = self
            .conn
            .prepare_cached(&format!("SELECT {EXCEPTION_COLUMNS} FROM exception x WHERE x.process_no = ?1 ORDER BY x.name"))?;
        Ok(rows.query_map([no], |row| exception_row(row, 0))?.collect::<Result<_, _>>()?)
    }

    pub(super) fn payload(&self, process: &ProcessKey, hash: &PayloadHash) -> Result<Option<Arc<[u8]>>, StoreError> {
        match self.number(process)? {
            Some(no) => self.payload_of(no, process, hash),
            None => Ok(None),
        }
    }

    pub(super) fn number(&self, process: &ProcessKey) -> Result<Option<i64>, StoreError> {
        Ok(self
            .conn
            .prepare_cached("SELECT no FROM process_key WHERE kind = ?1 AND key = ?2")?
            .query_row((&process.kind, &process.key), |row| row.get(0))
            .optional()?)
    }

    /// From the newest payload back, each names the one before it. Where retention has cut the chain, its beginning is gone.
    fn payload_of(&self, no: i64, process: &ProcessKey, hash: &PayloadHash) -> Result<Option<Arc<[u8]>>, StoreError> {
        let newest = self
            .conn
            .prepare_cached("SELECT payload FROM process_state WHERE no = ?1")?
            .query_row([no], |row| row.get(0))
            .optional()?;
        let mut at: i64 = newest.unwrap_or(0);
        let mut rows =
            self.conn.prepare_cached("SELECT prev, hash = ?3, bytes FROM payload WHERE id = ?1 AND process_no = ?2")?;
        while at != 0 {
            // The bytes are fetched only of the row that is asked for.
            let found = rows
                .query_row((at, no, &hash.0[..16]), |row| {
                    let bytes = if row.get(1)? { Some(row.get::<_, Vec<u8>>(2)?) } else { None };
                    Ok((row.get(0)?, bytes))
                })
                .optional()?;
            match found {
                Some((_, Some(archived))) => {
                    return match referred(&archived) {
                        Some(message) => self.message(message),
                        None => self.open_sealed(&Place::Payload { process, hash }, &archived),
                    };
                }
                // Numbers only fall along the chain; anything else is no chain.
                Some((prev, None)) if prev < at => at = prev,
                Some(_) | None => break,
            }
        }
        Ok(None)
    }

    /// The body of a message, folded or not.
    fn message(&self, InboxId(id): InboxId) -> Result<Option<Arc<[u8]>>, StoreError> {
        let found = self
            .conn
            .prepare_cached("SELECT to_system, to_kind, to_key, source, kind, body FROM inbox WHERE id = ?1")?
            .query_row([id], |row| {
                Ok((addressee(row, 0)?, system(row, 3)?, row.get::<_, Arc<str>>(4)?, row.get::<_, Vec<u8>>(5)?))
            })
            .optional()?;
        let Some((to, source, kind, sealed)) = found else { return Ok(None) };
        self.open_sealed(&Place::Inbox { to: &to, source: source.as_str(), kind: &kind }, &sealed)
    }

    fn open_sealed(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Option<Arc<[u8]>>, StoreError> {
        self.vault.open_sealed(place, sealed, |no| {
            self.conn
                .prepare_cached(
                    "SELECT subject, wrapped FROM subject_key WHERE no = ?1 AND wrapped <> zeroblob(length(wrapped))",
                )?
                .query_row([no.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })
    }

    pub(super) fn inbox(&self, after: InboxId, limit: usize) -> Result<Vec<InboxRow>, StoreError> {
        let mut rows = self.conn.prepare_cached(
            "SELECT i.id, i.to_system, i.to_kind, i.to_key, i.source, i.message_id, i.kind, i.actor, i.subject, i.at, i.body
             FROM pending w JOIN inbox i ON i.id = w.id WHERE w.id > ?1 ORDER BY w.id LIMIT ?2",
        )?;
        let mut rows = rows.query((after.0, rows_max(limit)))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let (to, source, kind) = (addressee(row, 1)?, system(row, 4)?, row.get::<_, Arc<str>>(6)?);
            let sealed: Vec<u8> = row.get(10)?;
            let body = self.open_sealed(&Place::Inbox { to: &to, source: source.as_str(), kind: &kind }, &sealed)?;
            found.push(InboxRow {
                id: InboxId(row.get(0)?),
                to,
                source,
                message_id: row.get(5)?,
                kind,
                actor: row.get(7)?,
                // Its subject was erased before it was folded: there is nothing left to read, and its process will say so.
                body: body.unwrap_or_default(),
                subject: row.get(8)?,
                at: time(row, 9)?,
            });
        }
        Ok(found)
    }

    /// Class by class, most urgent first: the index then shows nothing that is not due, however much waits for later.
    pub(super) fn due_effects(&self, system: &str, before: Timestamp, limit: usize) -> Result<Vec<DueEffect>, StoreError> {
        let mut next_class = self.conn.prepare_cached("SELECT min(class) FROM open_effect WHERE system = ?1 AND class > ?2")?;
        let mut rows = self.conn.prepare_cached(
            "SELECT p.kind, p.key, e.no, e.class, e.due FROM open_effect e JOIN process p ON p.no = e.process_no
             WHERE e.system = ?1 AND e.class = ?2 AND e.due <= ?3 ORDER BY e.due LIMIT ?4",
        )?;
        let mut found = Vec::new();
        let mut class = -1_i64;
        while found.len() < limit {
            class = match next_class.query_row((system, class), |row| row.get::<_, Option<i64>>(0))? {
                Some(class) => class,
                None => break,
            };
            let more = rows.query_map((system, class, before.0, rows_max(limit - found.len())), |row| {
                Ok(DueEffect { process: process_key(row, 0)?, no: row.get(2)?, class: row.get(3)?, due: time(row, 4)? })
            })?;
            for due in more {
                found.push(due?);
            }
        }
        Ok(found)
    }

    pub(super) fn due_timers(&self, before: Timestamp, limit: usize) -> Result<Vec<DueTimer>, StoreError> {
        let mut rows = self.conn.prepare_cached(
            "SELECT p.kind, p.key, t.name, t.due FROM timer t INDEXED BY timer_due JOIN process p ON p.no = t.process_no
             WHERE t.due <= ?1 ORDER BY t.due LIMIT ?2",
        )?;
        let rows = rows.query_map((before.0, rows_max(limit)), |row| {
            Ok(DueTimer { process: process_key(row, 0)?, name: row.get(2)?, due: time(row, 3)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(super) fn resolve(&self, system: &str, kind: &str, theirs: &str) -> Result<Option<ProcessKey>, StoreError> {
        Ok(self
            .conn
            .prepare_cached(
                "SELECT p.kind, p.key FROM identity i JOIN process p ON p.no = i.process_no
                 WHERE i.system = ?1 AND i.kind = ?2 AND i.theirs = ?3",
            )?
            .query_row((system, kind, theirs), |row| process_key(row, 0))
            .optional()?)
    }

    pub(super) fn blob(&self, sql: &str, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.conn.prepare_cached(sql)?.query_row([name], |row| row.get(0)).optional()?)
    }
}

pub(super) fn rows_max(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
