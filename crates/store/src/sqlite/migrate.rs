//! The schema's steps: ordered, embedded, each applied once in its own transaction, each remembered with its checksum.

use super::{
    rows::{Expanded, state, system, time, wrong},
    writer::NOT_DUE,
};
use crate::{EffectRow, StoreError, audit::hex, codes::state_code, effects};
use crossdock_canonical::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};
use sha2::{Digest, Sha256};
use std::sync::Arc;

struct Migration {
    version: i64,
    name: &'static str,
    sql: &'static str,
    /// What SQL alone cannot do, after it.
    then: fn(&Connection) -> rusqlite::Result<()>,
}

impl Migration {
    const fn new(version: i64, name: &'static str, sql: &'static str) -> Self {
        Self { version, name, sql, then: |_| Ok(()) }
    }
}

/// Append only: what was shipped is never edited, a checksum sees it.
const MIGRATIONS: &[Migration] = &[
    Migration::new(1, "first", include_str!("migrations/0001_first.sql")),
    Migration {
        then: |conn| pack_effects(conn).and_then(|()| conn.execute_batch("DROP TABLE effect")),
        ..Migration::new(2, "effects", include_str!("migrations/0002_effects.sql"))
    },
];

/// Brings the file to this program's schema.
pub(super) fn migrate(conn: &Connection) -> Result<(), StoreError> {
    apply(conn, MIGRATIONS)
}

fn apply(conn: &Connection, migrations: &[Migration]) -> Result<(), StoreError> {
    let failed = |e: rusqlite::Error| StoreError::Unavailable(format!("the schema cannot be brought up to date: {e}"));
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL) STRICT;",
    )
    .map_err(failed)?;
    let newest: i64 =
        conn.query_row("SELECT coalesce(max(version), 0) FROM schema_version", [], |row| row.get(0)).map_err(failed)?;
    let known = migrations.last().map_or(0, |last| last.version);
    if newest > known {
        return Err(StoreError::Unavailable(format!(
            "the store has schema {newest}, this program knows {known}: run the version that wrote it, or a newer one"
        )));
    }
    for migration in migrations {
        let checksum = hex(&Sha256::digest(migration.sql.as_bytes()));
        let applied: Option<String> = conn
            .query_row("SELECT checksum FROM schema_version WHERE version = ?1", [migration.version], |row| row.get(0))
            .optional()
            .map_err(failed)?;
        match applied {
            Some(applied) if applied == checksum => {}
            Some(_) => {
                return Err(StoreError::Damaged(format!(
                    "schema step {} ({}) was applied in another form than this program's",
                    migration.version, migration.name
                )));
            }
            None => {
                conn.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
                let done = conn.execute_batch(migration.sql).and_then(|()| (migration.then)(conn)).and_then(|()| {
                    conn.execute(
                        "INSERT INTO schema_version (version, name, checksum) VALUES (?1, ?2, ?3)",
                        (migration.version, migration.name, &checksum),
                    )
                });
                match done {
                    Ok(_) => conn.execute_batch("COMMIT").map_err(failed)?,
                    Err(e) => {
                        // Closing the connection would undo it too; undone here, the caller may still use it.
                        let _ = conn.execute_batch("ROLLBACK");
                        return Err(failed(e));
                    }
                }
            }
        }
    }
    Ok(())
}

/// Moves every effect from its own row into the one of its process.
fn pack_effects(conn: &Connection) -> rusqlite::Result<()> {
    let mut processes = conn.prepare("SELECT DISTINCT process_no FROM effect ORDER BY process_no")?;
    let mut read = conn.prepare(
        "SELECT no, step, intent, system, operation, generation, key, state, class, due, attempts, deadline, made_at, request, last
         FROM effect WHERE process_no = ?1 ORDER BY no",
    )?;
    let mut put = conn.prepare("UPDATE process_state SET effects = ?2 WHERE no = ?1")?;
    let mut open =
        conn.prepare("INSERT INTO open_effect (system, class, due, process_no, no, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let mut found = processes.query([])?;
    while let Some(row) = found.next()? {
        let process: i64 = row.get(0)?;
        let rows = read.query_map([process], effect_row)?.collect::<rusqlite::Result<Vec<_>>>()?;
        let (packed, moved) = effects::change(&[], &rows).map_err(|fault| wrong("effects", &fault.to_string()))?;
        put.execute((process, packed))?;
        for effects::Moved { no, to, .. } in moved {
            if let Some(to) = to {
                open.execute((&to.system, to.class, to.due.map_or(NOT_DUE, |due| due.0), process, no, state_code(to.state)))?;
            }
        }
    }
    Ok(())
}

fn effect_row(row: &Row<'_>) -> rusqlite::Result<EffectRow> {
    let operation: Arc<str> = row.get(4)?;
    Ok(EffectRow {
        no: row.get(0)?,
        step: row.get(1)?,
        intent: row.get(2)?,
        system: system(row, 3)?,
        operation: operation.parse().map_err(|_| wrong("operation", &operation))?,
        generation: row.get(5)?,
        key: row.get::<_, Expanded>(6)?.0,
        state: state(row.get(7)?)?,
        class: row.get(8)?,
        due: row.get::<_, Option<i64>>(9)?.map(Timestamp),
        attempts: row.get(10)?,
        deadline: time(row, 11)?,
        made_at: time(row, 12)?,
        request: row.get(13)?,
        last: row.get(14)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EffectState, PayloadHash};
    use crossdock_canonical::{Operation, SystemName};

    const TWO: &[Migration] = &[Migration::new(1, "a", "CREATE TABLE a (x)"), Migration::new(2, "b", "CREATE TABLE b (x)")];

    #[test]
    fn effects_of_the_first_schema_are_found_again_in_their_processes() {
        let conn = Connection::open_in_memory().expect("memory");
        apply(&conn, &MIGRATIONS[..1]).expect("the first schema");
        conn.execute_batch(
            "INSERT INTO process_state VALUES (7, 2, 1, 0, 0, 1, x'', NULL, '', 'open', ''), (8, 1, 2, 0, 0, 1, x'', NULL, '', 'open', '');
             INSERT INTO effect VALUES
                 (7, 1, 'book', '', 'erp', 'erp.create_order', 1, x'00112233445566778899aabbccddeeff', 4, 3, NULL, 1, 90, 60, NULL, 'done'),
                 (7, 2, 'release', 's1', 'wms', 'wms.release', 2, 'not a hash', 0, 4, 70, 0, 99, 65, zeroblob(32), '');",
        )
        .expect("rows");
        apply(&conn, MIGRATIONS).expect("the rest");

        let packed = |no: i64| -> Vec<EffectRow> {
            let value: Vec<u8> =
                conn.query_row("SELECT effects FROM process_state WHERE no = ?1", [no], |row| row.get(0)).expect("a row");
            effects::unpack(&value).expect("reads")
        };
        let book = EffectRow {
            no: 1,
            step: "book".into(),
            intent: "".into(),
            system: SystemName::new("erp"),
            operation: Operation::ErpCreateOrder,
            generation: 1,
            key: "00112233445566778899aabbccddeeff".into(),
            state: EffectState::Done,
            class: 3,
            due: None,
            attempts: 1,
            deadline: Timestamp(90),
            made_at: Timestamp(60),
            request: None,
            last: "done".into(),
        };
        let release = EffectRow {
            no: 2,
            step: "release".into(),
            intent: "s1".into(),
            system: SystemName::new("wms"),
            operation: Operation::WmsRelease,
            generation: 2,
            key: "not a hash".into(),
            state: EffectState::Pending,
            class: 4,
            due: Some(Timestamp(70)),
            attempts: 0,
            deadline: Timestamp(99),
            made_at: Timestamp(65),
            request: Some(PayloadHash([0; 32])),
            last: "".into(),
        };
        assert_eq!(packed(7), [book, release]);
        assert_eq!(packed(8), []);
        let open: (String, i64, i64, i64) = conn
            .query_row("SELECT system, due, process_no, no FROM open_effect", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .expect("one row");
        assert_eq!(open, ("wms".into(), 70, 7, 2));
    }

    #[test]
    fn steps_are_applied_once_in_order_and_a_changed_one_is_seen() {
        let conn = Connection::open_in_memory().expect("memory");
        apply(&conn, &TWO[..1]).expect("the first");
        apply(&conn, TWO).expect("the second only");
        apply(&conn, TWO).expect("nothing");
        let count: i64 = conn.query_row("SELECT count(*) FROM schema_version", [], |row| row.get(0)).expect("count");
        assert_eq!(count, 2);
        let edited = [Migration::new(1, "a", "CREATE TABLE a (x, y)")];
        assert!(
            matches!(apply(&conn, &edited), Err(StoreError::Unavailable(_))),
            "a newer file is not opened by an older program"
        );
        let edited = [Migration::new(1, "a", "CREATE TABLE a (x, y)"), Migration::new(2, "b", TWO[1].sql)];
        assert!(matches!(apply(&conn, &edited), Err(StoreError::Damaged(_))));
    }

    #[test]
    fn a_step_that_fails_leaves_nothing_behind() {
        let conn = Connection::open_in_memory().expect("memory");
        let bad = [Migration::new(1, "a", "CREATE TABLE a (x); CREATE TABLE a (x);")];
        assert!(apply(&conn, &bad).is_err());
        let count: i64 =
            conn.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'a'", [], |row| row.get(0)).expect("count");
        assert_eq!(count, 0);
    }
}
