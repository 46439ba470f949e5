//! Moving a store from its file into PostgreSQL: every table, in bounded batches, resumed after any end, verified on both sides before
//! it counts.
//!
//! The rows themselves say how far a move came: each batch is one transaction, and a move goes on behind the highest key it finds. Both
//! sides bear a mark with the move's name. A hub that opens the file meanwhile takes its mark away, so that the next run begins anew; a
//! hub cannot open a database that is not complete, nor, afterwards, the file: of two copies of a process only one may live.
//!
//! Subjects' keys go over as they are, wrapped by the hub's own key: the hub needs the same key file afterwards.

pub(crate) mod row;
pub(crate) mod tables;

use crate::{
    AuditVerdict, PostgresOptions, StoreError,
    audit::hex,
    entropy,
    postgres::{Import, ImportMark},
    sqlite::{Export, ExportMark, Options},
};
use row::{Cell, Content};
use serde::Serialize;
use std::{fmt, ops::ControlFlow};
use tables::{LEASES, TABLES, Table};

/// Rows read at a time to be digested.
const PAGE: usize = 1_000;
const PAGE_BYTES: usize = 8 << 20;

/// What to move, and how much at a time.
pub struct Move {
    pub from: Options,
    /// With the same key as `from`.
    pub to: PostgresOptions,
    /// Most rows, and about the most bytes, of one batch.
    pub batch_rows: usize,
    pub batch_bytes: usize,
}

impl Move {
    pub fn new(from: Options, to: PostgresOptions) -> Self {
        Self { from, to, batch_rows: 5_000, batch_bytes: 8 << 20 }
    }
}

/// Told after each batch; `Break` ends the move there, to be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub phase: Phase,
    pub table: &'static str,
    /// Rows of the table that are done, of how many.
    pub done: u64,
    pub of: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Copy,
    Verify,
}

/// What is on both sides alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    pub tables: Vec<Same>,
    /// Rows of the audit chain, and the digest over its heads.
    pub audit_rows: u64,
    pub audit_head: String,
    /// Whether an earlier run had begun it.
    pub resumed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Same {
    pub table: &'static str,
    pub rows: u64,
    /// SHA-256 of all rows in the order of their key.
    pub sha256: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub table: &'static str,
    pub source_rows: u64,
    pub source_sha256: String,
    pub target_rows: u64,
    pub target_sha256: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, source_rows, source_sha256, target_rows, target_sha256 } = self;
        write!(f, "{table}: {source_rows} rows ({source_sha256}) became {target_rows} ({target_sha256})")
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    /// Nothing was changed; the message says why.
    #[error("{0}")]
    Refused(String),
    #[error("the file: {0}")]
    Source(StoreError),
    /// What was copied stays; run it again.
    #[error("the database: {0}")]
    Target(StoreError),
    /// Ended by the caller; run it again.
    #[error("the move was ended; run it again to go on")]
    Ended,
    /// The database does not hold what the file holds: no hub can be started on it.
    #[error("the database differs from the file; drop its schema `crossdock` and run the move again: {}", list(.0))]
    Differs(Vec<Difference>),
    #[error("the audit chain {0}")]
    Audit(String),
}

fn list(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Moves a store, or goes on with a move that was ended. Blocks for as long as it takes; not from within an asynchronous task.
pub fn run(what: &Move, tell: &mut dyn FnMut(Progress) -> ControlFlow<()>) -> Result<Moved, MoveError> {
    let from = Export::open(&what.from).map_err(MoveError::Source)?;
    let to = Import::open(&what.to).map_err(MoveError::Target)?;
    let (mark, resumed) = begin(&from, &to)?;
    for table in TABLES {
        copy(what, &from, &to, table, tell)?;
    }
    let leases = from.page(&LEASES, None, PAGE, PAGE_BYTES).map_err(MoveError::Source)?;
    let own_rows = from.own_rows().map_err(MoveError::Source)?;
    let last_seq = to.finish(&leases, own_rows).map_err(MoveError::Target)?;
    let tables = compare(&from, &to, tell)?;
    let (audit_rows, audit_head) = audit(&from, &to)?;
    // The file first: there is no moment at which both could be opened.
    from.set_mark(&ExportMark::Moved(mark.name.clone())).map_err(MoveError::Source)?;
    to.set_mark(&ImportMark { done: true, last_seq, ..mark }).map_err(MoveError::Target)?;
    Ok(Moved { tables, audit_rows, audit_head, resumed })
}

/// Finds out whether this is a new move, one to go on with, or one that must not be.
fn begin(from: &Export, to: &Import) -> Result<(ImportMark, bool), MoveError> {
    let refused = |reason: String| Err(MoveError::Refused(reason));
    let source = from.id().map_err(MoveError::Source)?;
    let here = from.mark().map_err(MoveError::Source)?;
    let there = to.mark().map_err(MoveError::Target)?;
    let file = from.path().display();
    match there {
        Some(mark) if mark.done && mark.source == source && here == ExportMark::Moved(mark.name.clone()) => {
            refused(format!("{file} was moved into this database already, completely; start the hub on it"))
        }
        Some(mark) if mark.done || mark.source != source => {
            refused("the database holds another hub's data; give an empty one".into())
        }
        Some(mark) if here == ExportMark::Copying(mark.name.clone()) || here == ExportMark::Moved(mark.name.clone()) => {
            Ok((mark, true))
        }
        None if !to.is_empty().map_err(MoveError::Target)? => {
            refused("the database holds another hub's data; give an empty one".into())
        }
        _ if matches!(here, ExportMark::Moved(_)) => refused(format!("{file} was moved into another database already")),
        there => {
            let name = hex(&entropy::nonce().map_err(MoveError::Source)?);
            let mark = ImportMark { done: false, source, name: name.clone(), last_seq: 0 };
            if there.is_some() {
                // A hub has been at work on the file since: what was copied is out of date.
                to.clear().map_err(MoveError::Target)?;
            }
            to.set_mark(&mark).map_err(MoveError::Target)?;
            from.set_mark(&ExportMark::Copying(name)).map_err(MoveError::Source)?;
            Ok((mark, false))
        }
    }
}

fn copy(
    what: &Move,
    from: &Export,
    to: &Import,
    table: &'static Table,
    tell: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<(), MoveError> {
    let of = from.count(table).map_err(MoveError::Source)?;
    let mut done = to.count(table).map_err(MoveError::Target)?;
    let mut after = to.reached(table).map_err(MoveError::Target)?;
    loop {
        let rows = from.page(table, after.as_deref(), what.batch_rows.max(1), what.batch_bytes).map_err(MoveError::Source)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last[..table.key].to_vec());
        to.copy(table, &rows).map_err(MoveError::Target)?;
        done += rows.len() as u64;
        if tell(Progress { phase: Phase::Copy, table: table.name, done, of }).is_break() {
            return Err(MoveError::Ended);
        }
    }
}

/// Reads both sides anew, whole.
fn compare(from: &Export, to: &Import, tell: &mut dyn FnMut(Progress) -> ControlFlow<()>) -> Result<Vec<Same>, MoveError> {
    let (mut same, mut differences) = (Vec::new(), Vec::new());
    for table in TABLES.iter().chain([&LEASES]) {
        let (source_rows, source_sha256) =
            content(table, |after| from.page(table, after, PAGE, PAGE_BYTES)).map_err(MoveError::Source)?;
        let (target_rows, target_sha256) = content(table, |after| to.page(table, after, PAGE)).map_err(MoveError::Target)?;
        if (source_rows, &source_sha256) == (target_rows, &target_sha256) {
            same.push(Same { table: table.name, rows: source_rows, sha256: source_sha256 });
        } else {
            differences.push(Difference { table: table.name, source_rows, source_sha256, target_rows, target_sha256 });
        }
        if tell(Progress { phase: Phase::Verify, table: table.name, done: target_rows, of: source_rows }).is_break() {
            return Err(MoveError::Ended);
        }
    }
    if differences.is_empty() { Ok(same) } else { Err(MoveError::Differs(differences)) }
}

fn content(
    table: &Table,
    mut page: impl FnMut(Option<&[Cell]>) -> Result<Vec<Vec<Cell>>, StoreError>,
) -> Result<(u64, String), StoreError> {
    let mut content = Content::default();
    let mut after: Option<Vec<Cell>> = None;
    loop {
        let rows = page(after.as_deref())?;
        rows.iter().for_each(|row| content.add(row));
        match rows.last() {
            Some(last) => after = Some(last[..table.key].to_vec()),
            None => return Ok(content.end()),
        }
    }
}

/// Walks the chain on both sides; they end alike.
fn audit(from: &Export, to: &Import) -> Result<(u64, String), MoveError> {
    let here = from.verify_audit().map_err(MoveError::Source)?;
    let there = to.verify_audit().map_err(MoveError::Target)?;
    match (here, there) {
        (AuditVerdict::Intact { rows, head }, there) if there == (AuditVerdict::Intact { rows, head: head.clone() }) => {
            Ok((rows, head))
        }
        (AuditVerdict::Broken { partition, offset, reason }, _) => {
            Err(MoveError::Audit(format!("of the file is broken in partition {partition} at {offset}: {reason}")))
        }
        (_, AuditVerdict::Broken { partition, offset, reason }) => {
            Err(MoveError::Audit(format!("of the database is broken in partition {partition} at {offset}: {reason}")))
        }
        (here, there) => Err(MoveError::Audit(format!("ends differently: {here:?} and {there:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        tables::{Column, LEFT, UNPACKED},
        *,
    };
    use crate::sqlite::SqliteStore;

    #[test]
    fn every_table_and_column_of_the_file_is_moved_or_left_by_name() {
        let folder = std::env::temp_dir().join(format!("crossdock-transfer-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let options = Options::new(folder.join("hub.db"));
        drop(SqliteStore::open(&options).expect("opens"));
        let export = Export::open(&options).expect("opens");
        let moved = |name: &str| TABLES.iter().chain([&LEASES]).find(|table| table.name == name);
        for name in export.tables() {
            let Some(table) = moved(&name) else {
                assert!(LEFT.contains(&&*name), "{name} is neither moved nor left");
                continue;
            };
            let columns: Vec<_> = table.columns.iter().map(|Column(name, ..)| (*name).to_owned()).collect();
            for column in export.columns(&name) {
                let unpacked = UNPACKED.contains(&(&*name, &*column));
                assert!(unpacked || columns.contains(&column), "{name}.{column} is not moved");
            }
        }
        std::fs::remove_dir_all(&folder).expect("it was just made");
    }
}
