//! The schema's steps: ordered, embedded, each applied once, all in one transaction under a lock of their own, so that nodes which
//! start at once do not meet.
//!
//! Steps only add (tables, columns with defaults, indexes) or drop what no program needs (an index), so that nodes of the version
//! before go on while others are renewed. Each step says what the oldest program is that may still run beside it; a program older
//! than that is refused.

use super::{dial::SCHEMA, error::text};
use crate::{
    PARTITIONS, StoreError,
    audit::hex,
    vault::{KeySource, Vault},
};
use sha2::{Digest, Sha256};
use tokio_postgres::Client;

struct Migration {
    version: i64,
    name: &'static str,
    /// A program that knows the schema up to here may run on it.
    oldest: i64,
    sql: &'static str,
}

/// Append only: what was shipped is never edited, a checksum sees it.
const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "first", oldest: 1, sql: include_str!("migrations/0001_first.sql") },
    Migration { version: 2, name: "nodes", oldest: 1, sql: include_str!("migrations/0002_nodes.sql") },
    Migration {
        version: 3,
        name: "one index of offsets",
        oldest: 1,
        sql: include_str!("migrations/0003_one_index_of_offsets.sql"),
    },
];

/// Of all advisory locks of this store the highest bits are the same; see also the functions in the first step.
const LOCK: i64 = 17_260 << 48;

/// Says under the hub's key what opening expects to read.
const KEY_PROOF: &[u8] = b"crossdock store";

/// Brings the database to this program's schema and opens its vault.
pub(super) async fn migrate(client: &Client, key: &KeySource) -> Result<Vault, StoreError> {
    let failed =
        |e: tokio_postgres::Error| StoreError::Unavailable(format!("the schema cannot be brought up to date: {}", text(&e)));
    client.batch_execute("BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'").await.map_err(failed)?;
    let done = async {
        client.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(failed)?;
        apply(client, MIGRATIONS).await?;
        unlock(client, key).await
    }
    .await;
    match done {
        Ok(vault) => client.batch_execute("COMMIT").await.map_err(failed).map(|()| vault),
        Err(e) => {
            // The connection is given up; that undoes it too.
            let _ = client.batch_execute("ROLLBACK").await;
            Err(e)
        }
    }
}

async fn apply(client: &Client, migrations: &[Migration]) -> Result<(), StoreError> {
    let failed =
        |e: tokio_postgres::Error| StoreError::Unavailable(format!("the schema cannot be brought up to date: {}", text(&e)));
    client
        .batch_execute(&format!(
            "CREATE SCHEMA IF NOT EXISTS {SCHEMA};
             CREATE TABLE IF NOT EXISTS schema_version (
                 version INT8 PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, oldest INT8 NOT NULL);"
        ))
        .await
        .map_err(failed)?;
    let rows =
        client.query("SELECT version, checksum, oldest FROM schema_version ORDER BY version", &[]).await.map_err(failed)?;
    let mut applied = Vec::with_capacity(rows.len());
    for row in &rows {
        let read = || Ok((row.try_get::<_, i64>(0)?, row.try_get::<_, String>(1)?, row.try_get::<_, i64>(2)?));
        applied.push(read().map_err(failed)?);
    }
    let known = migrations.last().map_or(0, |last| last.version);
    if let Some((newest, _, oldest)) =
        applied.iter().max_by_key(|(_, _, oldest)| *oldest).filter(|(_, _, oldest)| *oldest > known)
    {
        return Err(StoreError::Unavailable(format!(
            "the store has schema {newest}, beside which a program must know {oldest}; this one knows {known}: run a newer version"
        )));
    }
    for migration in migrations {
        let checksum = hex(&Sha256::digest(migration.sql.as_bytes()));
        match applied.iter().find(|(version, ..)| *version == migration.version) {
            Some((_, applied, _)) if *applied == checksum => {}
            Some(_) => {
                return Err(StoreError::Damaged(format!(
                    "schema step {} ({}) was applied in another form than this program's",
                    migration.version, migration.name
                )));
            }
            None => {
                client.batch_execute(migration.sql).await.map_err(failed)?;
                client
                    .execute(
                        "INSERT INTO schema_version (version, name, checksum, oldest) VALUES ($1, $2, $3, $4)",
                        &[&migration.version, &migration.name, &checksum, &migration.oldest],
                    )
                    .await
                    .map_err(failed)?;
            }
        }
    }
    Ok(())
}

/// Refuses the wrong key at once, rather than fail on the first body.
async fn unlock(client: &Client, key: &KeySource) -> Result<Vault, StoreError> {
    let row = client.query_opt("SELECT value FROM meta WHERE name = 'key_proof'", &[]).await?;
    let stored = row.map(|row| row.try_get::<_, Vec<u8>>(0)).transpose()?;
    let vault = Vault::open(key, stored.is_none())?;
    match stored {
        Some(proof) if vault.unwrap(b"proof", &proof).as_deref() == Some(KEY_PROOF) => Ok(vault),
        Some(_) => Err(StoreError::Unavailable(format!(
            "the key ({key:?}) is not the one that this database was made with; give it the right one, without it nothing in it can be read"
        ))),
        None => {
            let proof = vault.wrap(b"proof", KEY_PROOF)?;
            client
                .execute(
                    "INSERT INTO meta (name, value) VALUES ('key_proof', $1), ('partitions', $2)",
                    &[&proof, &PARTITIONS.to_le_bytes().as_slice()],
                )
                .await?;
            Ok(vault)
        }
    }
}
