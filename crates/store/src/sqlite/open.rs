//! Opening the file: who may, with which SQLite, under which settings.

use super::options::{Durability, Options};
use crate::StoreError;
use rusqlite::{Connection, OpenFlags};
use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
};

/// 3.51.3 repaired a fault by which two connections that write and checkpoint at once could damage a file in WAL mode.
const SQLITE_MIN: i32 = 3_051_003;

/// Refuses an SQLite that may damage the file.
pub(super) fn check_version(number: i32) -> Result<(), StoreError> {
    if number >= SQLITE_MIN {
        return Ok(());
    }
    let text = |n: i32| format!("{}.{}.{}", n / 1_000_000, n / 1_000 % 1_000, n % 1_000);
    Err(StoreError::Unavailable(format!(
        "this program was linked with SQLite {}, which can damage a database in WAL mode; build it with {} or newer (the bundled one is)",
        text(number),
        text(SQLITE_MIN)
    )))
}

/// Held as long as the store is open: one hub a file. The system drops it with the process, however that ends.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let lock_path = beside(path, ".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(|e| StoreError::Unavailable(format!("{} cannot be made: {e}", lock_path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Unavailable(format!(
            "another hub has {} open; stop it first, or give this one a store of its own",
            path.display()
        ))),
        Err(TryLockError::Error(e)) => Err(StoreError::Unavailable(format!(
            "{} cannot be locked: {e}; the store must lie on a local disk",
            lock_path.display()
        ))),
    }
}

/// Makes the names of new files durable, not only what is in them.
pub(super) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|e| StoreError::Unavailable(format!("the folder {} cannot be synced: {e}", directory.display())))
}

pub(super) fn writer(options: &Options) -> Result<Connection, StoreError> {
    let conn = connect(options, OpenFlags::SQLITE_OPEN_CREATE)?;
    let mode: String =
        conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(|e| failed(&options.path, &e))?;
    if mode != "wal" {
        return Err(StoreError::Unavailable(format!(
            "{} cannot be put into WAL mode ({mode}); the store must lie on a local disk",
            options.path.display()
        )));
    }
    settings(&conn, &options.path, options.cache_mib)?;
    syncing(&conn, options)?;
    Ok(conn)
}

/// The connection that moves the log into the database. It reads no page by the cache and writes none.
pub(super) fn mover(options: &Options) -> Result<Connection, StoreError> {
    let conn = connect(options, OpenFlags::empty())?;
    settings(&conn, &options.path, 1)?;
    syncing(&conn, options)?;
    Ok(conn)
}

fn syncing(conn: &Connection, options: &Options) -> Result<(), StoreError> {
    let synchronous = match options.durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
        Durability::Off => "OFF",
    };
    // Checkpoints run after the answers are given, see the writer's log; never inside a commit.
    conn.execute_batch(&format!("PRAGMA synchronous = {synchronous}; PRAGMA wal_autocheckpoint = 0;"))
        .map_err(|e| failed(&options.path, &e))
}

pub(super) fn reader(options: &Options) -> Result<Connection, StoreError> {
    let conn = connect(options, OpenFlags::empty())?;
    settings(&conn, &options.path, (options.cache_mib / 4).max(1))?;
    conn.execute_batch("PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0;").map_err(|e| failed(&options.path, &e))?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

fn connect(options: &Options, more: OpenFlags) -> Result<Connection, StoreError> {
    // A connection is used by one thread only, so SQLite need not lock it.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    match &options.vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(&options.path, flags, vfs.as_str()),
        None => Connection::open_with_flags(&options.path, flags),
    }
    .map_err(|e| StoreError::Unavailable(format!("{} cannot be opened: {e}", options.path.display())))
}

fn settings(conn: &Connection, path: &Path, cache_mib: u32) -> Result<(), StoreError> {
    conn.execute_batch(&format!(
        "PRAGMA mmap_size = 0;
         PRAGMA foreign_keys = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA busy_timeout = 5000;
         PRAGMA cache_size = -{};",
        u64::from(cache_mib) * 1024
    ))
    .map_err(|e| failed(path, &e))
}

fn failed(path: &Path, e: &rusqlite::Error) -> StoreError {
    StoreError::Unavailable(format!("{} cannot be set up: {e}", path.display()))
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sqlite_that_can_damage_the_file_is_refused_by_its_number() {
        for (number, taken) in [(3_040_001, false), (3_051_002, false), (3_051_003, true), (3_054_001, true)] {
            assert_eq!(check_version(number).is_ok(), taken, "{number}");
        }
        let said = check_version(3_040_001).expect_err("too old").to_string();
        assert!(said.contains("3.40.1") && said.contains("3.51.3"), "{said}");
        check_version(rusqlite::version_number()).expect("the bundled one is new enough");
    }
}
