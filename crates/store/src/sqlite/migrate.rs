//! The schema's steps: ordered, embedded, each applied once in its own transaction, each remembered with its checksum.

use crate::{StoreError, audit::hex};
use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};

struct Migration {
    version: i64,
    name: &'static str,
    sql: &'static str,
}

/// Append only: what was shipped is never edited, a checksum sees it.
const MIGRATIONS: &[Migration] = &[Migration { version: 1, name: "first", sql: include_str!("migrations/0001_first.sql") }];

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
                let done = conn.execute_batch(migration.sql).and_then(|()| {
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

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[Migration] = &[
        Migration { version: 1, name: "a", sql: "CREATE TABLE a (x)" },
        Migration { version: 2, name: "b", sql: "CREATE TABLE b (x)" },
    ];

    #[test]
    fn steps_are_applied_once_in_order_and_a_changed_one_is_seen() {
        let conn = Connection::open_in_memory().expect("memory");
        apply(&conn, &TWO[..1]).expect("the first");
        apply(&conn, TWO).expect("the second only");
        apply(&conn, TWO).expect("nothing");
        let count: i64 = conn.query_row("SELECT count(*) FROM schema_version", [], |row| row.get(0)).expect("count");
        assert_eq!(count, 2);
        let edited = [Migration { version: 1, name: "a", sql: "CREATE TABLE a (x, y)" }];
        assert!(
            matches!(apply(&conn, &edited), Err(StoreError::Unavailable(_))),
            "a newer file is not opened by an older program"
        );
        let edited = [
            Migration { version: 1, name: "a", sql: "CREATE TABLE a (x, y)" },
            Migration { version: 2, name: "b", sql: TWO[1].sql },
        ];
        assert!(matches!(apply(&conn, &edited), Err(StoreError::Damaged(_))));
    }

    #[test]
    fn a_step_that_fails_leaves_nothing_behind() {
        let conn = Connection::open_in_memory().expect("memory");
        let bad = [Migration { version: 1, name: "a", sql: "CREATE TABLE a (x); CREATE TABLE a (x);" }];
        assert!(apply(&conn, &bad).is_err());
        let count: i64 =
            conn.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'a'", [], |row| row.get(0)).expect("count");
        assert_eq!(count, 0);
    }
}
