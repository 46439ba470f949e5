//! The database as the target of a move: rows are written as they are, a batch a transaction, and how far it came is read from the rows
//! themselves. Until the move is finished no hub may open it.

use super::{
    PostgresOptions, PostgresStore,
    dial::Role,
    error::text,
    rows::{get, unsigned},
};
use crate::{
    AuditVerdict, ReadStore, StoreError,
    transfer::{
        row::{Cell, Kind},
        tables::{Column, LEASES, TABLES, Table},
    },
};
use std::pin::pin;
use tokio_postgres::{Client, Row, binary_copy::BinaryCopyInWriter, error::SqlState, types::ToSql};

/// Where a store keeps that it is the target of a move, or was.
const MARK: &str = "move";
const COPYING: &str = "copying";
const DONE: &str = "done";
/// Held by the one program that moves.
const LOCK: i64 = (17_263 << 48) | 1;

pub(crate) struct Import {
    client: Client,
    store: PostgresStore,
}

/// What the target says of a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) done: bool,
    /// The source's name, and the move's.
    pub(crate) source: String,
    pub(crate) name: String,
    /// The last journal row that was moved; 0 while it is not finished.
    pub(crate) last_seq: i64,
}

impl Mark {
    fn write(&self) -> Vec<u8> {
        let word = if self.done { DONE } else { COPYING };
        format!("{word} {} {} {}", self.source, self.name, self.last_seq).into_bytes()
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        let text = String::from_utf8_lossy(bytes);
        let words: Vec<&str> = text.split(' ').collect();
        match words[..] {
            [word @ (COPYING | DONE), source, name, last] if last.parse::<i64>().is_ok() => Ok(Self {
                done: word == DONE,
                source: source.into(),
                name: name.into(),
                last_seq: last.parse().unwrap_or_default(),
            }),
            _ => Err(StoreError::Damaged(format!("the mark {text:?} of a move is not one"))),
        }
    }
}

/// A hub may open a database only when everything is in it.
pub(super) async fn guard(client: &Client) -> Result<(), StoreError> {
    match mark(client).await? {
        Some(mark) if !mark.done => Err(StoreError::Unavailable(
            "a move into this database is not finished: run `crossdock store move` again, or drop its schema `crossdock`".into(),
        )),
        _ => Ok(()),
    }
}

async fn mark(client: &Client) -> Result<Option<Mark>, StoreError> {
    let row = client.query_opt("SELECT value FROM meta WHERE name = $1", &[&MARK]).await?;
    row.map(|row| Mark::read(get(&row, 0)?)).transpose()
}

impl Import {
    /// Opens the database, making its schema when it is empty. Blocks; refuses while another move writes into it.
    pub(crate) fn open(options: &PostgresOptions) -> Result<Self, StoreError> {
        let store = PostgresStore::open_for(options, true)?;
        let client = store.handle.block_on(async {
            let client = store.dial.client(Role::Search).await.map_err(StoreError::Unavailable)?;
            // One that was just killed may hold it until the server has noticed.
            let limits = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '10s'";
            client.batch_execute(limits).await?;
            client.query_one("SELECT pg_advisory_lock($1)", &[&LOCK]).await.map_err(|e| match e.code() {
                Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                    StoreError::Unavailable("another `crossdock store move` is writing into this database".into())
                }
                _ => StoreError::from(e),
            })?;
            client.batch_execute("SET lock_timeout = 0").await?;
            Ok::<_, StoreError>(client)
        })?;
        Ok(Self { client, store })
    }

    pub(crate) fn mark(&self) -> Result<Option<Mark>, StoreError> {
        self.store.handle.block_on(mark(&self.client))
    }

    pub(crate) fn set_mark(&self, mark: &Mark) -> Result<(), StoreError> {
        let sql = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        Ok(self.store.handle.block_on(self.client.execute(sql, &[&MARK, &mark.write()])).map(|_| ())?)
    }

    /// Whether a hub has left anything in it.
    pub(crate) fn is_empty(&self) -> Result<bool, StoreError> {
        let filled: Vec<_> = TABLES.iter().map(|table| format!("EXISTS (SELECT FROM {})", table.name)).collect();
        let sql = format!("SELECT NOT ({} OR EXISTS (SELECT FROM lease WHERE epoch > 0))", filled.join(" OR "));
        get(&self.store.handle.block_on(self.client.query_one(&sql, &[]))?, 0)
    }

    /// Forgets what an earlier move has copied.
    pub(crate) fn clear(&self) -> Result<(), StoreError> {
        let tables: Vec<_> = TABLES.iter().map(|table| table.name).collect();
        let sql = format!(
            "TRUNCATE {}, erasure, journal_cut;
             UPDATE lease SET epoch = 0, node = '', taken_at = 0, \"offset\" = 0, head = decode(repeat('00', 32), 'hex');",
            tables.join(", ")
        );
        Ok(self.store.handle.block_on(self.client.batch_execute(&sql))?)
    }

    /// The highest key that a table holds.
    pub(crate) fn reached(&self, table: &Table) -> Result<Option<Vec<Cell>>, StoreError> {
        let names: Vec<_> = table.columns[..table.key].iter().map(|Column(name, ..)| format!("\"{name}\" DESC")).collect();
        let sql = format!("SELECT {} FROM {} ORDER BY {} LIMIT 1", table.names(table.key), table.name, names.join(", "));
        let row = self.store.handle.block_on(self.client.query_opt(&sql, &[]))?;
        row.map(|row| cells(table, table.key, &row)).transpose()
    }

    /// Writes a batch: all of it or nothing.
    pub(crate) fn copy(&self, table: &Table, rows: &[Vec<Cell>]) -> Result<(), StoreError> {
        self.store
            .handle
            .block_on(async {
                self.client.batch_execute("BEGIN").await?;
                if table.name == "journal"
                    && let (Some(Cell::Int8(first)), Some(Cell::Int8(last))) =
                        (rows.first().and_then(|row| row.first()), rows.last().and_then(|row| row.first()))
                {
                    // One more than is needed, as the hub's own writer keeps it.
                    for place in (first >> 22)..=(last >> 22) + 1 {
                        self.client.execute("SELECT journal_piece($1)", &[&place]).await?;
                    }
                }
                let sql = format!("COPY {} ({}) FROM STDIN BINARY", table.name, table.names(table.columns.len()));
                let types: Vec<_> = table.columns.iter().map(|Column(_, kind, _)| kind.of_target()).collect();
                let mut writer = pin!(BinaryCopyInWriter::new(self.client.copy_in(&sql).await?, &types));
                for row in rows {
                    let values: Vec<&(dyn ToSql + Sync)> = row.iter().map(Cell::as_sql).collect();
                    writer.as_mut().write(&values).await?;
                }
                writer.finish().await?;
                self.client.batch_execute("COMMIT").await
            })
            .map_err(|e| StoreError::Unavailable(format!("{}: {}", table.name, text(&e))))
    }

    /// What follows from the rows: who owned which partition, where each one's journal and audit chain end, and the next numbers.
    pub(crate) fn finish(&self, leases: &[Vec<Cell>], own_rows: Option<Vec<u8>>) -> Result<i64, StoreError> {
        let done = self.store.handle.block_on(async {
            self.client.batch_execute("BEGIN").await?;
            let sql = "UPDATE lease SET epoch = $2, node = $3, taken_at = $4 WHERE partition = $1";
            for lease in leases {
                let values: Vec<&(dyn ToSql + Sync)> = lease.iter().map(Cell::as_sql).collect();
                self.client.execute(sql, &values).await?;
            }
            if let Some(own_rows) = own_rows {
                let sql = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
                self.client.execute(sql, &[&crate::audit::OWN_ROWS, &own_rows]).await?;
            }
            self.client
                .batch_execute(
                    "UPDATE lease SET \"offset\" = coalesce(ended.last, 0), head = j.hash
                     FROM (SELECT partition, max(seq) AS seq, max(\"offset\") AS last FROM journal GROUP BY partition) ended
                     JOIN journal j ON j.seq = ended.seq WHERE lease.partition = ended.partition;
                     SELECT setval('inbox_no', greatest(1, (SELECT max(id) FROM inbox), (SELECT max(no) FROM process_key),
                         (SELECT max(no) FROM process)));
                     SELECT setval('journal_seq', greatest(1, (SELECT max(seq) FROM journal)));
                     SELECT setval('payload_no', greatest(1, (SELECT max(id) FROM payload), (SELECT max(payload) FROM process_state)));
                     SELECT setval('key_block', greatest((SELECT last_value FROM key_block), (SELECT max(no) >> 32 FROM subject_key)));
                     COMMIT",
                )
                .await?;
            for table in TABLES {
                self.client.batch_execute(&format!("ANALYZE {}", table.name)).await?;
            }
            self.client.query_one("SELECT coalesce(max(seq), 0) FROM journal", &[]).await
        });
        get(&done?, 0)
    }

    pub(crate) fn page(&self, table: &Table, after: Option<&[Cell]>, rows: usize) -> Result<Vec<Vec<Cell>>, StoreError> {
        let from = if table.name == LEASES.name { table.from } else { table.name };
        let key = table.names(table.key);
        let after = after.unwrap_or_default();
        let behind = match after.len() {
            0 => String::new(),
            many => format!("WHERE ({key}) > ({})", (1..=many).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")),
        };
        let sql = format!("SELECT {} FROM {from} {behind} ORDER BY {key} LIMIT {rows}", table.names(table.columns.len()));
        let values: Vec<&(dyn ToSql + Sync)> = after.iter().map(Cell::as_sql).collect();
        let found = self.store.handle.block_on(self.client.query(&sql, &values))?;
        found.iter().map(|row| cells(table, table.columns.len(), row)).collect()
    }

    pub(crate) fn count(&self, table: &Table) -> Result<u64, StoreError> {
        let from = if table.name == LEASES.name { table.from } else { table.name };
        let row = self.store.handle.block_on(self.client.query_one(&format!("SELECT count(*) FROM {from}"), &[]))?;
        unsigned(&row, 0)
    }

    pub(crate) fn verify_audit(&self) -> Result<AuditVerdict, StoreError> {
        self.store.handle.block_on(self.store.verify_audit())
    }
}

fn cells(table: &Table, columns: usize, row: &Row) -> Result<Vec<Cell>, StoreError> {
    let cell = |(at, Column(_, kind, _)): (usize, &Column)| {
        let found = match kind {
            Kind::Int8 => get::<Option<i64>>(row, at)?.map(Cell::Int8),
            Kind::Int2 | Kind::Turn => get::<Option<i16>>(row, at)?.map(Cell::Int2),
            Kind::Text => get::<Option<&str>>(row, at)?.map(|text| Cell::Text(text.into())),
            Kind::Bytes | Kind::Compact | Kind::Wrapped => get::<Option<&[u8]>>(row, at)?.map(|bytes| Cell::Bytes(bytes.into())),
        };
        Ok(found.unwrap_or(Cell::Null(*kind)))
    };
    table.columns[..columns].iter().enumerate().map(cell).collect()
}
