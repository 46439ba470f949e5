//! A closed store as rows, for a move into another one: opened in the ordinary way first, which recovers it and makes its tables
//! complete, then read table by table with nobody writing. The lock that keeps hubs out is held all the while.

use super::{SqliteStore, open, options::Options, pool::Reader};
use crate::{
    AuditVerdict, EffectRow, StoreError,
    audit::hex,
    codes::{compact, compact_hash, state_code},
    effects,
    model::ProcessKey,
    transfer::{
        row::{Cell, Kind},
        tables::{Column, Table},
    },
};
use rusqlite::{
    Connection, OptionalExtension, ToSql,
    functions::FunctionFlags,
    params_from_iter,
    types::{ToSqlOutput, ValueRef},
};
use sha2::{Digest, Sha256};
use std::{fs::File, path::PathBuf, sync::Arc};

/// Where a store keeps that it is being moved, or was.
const MARK: &str = "move";
const COPYING: &str = "copying ";
const MOVED: &str = "moved ";

pub(crate) struct Export {
    reader: Reader,
    path: PathBuf,
    /// Last: given back when nothing of the file is open.
    _lock: File,
}

/// How far a move of this store has come, by the store's own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    None,
    /// Begun under this name, and no hub has opened the store since.
    Copying(String),
    Moved(String),
}

/// Lets a hub open the store only where it still lives. What a move has copied so far is out of date from here on, so it is told to
/// begin anew.
pub(super) fn guard(conn: &Connection) -> Result<(), StoreError> {
    match mark(conn)? {
        Mark::None => Ok(()),
        Mark::Copying(_) => Ok(conn.execute("DELETE FROM meta WHERE name = ?1", [MARK]).map(|_| ())?),
        Mark::Moved(_) => Err(StoreError::Unavailable(
            "this store was moved to PostgreSQL: its processes go on there, and here they would be carried out a second time; \
             start the hub with `store: {kind: postgres}`"
                .into(),
        )),
    }
}

fn mark(conn: &Connection) -> Result<Mark, StoreError> {
    let stored: Option<Vec<u8>> =
        conn.query_row("SELECT value FROM meta WHERE name = ?1", [MARK], |row| row.get(0)).optional()?;
    let Some(stored) = stored else { return Ok(Mark::None) };
    let text = String::from_utf8_lossy(&stored);
    match (text.strip_prefix(COPYING), text.strip_prefix(MOVED)) {
        (Some(name), _) => Ok(Mark::Copying(name.into())),
        (_, Some(name)) => Ok(Mark::Moved(name.into())),
        _ => Err(StoreError::Damaged(format!("the mark {text:?} of a move is not one"))),
    }
}

impl Export {
    /// Opens a store that is there. Blocks; refuses while a hub has it open.
    pub(crate) fn open(options: &Options) -> Result<Self, StoreError> {
        if !options.path.is_file() {
            return Err(StoreError::Unavailable(format!("there is no store at {}", options.path.display())));
        }
        let store = SqliteStore::open_if(options, |_| Ok(()))?;
        // Both handles are of one lock: it stays when the store's own is closed.
        let lock = store
            ._lock
            .try_clone()
            .map_err(|e| StoreError::Unavailable(format!("{} cannot be kept locked: {e}", options.path.display())))?;
        let vault = Arc::clone(&store.vault);
        drop(store);
        let reader = Reader { conn: open::writer(options)?, vault };
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        reader.conn.create_scalar_function("effects_json", 1, flags, |given| effects_json(given.get_raw(0)))?;
        Ok(Self { reader, path: options.path.clone(), _lock: lock })
    }

    /// Names this store among all others: no two prove their key with the same bytes.
    pub(crate) fn id(&self) -> Result<String, StoreError> {
        let proof: Vec<u8> =
            self.reader.conn.query_row("SELECT value FROM meta WHERE name = 'key_proof'", [], |row| row.get(0))?;
        Ok(hex(&Sha256::digest(proof)[..16]))
    }

    pub(crate) fn mark(&self) -> Result<Mark, StoreError> {
        mark(&self.reader.conn)
    }

    /// On disk when it returns.
    pub(crate) fn set_mark(&self, mark: &Mark) -> Result<(), StoreError> {
        let text = match mark {
            Mark::None => return Ok(self.reader.conn.execute("DELETE FROM meta WHERE name = ?1", [MARK]).map(|_| ())?),
            Mark::Copying(name) => format!("{COPYING}{name}"),
            Mark::Moved(name) => format!("{MOVED}{name}"),
        };
        let sql = "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        Ok(self.reader.conn.execute(sql, (MARK, text.into_bytes())).map(|_| ())?)
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Counts and last of the hub's own audit rows, as `meta` keeps them.
    pub(crate) fn own_rows(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT value FROM meta WHERE name = 'own_rows'";
        Ok(self.reader.conn.query_row(sql, [], |row| row.get(0)).optional()?)
    }

    pub(crate) fn verify_audit(&self) -> Result<AuditVerdict, StoreError> {
        self.reader.verify_audit()
    }

    pub(crate) fn count(&self, table: &Table) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM {}", table.from);
        Ok(self.reader.conn.query_row(&sql, [], |row| row.get::<_, i64>(0))?.cast_unsigned())
    }

    /// The rows behind a key, in the order of keys: at most `rows`, and about `bytes`, but at least one if there is one.
    pub(crate) fn page(
        &self,
        table: &Table,
        after: Option<&[Cell]>,
        rows: usize,
        bytes: usize,
    ) -> Result<Vec<Vec<Cell>>, StoreError> {
        let key = table.sources(table.key);
        let behind = match after {
            Some(after) => format!("WHERE ({key}) > ({})", vec!["?"; after.len()].join(", ")),
            None => String::new(),
        };
        let sql =
            format!("SELECT {} FROM {} {behind} ORDER BY {key} LIMIT {rows}", table.sources(table.columns.len()), table.from);
        let mut statement = self.reader.conn.prepare_cached(&sql)?;
        let mut found = statement.query(params_from_iter(after.unwrap_or_default()))?;
        let (mut page, mut size) = (Vec::new(), 0);
        while let Some(row) = found.next()? {
            let cells = table.columns.iter().enumerate().map(|(at, column)| cell(column, row.get_ref(at)?));
            let cells = cells.collect::<Result<Vec<_>, StoreError>>().map_err(|e| within(table, e))?;
            size += cells.iter().map(Cell::size).sum::<usize>();
            page.push(cells);
            if size >= bytes {
                break;
            }
        }
        Ok(page)
    }

    /// The tables of the file, its own ones aside.
    #[cfg(test)]
    pub(crate) fn tables(&self) -> Vec<String> {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
        let mut rows = self.reader.conn.prepare(sql).expect("prepares");
        rows.query_map([], |row| row.get(0)).expect("reads").collect::<Result<_, _>>().expect("names")
    }

    #[cfg(test)]
    pub(crate) fn columns(&self, table: &str) -> Vec<String> {
        let mut rows = self.reader.conn.prepare("SELECT name FROM pragma_table_info(?1)").expect("prepares");
        rows.query_map([table], |row| row.get(0)).expect("reads").collect::<Result<_, _>>().expect("names")
    }
}

/// The packed effects of a process as an array of objects, for `json_each`.
fn effects_json(packed: ValueRef<'_>) -> rusqlite::Result<String> {
    let rows = effects::unpack(packed.as_blob()?).map_err(|fault| rusqlite::Error::UserFunctionError(Box::new(fault)))?;
    Ok(rows.iter().map(effect_json).collect::<serde_json::Value>().to_string())
}

fn effect_json(row: &EffectRow) -> serde_json::Value {
    serde_json::json!({
        "no": row.no,
        "step": row.step,
        "intent": row.intent,
        "system": row.system.as_str(),
        "operation": row.operation.as_str(),
        "generation": row.generation,
        "key": row.key,
        "state": state_code(row.state),
        "class": row.class,
        "due": row.due.map(|due| due.0),
        "attempts": row.attempts,
        "deadline": row.deadline.0,
        "made_at": row.made_at.0,
        "request": row.request.map(|hash| hash.to_string()),
        "last": row.last,
    })
}

fn within(table: &Table, error: StoreError) -> StoreError {
    match error {
        StoreError::Damaged(reason) => StoreError::Damaged(format!("{}: {reason}", table.name)),
        other => other,
    }
}

/// A source's value as the target keeps it.
fn cell(Column(name, kind, _): &Column, value: ValueRef<'_>) -> Result<Cell, StoreError> {
    let wrong = || StoreError::Damaged(format!("{name} has a value of another type than it may"));
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| wrong());
    let small = |value: i64| i16::try_from(value).map_err(|_| wrong());
    Ok(match (kind, value) {
        (_, ValueRef::Null) => Cell::Null(*kind),
        (Kind::Int8, ValueRef::Integer(value)) => Cell::Int8(value),
        (Kind::Int2, ValueRef::Integer(value)) => Cell::Int2(small(value)?),
        (Kind::Text, ValueRef::Text(bytes)) => Cell::Text(text(bytes)?),
        (Kind::Bytes, ValueRef::Blob(bytes)) => Cell::Bytes(bytes.to_vec()),
        (Kind::Compact, ValueRef::Blob(bytes)) => Cell::Bytes(compact_hash(bytes)),
        (Kind::Compact, ValueRef::Text(bytes)) => Cell::Bytes(compact(&text(bytes)?)),
        (Kind::Wrapped, ValueRef::Blob(bytes)) if bytes.iter().all(|byte| *byte == 0) => Cell::Bytes(Vec::new()),
        (Kind::Wrapped, ValueRef::Blob(bytes)) => Cell::Bytes(bytes.to_vec()),
        (Kind::Turn, ValueRef::Text(bytes)) => Cell::Int2(small(ProcessKey::new("", &text(bytes)?).partition().into())?),
        _ => return Err(wrong()),
    })
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null(_) => ValueRef::Null,
            Self::Int8(value) => ValueRef::Integer(*value),
            Self::Int2(value) => ValueRef::Integer((*value).into()),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
