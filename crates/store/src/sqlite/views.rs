//! What surfaces read: searches, lists, one process with everything, the journal, counts.

use super::{
    pool::Reader,
    reads::rows_max,
    rows::{EXCEPTION_COLUMNS, PROCESS_COLUMNS, effects, exception_row, process_key, process_row, state, time, unsigned},
    writer::{MARK_EVERY, NOT_DUE},
};
use crate::{
    AuditRow, Counts, ExceptionQuery, ExceptionView, JournalRow, ProcessDetail, ProcessKey, ProcessQuery, ProcessView,
    StoreError, audit::hex,
};
use crossdock_canonical::Timestamp;
use rusqlite::{Row, ToSql};

/// Rows of one page at most, whatever is asked for.
const PAGE_MAX: usize = 1_000;

/// A search's conditions and their values, in order.
#[derive(Default)]
struct Filter {
    conditions: Vec<String>,
    values: Vec<Box<dyn ToSql>>,
}

impl Filter {
    fn add(&mut self, condition: impl Into<String>, values: impl IntoIterator<Item = String>) {
        self.conditions.push(condition.into());
        self.values.extend(values.into_iter().map(|value| Box::new(value) as Box<dyn ToSql>));
    }

    fn equal(&mut self, column: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.add(format!("{column} = ?"), [value.to_owned()]);
        }
    }

    /// Site scope: an empty list sees nothing.
    fn sites(&mut self, sites: Option<&[String]>) {
        if let Some(sites) = sites {
            let places = vec!["?"; sites.len()].join(", ");
            self.add(format!("p.channel || '/' || p.site IN ({places})"), sites.iter().cloned());
        }
    }

    fn sql(&self) -> String {
        if self.conditions.is_empty() { String::new() } else { format!("WHERE {}", self.conditions.join(" AND ")) }
    }

    fn values(&self) -> impl Iterator<Item = &dyn ToSql> {
        self.values.iter().map(AsRef::as_ref)
    }
}

const VIEW_COLUMNS: &str =
    "p.no, p.kind, p.key, s.updated_at, s.version, (SELECT count(*) FROM exception c WHERE c.process_no = p.no)";
/// Of `VIEW_COLUMNS`; the process's own columns follow.
const VIEW_WIDTH: usize = 6;
const PROCESS_WIDTH: usize = 17;

fn view(row: &Row<'_>) -> rusqlite::Result<ProcessView> {
    Ok(ProcessView {
        no: unsigned(row, 0)?,
        key: process_key(row, 1)?,
        updated_at: time(row, 3)?,
        version: unsigned(row, 4)?,
        open_exceptions: row.get(5)?,
        row: process_row(row, VIEW_WIDTH)?,
    })
}

impl Reader {
    pub(super) fn processes(&self, query: &ProcessQuery) -> Result<Vec<ProcessView>, StoreError> {
        let mut filter = Filter::default();
        filter.equal("p.kind", query.kind.as_deref());
        filter.equal("s.status", query.status.as_deref());
        filter.equal("s.stage", query.stage.as_deref());
        filter.equal("p.market", query.market.as_deref());
        filter.sites(query.sites.as_deref());
        if let Some(text) = query.text.as_deref().filter(|text| !text.is_empty()) {
            // Every character sorts below the last one there is, so this is "begins with", by the index.
            filter.add(
                "p.no IN (SELECT no FROM process WHERE number >= ? AND number < ? UNION SELECT process_no FROM identity WHERE theirs = ?)",
                [text.to_owned(), format!("{text}\u{10FFFF}"), text.to_owned()],
            );
        }
        if query.exceptional {
            filter.add("p.no IN (SELECT process_no FROM exception)", []);
        }
        if let Some(before) = query.before {
            filter.add(format!("p.no < {before}"), []);
        }
        let sql = format!(
            "SELECT {VIEW_COLUMNS}, {PROCESS_COLUMNS} FROM process p JOIN process_state s ON s.no = p.no {} ORDER BY p.no DESC LIMIT {}",
            filter.sql(),
            query.limit.min(PAGE_MAX)
        );
        let mut rows = self.conn.prepare_cached(&sql)?;
        let rows = rows.query_map(rusqlite::params_from_iter(filter.values()), view)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(super) fn process(&self, key: &ProcessKey) -> Result<Option<ProcessDetail>, StoreError> {
        let Some(no) = self.number(key)? else { return Ok(None) };
        let mut found = self.conn.prepare_cached(&format!(
            "SELECT {VIEW_COLUMNS}, {PROCESS_COLUMNS}, s.effects FROM process p JOIN process_state s ON s.no = p.no
             WHERE p.no = ?1"
        ))?;
        let found = found.query_map([no], |row| Ok((view(row)?, effects(row, VIEW_WIDTH + PROCESS_WIDTH)?)))?.next();
        let Some((view, effects)) = found.transpose()? else { return Ok(None) };
        Ok(Some(ProcessDetail {
            view,
            effects,
            timers: self.timers(no)?,
            exceptions: self.exceptions_of(no)?,
            identities: self.identities(no)?,
        }))
    }

    /// From the newest row back, each names the one before it.
    pub(super) fn journal(&self, key: &ProcessKey) -> Result<Vec<JournalRow>, StoreError> {
        let Some(no) = self.number(key)? else { return Ok(Vec::new()) };
        let mut rows = self.conn.prepare_cached(
            "WITH RECURSIVE chain (seq, prev) AS (
                 SELECT j.seq, j.prev FROM process_state s JOIN journal j ON j.seq = s.journal WHERE s.no = ?1
                 UNION ALL SELECT j.seq, j.prev FROM chain c JOIN journal j ON j.seq = c.prev)
             SELECT j.seq, j.partition, j.\"offset\", ?2, ?3, j.version, j.at, j.actor, j.action, j.record
             FROM chain c JOIN journal j ON j.seq = c.seq WHERE j.record IS NOT NULL ORDER BY j.seq",
        )?;
        let rows = rows.query_map((no, &key.kind, &key.key), |row| Ok(journal_row(row)?.1))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(super) fn exceptions(&self, query: &ExceptionQuery) -> Result<Vec<ExceptionView>, StoreError> {
        let mut filter = Filter::default();
        filter.equal("x.class", query.class.as_deref());
        filter.equal("x.system", query.system.as_deref());
        filter.sites(query.sites.as_deref());
        let sql = format!(
            "SELECT {VIEW_COLUMNS}, {PROCESS_COLUMNS}, {EXCEPTION_COLUMNS} FROM exception x JOIN process p ON p.no = x.process_no
             JOIN process_state s ON s.no = x.process_no {} ORDER BY x.since, p.no, x.name LIMIT {}",
            filter.sql(),
            query.limit.min(PAGE_MAX)
        );
        let mut rows = self.conn.prepare_cached(&sql)?;
        let rows = rows.query_map(rusqlite::params_from_iter(filter.values()), |row| {
            let (name, exception) = exception_row(row, VIEW_WIDTH + PROCESS_WIDTH)?;
            Ok(ExceptionView { process: view(row)?, name, row: exception })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(super) fn counts(&self) -> Result<Counts, StoreError> {
        let mut processes = self.conn.prepare_cached(
            "SELECT kind, status, sum(count) FROM tally WHERE count > 0 GROUP BY kind, status ORDER BY kind, status",
        )?;
        let mut stages = self.conn.prepare_cached(
            "SELECT stage, sum(count) FROM tally WHERE count > 0 AND kind = 'order' AND status IN ('open', 'held')
             GROUP BY stage ORDER BY stage",
        )?;
        let mut open = self
            .conn
            .prepare_cached("SELECT system, state, count(*), min(nullif(due, ?1)) FROM open_effect GROUP BY system, state")?;
        let mut exceptions =
            self.conn.prepare_cached("SELECT class, count(*), min(since) FROM exception GROUP BY class ORDER BY class")?;
        Ok(Counts {
            processes: processes
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?, unsigned(row, 2)?)))?
                .collect::<Result<_, _>>()?,
            stages: stages.query_map([], |row| Ok((row.get(0)?, unsigned(row, 1)?)))?.collect::<Result<_, _>>()?,
            effects: open
                .query_map([NOT_DUE], |row| {
                    let state = state(row.get(1)?)?.as_str().to_owned();
                    Ok((row.get(0)?, state, unsigned(row, 2)?, row.get::<_, Option<i64>>(3)?.map(Timestamp)))
                })?
                .collect::<Result<_, _>>()?,
            exceptions: exceptions
                .query_map([], |row| Ok((row.get(0)?, unsigned(row, 1)?, time(row, 2)?)))?
                .collect::<Result<_, _>>()?,
        })
    }

    /// In commit order, which is one order for all. The cursor is the last row seen.
    pub(super) fn stream(&self, cursor: &str, limit: usize) -> Result<(Vec<JournalRow>, String), StoreError> {
        let last = || self.conn.query_row("SELECT coalesce(max(seq), 0) FROM journal", [], |row| row.get::<_, i64>(0));
        let after: i64 = match cursor {
            "" => 0,
            "now" => return Ok((Vec::new(), last()?.to_string())),
            text => text.parse().map_err(|_| StoreError::Constraint(format!("{text:?} is not a cursor of this journal")))?,
        };
        // Bookkeeping rows are passed over, but not so many at a time that the caller waits.
        let reach = after.saturating_add(rows_max(limit).saturating_mul(8).max(MARK_EVERY));
        let mut rows = self.conn.prepare_cached(
            "SELECT j.seq, j.partition, j.\"offset\", p.kind, p.key, j.version, j.at, j.actor, j.action, j.record
             FROM journal j JOIN process p ON p.no = j.process_no
             WHERE j.seq > ?1 AND j.seq <= ?2 AND j.record IS NOT NULL ORDER BY j.seq LIMIT ?3",
        )?;
        let rows = rows.query_map((after, reach, rows_max(limit)), journal_row)?.collect::<Result<Vec<_>, _>>()?;
        let next = match rows.last() {
            Some((seq, _)) if rows.len() == limit => *seq,
            _ => reach.min(last()?).max(after),
        };
        Ok((rows.into_iter().map(|(_, row)| row).collect(), next.to_string()))
    }

    pub(super) fn inbox_depth(&self) -> Result<u64, StoreError> {
        Ok(self.conn.prepare_cached("SELECT count(*) FROM pending")?.query_row([], |row| unsigned(row, 0))?)
    }

    pub(super) fn audit(&self, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        let mut rows = self.conn.prepare_cached(
            "SELECT j.at, j.actor, j.action, j.hash, p.kind, p.key FROM journal j LEFT JOIN process p ON p.no = j.process_no
             ORDER BY j.seq DESC LIMIT ?1",
        )?;
        let rows = rows.query_map([rows_max(limit.min(PAGE_MAX))], |row| {
            let process = row.get::<_, Option<String>>(4)?.map(|_| process_key(row, 4)).transpose()?;
            Ok(AuditRow {
                at: time(row, 0)?,
                actor: row.get(1)?,
                action: row.get(2)?,
                hash: hex(&row.get::<_, [u8; 32]>(3)?),
                process,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn journal_row(row: &Row<'_>) -> rusqlite::Result<(i64, JournalRow)> {
    let seq = row.get(0)?;
    let journal = JournalRow {
        partition: row.get(1)?,
        offset: unsigned(row, 2)?,
        process: process_key(row, 3)?,
        version: unsigned(row, 5)?,
        at: time(row, 6)?,
        actor: row.get(7)?,
        action: row.get(8)?,
        record: row.get(9)?,
    };
    Ok((seq, journal))
}
