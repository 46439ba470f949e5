//! What surfaces read: searches, lists, one process with everything, the journal, counts.

use super::{
    place::Cursor,
    pool::{Reader, Values, statement},
    reads::{Belongings, all, rows_max},
    rows::{
        EXCEPTION_COLUMNS, PROCESS_COLUMNS, exception_row, get, hash, journal_row, process_key, process_row, text, time, unsigned,
    },
};
use crate::{
    AuditRow, Counts, ExceptionQuery, ExceptionView, JournalRow, ProcessDetail, ProcessKey, ProcessQuery, ProcessView,
    StoreError, audit::hex, codes::state_of,
};
use crossdock_canonical::Timestamp;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

/// Rows of one page at most, whatever is asked for.
const PAGE_MAX: usize = 1_000;

/// A search's conditions and their values, in order.
#[derive(Default)]
struct Filter {
    conditions: Vec<String>,
    values: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
}

impl Filter {
    /// Keeps a value; how the text of a condition names it.
    fn value(&mut self, value: impl ToSql + Sync + Send + 'static, kind: Type) -> String {
        self.values.push((Box::new(value), kind));
        format!("${}", self.values.len())
    }

    fn equal(&mut self, column: &str, value: Option<&str>) {
        if let Some(value) = value {
            let place = self.value(value.to_owned(), Type::TEXT);
            self.conditions.push(format!("{column} = {place}"));
        }
    }

    /// Site scope: an empty list sees nothing.
    fn sites(&mut self, sites: Option<&[String]>) {
        if let Some(sites) = sites {
            let place = self.value(sites.to_vec(), Type::TEXT_ARRAY);
            self.conditions.push(format!("p.channel || '/' || p.site = ANY ({place})"));
        }
    }

    fn sql(&self) -> String {
        if self.conditions.is_empty() { String::new() } else { format!("WHERE {}", self.conditions.join(" AND ")) }
    }

    fn values(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.values.iter().map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone())).collect()
    }
}

const VIEW_COLUMNS: &str =
    "p.no, p.kind, p.key, s.updated_at, s.version, (SELECT count(*) FROM exception c WHERE c.process_no = p.no)";
/// Of `VIEW_COLUMNS`; the process's own columns follow.
const VIEW_WIDTH: usize = 6;
const PROCESS_WIDTH: usize = 17;

fn view(row: &Row) -> Result<ProcessView, StoreError> {
    Ok(ProcessView {
        no: unsigned(row, 0)?,
        key: process_key(row, 1)?,
        updated_at: time(row, 3)?,
        version: unsigned(row, 4)?,
        open_exceptions: unsigned(row, 5)?,
        row: process_row(row, VIEW_WIDTH)?,
    })
}

impl Reader {
    pub(super) async fn processes(&self, query: &ProcessQuery) -> Result<Vec<ProcessView>, StoreError> {
        let mut filter = Filter::default();
        filter.equal("p.kind", query.kind.as_deref());
        filter.equal("s.status", query.status.as_deref());
        filter.equal("s.stage", query.stage.as_deref());
        filter.equal("p.market", query.market.as_deref());
        filter.sites(query.sites.as_deref());
        if let Some(text) = query.text.as_deref().filter(|text| !text.is_empty()) {
            let (whole, beyond) = (text.to_owned(), format!("{text}\u{10FFFF}"));
            let (whole, beyond) = (filter.value(whole, Type::TEXT), filter.value(beyond, Type::TEXT));
            // Every character sorts below the last one there is, so this is "begins with", by the index.
            filter.conditions.push(format!(
                "p.no IN (SELECT no FROM process WHERE number >= {whole} AND number < {beyond}
                          UNION SELECT process_no FROM identity WHERE theirs = {whole})"
            ));
        }
        if query.exceptional {
            filter.conditions.push("p.no IN (SELECT process_no FROM exception)".into());
        }
        if let Some(before) = query.before {
            filter.conditions.push(format!("p.no < {}", i64::try_from(before).unwrap_or(i64::MAX)));
        }
        let sql = format!(
            "SELECT {VIEW_COLUMNS}, {PROCESS_COLUMNS} FROM process p JOIN process_state s ON s.no = p.no {} ORDER BY p.no DESC LIMIT {}",
            filter.sql(),
            query.limit.min(PAGE_MAX)
        );
        all(&self.client.query_typed(&sql, &filter.values()).await?, view)
    }

    pub(super) async fn process(&self, process: &ProcessKey) -> Result<Option<ProcessDetail>, StoreError> {
        self.snapshot(async {
            let (kind, key): (&str, &str) = (&process.kind, &process.key);
            let values: Values<'_> = &[&kind, &key];
            let sql = statement!(
                "SELECT {VIEW_COLUMNS}, {PROCESS_COLUMNS} FROM process_key k JOIN process p ON p.no = k.no
                 JOIN process_state s ON s.no = k.no WHERE k.kind = $1 AND k.key = $2"
            );
            let (row, belongings) = tokio::join!(self.ask_opt(sql, values), self.belongings(process));
            let (Some(row), belongings) = (row?, belongings?) else { return Ok(None) };
            let Belongings { effects, timers, exceptions, identities } = belongings;
            Ok(Some(ProcessDetail { view: view(&row)?, effects, timers, exceptions, identities }))
        })
        .await
    }

    /// From the newest row back, each names the one before it.
    pub(super) async fn journal(&self, key: &ProcessKey) -> Result<Vec<JournalRow>, StoreError> {
        let rows = self
            .ask(
                "WITH RECURSIVE chain (seq, prev) AS (
                     SELECT j.seq, j.prev FROM process_key k JOIN process_state s ON s.no = k.no JOIN journal j ON j.seq = s.journal
                     WHERE k.kind = $1 AND k.key = $2
                     UNION ALL SELECT j.seq, j.prev FROM chain c JOIN journal j ON j.seq = c.prev)
                 SELECT j.partition, j.\"offset\", $1, $2, j.version, j.at, j.actor, j.action, j.record
                 FROM chain c JOIN journal j ON j.seq = c.seq WHERE j.record IS NOT NULL ORDER BY j.seq",
                &[&&*key.kind, &&*key.key],
            )
            .await?;
        all(&rows, journal_row)
    }

    pub(super) async fn exceptions(&self, query: &ExceptionQuery) -> Result<Vec<ExceptionView>, StoreError> {
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
        all(&self.client.query_typed(&sql, &filter.values()).await?, |row| {
            let (name, exception) = exception_row(row, VIEW_WIDTH + PROCESS_WIDTH)?;
            Ok(ExceptionView { process: view(row)?, name, row: exception })
        })
    }

    pub(super) async fn counts(&self) -> Result<Counts, StoreError> {
        self.snapshot(async {
            let (processes, stages, effects, exceptions) = tokio::join!(
                self.ask(
                    "SELECT kind, status, sum(count)::int8 FROM tally GROUP BY kind, status HAVING sum(count) > 0 ORDER BY kind, status",
                    &[]
                ),
                self.ask(
                    "SELECT stage, sum(count)::int8 FROM tally WHERE kind = 'order' AND status IN ('open', 'held')
                     GROUP BY stage HAVING sum(count) > 0 ORDER BY stage",
                    &[]
                ),
                self.ask(
                    "SELECT system, state, count(*), min(due) FROM effect WHERE state < 4 GROUP BY system, state ORDER BY system, state",
                    &[]
                ),
                self.ask("SELECT class, count(*), min(since) FROM exception GROUP BY class ORDER BY class", &[]),
            );
            Ok(Counts {
                processes: all(&processes?, |row| Ok((get(row, 0)?, get(row, 1)?, unsigned(row, 2)?)))?,
                stages: all(&stages?, |row| Ok((get(row, 0)?, unsigned(row, 1)?)))?,
                effects: all(&effects?, |row| {
                    let state = state_of(get::<i16>(row, 1)?.into()).map_or("unknown", |state| state.as_str()).to_owned();
                    Ok((get(row, 0)?, state, unsigned(row, 2)?, get::<Option<i64>>(row, 3)?.map(Timestamp)))
                })?,
                exceptions: all(&exceptions?, |row| Ok((get(row, 0)?, unsigned(row, 1)?, time(row, 2)?)))?,
            })
        })
        .await
    }

    /// In each partition in the order of its offsets, across partitions nearly in the order of commits. The cursor is how far each
    /// partition was read.
    ///
    /// Within a partition `seq` and offset rise together and commits follow each other, so what one statement sees of a partition has
    /// no gap. The lowest row not yet read, over all partitions, is where reading goes on by `seq`; what lies above it and was read
    /// already is passed over by its offset.
    pub(super) async fn stream(&self, cursor: &str, limit: usize) -> Result<(Vec<JournalRow>, String), StoreError> {
        if cursor == "now" {
            let rows = self.ask("SELECT partition, \"offset\" FROM lease", &[]).await?;
            let mut now = Cursor::default();
            for row in &rows {
                now.reach(super::rows::small(row, 0)?, get(row, 1)?);
            }
            return Ok((Vec::new(), now.to_string()));
        }
        let known = match Cursor::parse(cursor) {
            Some(known) => Some(known),
            None => self.cursor_of_file(cursor).await?,
        };
        let mut cursor = known.ok_or_else(|| StoreError::Constraint(format!("{cursor:?} is not a cursor of this journal")))?;
        const NEXT: &str = "WITH next AS MATERIALIZED (
                     SELECT min(first.seq) AS seq FROM lease l
                     CROSS JOIN LATERAL (
                         SELECT j.seq FROM journal j WHERE j.partition = l.partition AND j.\"offset\" > ($1::int8[])[l.partition + 1]
                         ORDER BY j.\"offset\" LIMIT 1) first
                     WHERE l.\"offset\" > ($1::int8[])[l.partition + 1])
                 SELECT j.partition, j.\"offset\", p.kind, p.key, j.version, j.at, j.actor, j.action, j.record
                 FROM journal j JOIN process p ON p.no = j.process_no
                 WHERE j.seq >= (SELECT seq FROM next) AND j.\"offset\" > ($1::int8[])[j.partition + 1]
                 ORDER BY j.seq LIMIT $2";
        let rows = self.walk(async { self.ask(NEXT, &[&cursor.offsets(), &rows_max(limit)]).await }).await?;
        let rows = all(&rows, journal_row)?;
        for row in &rows {
            cursor.reach(row.partition, row.offset.cast_signed());
        }
        Ok((rows, cursor.to_string()))
    }

    /// A cursor of the file that was moved here: the number of a journal row, which it kept.
    async fn cursor_of_file(&self, cursor: &str) -> Result<Option<Cursor>, StoreError> {
        let Ok(seq) = cursor.parse::<i64>() else { return Ok(None) };
        let mark = self.ask_opt("SELECT value FROM meta WHERE name = 'move'", &[]).await?;
        let moved = mark.map(|row| super::import::Mark::read(get(&row, 0)?)).transpose()?;
        if !moved.is_some_and(|mark| (0..=mark.last_seq).contains(&seq)) {
            return Ok(None);
        }
        let mut reached = Cursor::default();
        let sql = "SELECT partition, max(\"offset\") FROM journal WHERE seq <= $1 AND \"offset\" IS NOT NULL GROUP BY partition";
        for row in &self.ask(sql, &[&seq]).await? {
            reached.reach(super::rows::small(row, 0)?, get(row, 1)?);
        }
        Ok(Some(reached))
    }

    pub(super) async fn inbox_depth(&self) -> Result<u64, StoreError> {
        self.ask_opt("SELECT count(*) FROM pending", &[]).await?.map_or(Ok(0), |row| unsigned(&row, 0))
    }

    pub(super) async fn audit(&self, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        let rows = self
            .ask(
                "SELECT j.at, j.actor, j.action, j.hash, p.kind, p.key FROM journal j LEFT JOIN process p ON p.no = j.process_no
                 ORDER BY j.seq DESC LIMIT $1",
                &[&rows_max(limit.min(PAGE_MAX))],
            )
            .await?;
        all(&rows, |row| {
            let process = get::<Option<&str>>(row, 4)?.map(|_| process_key(row, 4)).transpose()?;
            Ok(AuditRow {
                at: time(row, 0)?,
                actor: text(row, 1)?,
                action: text(row, 2)?,
                hash: hex(&hash::<32>(row, 3)?),
                process,
            })
        })
    }
}
