//! Backups of the file: copied while a hub runs or not, checked without being changed, put back.
//!
//! The copy is made on a read snapshot by SQLite itself, so it is one moment of the store whatever the hub writes meanwhile. The key
//! file is not in it: who keeps both together keeps the data in clear.

use super::{KEY_PROOF, SqliteStore, open, options::Options, pool::Reader};
use crate::{
    AuditVerdict, PARTITIONS, StoreError,
    audit::{self, Link},
    checkpoint::{Checkpoint, Search, Since, Walked},
    vault::{KeySource, Vault},
};
use crossdock_canonical::Timestamp;
use rusqlite::{
    Connection, OpenFlags, OptionalExtension,
    backup::{Backup, StepResult},
    config::DbConfig,
};
use serde::Serialize;
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Faults told of a damaged file.
const FAULTS_MAX: u32 = 20;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// What SQLite itself finds wrong with the file; empty when nothing.
    pub integrity: Vec<String>,
    /// Rows of the audit chain.
    pub audit_rows: u64,
    /// The digest over its heads; `None` when it is broken.
    pub audit_head: Option<String>,
    pub audit_broken: Option<String>,
    /// Whether the key is the one that the store was made with; `None` when none was given.
    pub key_fits: Option<bool>,
    pub since: Option<Since>,
}

impl Checked {
    pub fn is_good(&self) -> bool {
        let since = matches!(self.since, None | Some(Since::Contained));
        self.integrity.is_empty() && self.audit_broken.is_none() && self.key_fits != Some(false) && since
    }
}

/// Copies the store `of` to `to`, which must not be there; its size in bytes. The hub may run, and is not held up. The copy is opened once
/// as a hub would open it, so that whatever opening completes is complete in it, and has its name only when it is on disk. Blocks.
pub fn backup(of: &Options, to: &Path) -> Result<u64, StoreError> {
    let from = &*of.path;
    if to.exists() {
        return Err(StoreError::Unavailable(format!("{} is there already; give a new name", to.display())));
    }
    let source = beside_a_hub(from)?;
    proof(&source, from)?;
    let unfinished = open::beside(to, ".part");
    // What an earlier run left, if it was killed.
    let _ = std::fs::remove_file(&unfinished);
    let mut copy = Connection::open(&unfinished)?;
    copy.execute_batch("PRAGMA synchronous = FULL")?;
    {
        let backup = Backup::new(&source, &mut copy)?;
        // All pages in one step, which is one snapshot: in several it would begin anew whenever the hub writes.
        match backup.step(-1)? {
            StepResult::Done => {}
            other => return Err(StoreError::Unavailable(format!("{} could not be copied: {other:?}", from.display()))),
        }
    }
    copy.close().map_err(|(_, e)| StoreError::from(e))?;
    let failed = |e: std::io::Error| StoreError::Unavailable(format!("{} cannot be finished: {e}", to.display()));
    drop(SqliteStore::open_if(&Options { path: unfinished.clone(), ..of.clone() }, |_| Ok(()))?);
    no_log_beside(&unfinished)?;
    for suffix in [".lock", "-shm", "-wal"] {
        let _ = std::fs::remove_file(open::beside(&unfinished, suffix));
    }
    let file = File::open(&unfinished).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    std::fs::rename(&unfinished, to).map_err(failed)?;
    open::sync_directory(to)?;
    Ok(size)
}

/// Puts a backup where a store is to be, which must not be there. The hub's key file must be put beside it by hand. Blocks.
pub fn restore(backup_file: &Path, to: &Path) -> Result<(), StoreError> {
    no_log_beside(backup_file)?;
    for suffix in ["", "-wal", "-shm"] {
        let taken = open::beside(to, suffix);
        if taken.exists() {
            return Err(StoreError::Unavailable(format!("{} is there; move the old store's files away first", taken.display())));
        }
    }
    let failed = |e: std::io::Error| StoreError::Unavailable(format!("{} cannot be written: {e}", to.display()));
    let unfinished = open::beside(to, ".part");
    std::fs::copy(backup_file, &unfinished).map_err(failed)?;
    File::open(&unfinished).and_then(|file| file.sync_all()).map_err(failed)?;
    std::fs::rename(&unfinished, to).map_err(failed)?;
    open::sync_directory(to)
}

/// Reads a backup whole and changes nothing of it. Blocks.
pub fn check_backup(file: &Path, key: Option<&KeySource>, wanted: Option<&Checkpoint>) -> Result<Checked, StoreError> {
    no_log_beside(file)?;
    let conn = unchanging(file)?;
    let integrity = integrity(&conn)?;
    let proof = proof(&conn, file);
    let vault = key.map(|key| Vault::open(key, false)).transpose()?;
    let key_fits = match (&vault, &proof) {
        (Some(vault), Ok(proof)) => Some(vault.unwrap(b"proof", proof).as_deref() == Some(KEY_PROOF)),
        (Some(_), Err(_)) => Some(false),
        (None, _) => None,
    };
    let forged = wanted.zip(vault.as_ref()).is_some_and(|(wanted, vault)| !wanted.is_sealed_by(vault));
    // Walking the chain opens nothing that is sealed.
    let sealed = Vault::open(&KeySource::Given([0; 32]), false)?;
    let walked = Reader { conn, vault: Arc::new(sealed) }.walk_since(wanted)?;
    let (audit_rows, audit_head, audit_broken) = match walked.audit {
        AuditVerdict::Intact { rows, head } => (rows, Some(head), None),
        AuditVerdict::Broken { partition, offset, reason } => {
            (0, None, Some(format!("partition {partition}, row {offset}: {reason}")))
        }
    };
    let since = if forged { Some(Since::Forged) } else { walked.since };
    Ok(Checked { integrity, audit_rows, audit_head, audit_broken, key_fits, since })
}

/// The ends of the chain now, of a store whose hub may run. Blocks.
pub fn checkpoint(file: &Path, key: &KeySource, at: Timestamp) -> Result<Checkpoint, StoreError> {
    checkpoint_of(&beside_a_hub(file)?, file, key, at)
}

/// The same of a backup, which is not changed by it.
pub fn checkpoint_of_backup(file: &Path, key: &KeySource, at: Timestamp) -> Result<Checkpoint, StoreError> {
    no_log_beside(file)?;
    checkpoint_of(&unchanging(file)?, file, key, at)
}

fn checkpoint_of(conn: &Connection, file: &Path, key: &KeySource, at: Timestamp) -> Result<Checkpoint, StoreError> {
    let proof = proof(conn, file)?;
    let vault = Vault::open(key, false)?;
    if vault.unwrap(b"proof", &proof).as_deref() != Some(KEY_PROOF) {
        return Err(StoreError::Unavailable(format!("the key ({key:?}) is not the one that {} was made with", file.display())));
    }
    let conn = conn.unchecked_transaction()?;
    let (offsets, heads) = ends(&conn)?;
    Checkpoint::new(&vault, at, offsets, &heads)
}

impl Reader {
    pub(super) fn walk_since(&self, wanted: Option<&Checkpoint>) -> Result<Walked, StoreError> {
        let Some(wanted) = wanted else { return Ok(Walked { audit: self.verify_audit()?, since: None }) };
        let Some(mut search) = Search::new(wanted) else {
            return Ok(Walked { audit: self.verify_audit()?, since: Some(Since::Forged) });
        };
        let audit = self.walk_audit(&mut |partition, link| search.see(partition, link))?;
        let since = match audit {
            AuditVerdict::Intact { .. } => Some(search.end(&ends(&self.conn)?.0)),
            AuditVerdict::Broken { .. } => None,
        };
        Ok(Walked { audit, since })
    }
}

/// Each partition's last offset and link: from the newest mark on.
fn ends(conn: &Connection) -> Result<(Vec<u64>, Vec<Link>), StoreError> {
    let all = usize::from(PARTITIONS);
    let (mut offsets, mut heads) = (vec![0_u64; all], vec![audit::GENESIS; all]);
    let mark = conn
        .query_row("SELECT seq, offsets, heads FROM mark ORDER BY seq DESC LIMIT 1", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?))
        })
        .optional()?;
    let mut after = 0;
    if let Some((seq, marked, linked)) = mark {
        after = seq;
        for (offset, bytes) in offsets.iter_mut().zip(marked.as_chunks::<8>().0) {
            *offset = u64::from_le_bytes(*bytes);
        }
        for (head, bytes) in heads.iter_mut().zip(linked.as_chunks::<32>().0) {
            *head = *bytes;
        }
    }
    let mut rows = conn.prepare("SELECT partition, \"offset\", hash FROM journal WHERE seq > ?1 ORDER BY seq")?;
    let mut rows = rows.query([after])?;
    while let Some(row) = rows.next()? {
        let place = usize::from(row.get::<_, u16>(0)?);
        if let (Some(offset), Some(head)) = (offsets.get_mut(place), heads.get_mut(place)) {
            *offset = row.get::<_, Option<i64>>(1)?.map_or(*offset, i64::cast_unsigned);
            *head = row.get(2)?;
        }
    }
    Ok((offsets, heads))
}

/// A connection that reads while a hub writes, and leaves its log alone.
fn beside_a_hub(path: &Path) -> Result<Connection, StoreError> {
    if !path.is_file() {
        return Err(StoreError::Unavailable(format!("there is no store at {}", path.display())));
    }
    open::check_version(rusqlite::version_number())?;
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    conn.execute_batch(
        "PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0; PRAGMA busy_timeout = 5000; PRAGMA mmap_size = 0",
    )?;
    Ok(conn)
}

/// A connection that takes the file for one that nobody changes, itself included: no log, no lock.
fn unchanging(path: &Path) -> Result<Connection, StoreError> {
    let path = std::path::absolute(path).map_err(|e| StoreError::Unavailable(format!("{}: {e}", path.display())))?;
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
    let mut uri = String::from("file:");
    for byte in bytes {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => uri.push(char::from(*byte)),
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Connection::open_with_flags(uri, flags)?)
}

/// A log beside it would hold what the file lacks: it was copied by other means, and its moment is none.
fn no_log_beside(path: &Path) -> Result<(), StoreError> {
    if !path.is_file() {
        return Err(StoreError::Unavailable(format!("there is no backup at {}", path.display())));
    }
    let log: PathBuf = open::beside(path, "-wal");
    match std::fs::metadata(&log) {
        Ok(found) if found.len() > 0 => Err(StoreError::Unavailable(format!(
            "{} lies beside it: this is a store, or a copy of its files, and no backup; make one with `crossdock backup`",
            log.display()
        ))),
        _ => Ok(()),
    }
}

fn integrity(conn: &Connection) -> Result<Vec<String>, StoreError> {
    let mut rows = conn.prepare(&format!("PRAGMA integrity_check({FAULTS_MAX})"))?;
    let found = rows.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if found == ["ok"] => Ok(Vec::new()),
        Ok(found) => Ok(found),
        // Too damaged to be looked through.
        Err(e) => Ok(vec![e.to_string()]),
    }
}

fn proof(conn: &Connection, path: &Path) -> Result<Vec<u8>, StoreError> {
    conn.query_row("SELECT value FROM meta WHERE name = 'key_proof'", [], |row| row.get(0))
        .map_err(|e| StoreError::Unavailable(format!("{} is no store of a hub: {e}", path.display())))
}
