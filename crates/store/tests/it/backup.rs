//! Backups: taken from a store that is written, checked without a change, and what was cut off is seen by a checkpoint.

use crate::{
    folder::Folder,
    orders::{order, placed, step},
};
use crossdock_canonical::Timestamp;
use crossdock_store::{
    Accepted, Options, ReadStore, SqliteStore, Store,
    checkpoint::{Checkpoint, Since},
    conformance::wait,
    sqlite::{backup, check_backup, checkpoint, checkpoint_of_backup, restore},
};
use rusqlite::Connection;
use std::path::{Path, PathBuf};

const NOW: Timestamp = Timestamp(7_000);

fn take(store: &SqliteStore, numbers: std::ops::RangeInclusive<u64>, epoch: u64) {
    for number in numbers {
        let accepted = wait(store.accept(vec![placed(number)], None)).expect("accepts");
        let Accepted::Stored(row) = accepted[0] else { panic!("{accepted:?}") };
        wait(store.commit(crossdock_store::Transition { settles: Some(row), ..step(number, 0, epoch) })).expect("commits");
    }
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("is there")
}

/// A store with some orders, its backup, and a checkpoint of later.
fn scene(folder: &Folder) -> (Options, PathBuf, Checkpoint) {
    let options = folder.options();
    let store = SqliteStore::open(&options).expect("opens");
    let epoch = wait(store.lease("a", NOW)).expect("leases")[0].epoch;
    take(&store, 1..=40, epoch);
    let to = folder.path().join("backup.db");
    // The hub has it open and goes on writing.
    assert!(backup(&options, &to).expect("copies") > 0);
    take(&store, 41..=80, epoch);
    let later = checkpoint(&options.path, &options.key, NOW).expect("reads");
    (options, to, later)
}

#[test]
fn a_backup_of_a_store_that_is_written_is_one_moment_of_it_and_is_checked_unchanged() {
    let folder = Folder::new();
    let (options, to, later) = scene(&folder);
    let then = checkpoint_of_backup(&to, &options.key, NOW).expect("reads");
    let before = bytes(&to);
    let checked = check_backup(&to, Some(&options.key), Some(&then)).expect("reads");
    assert!(checked.is_good() && checked.key_fits == Some(true) && checked.audit_rows == 40, "{checked:?}");
    assert_eq!(checked.since, Some(Since::Contained));
    assert_eq!(bytes(&to), before, "nothing of it was changed");
    assert!(!folder.path().join("backup.db-wal").exists() && !folder.path().join("backup.db.lock").exists());

    let checked = check_backup(&to, Some(&options.key), Some(&later)).expect("reads");
    assert!(!checked.is_good(), "{checked:?}");
    assert!(matches!(checked.since, Some(Since::CutOff { partitions: 1.., known, found, .. }) if known > found), "{checked:?}");
    let unsealed = check_backup(&to, None, None).expect("reads");
    assert!(unsealed.is_good() && unsealed.key_fits.is_none() && unsealed.since.is_none());

    let other = crossdock_store::KeySource::Given([9; 32]);
    let checked = check_backup(&to, Some(&other), Some(&then)).expect("reads");
    assert_eq!((checked.key_fits, checked.since,), (Some(false), Some(Since::Forged)));
    assert!(backup(&options, &to).is_err(), "nothing is overwritten");
    assert!(checkpoint(&options.path, &other, NOW).is_err());
}

#[test]
fn a_tail_that_was_cut_off_by_a_careful_hand_is_seen_by_the_checkpoint_alone() {
    let folder = Folder::new();
    let (options, to, _) = scene(&folder);
    let then = checkpoint_of_backup(&to, &options.key, NOW).expect("reads");
    let conn = Connection::open(&to).expect("opens");
    // The newest process with all that is left of it: every link before it fits.
    conn.execute_batch(
        "DELETE FROM process_state WHERE no = (SELECT process_no FROM journal ORDER BY seq DESC LIMIT 1);
         DELETE FROM journal WHERE seq = (SELECT max(seq) FROM journal);
         PRAGMA wal_checkpoint(TRUNCATE)",
    )
    .expect("cuts");
    drop(conn);
    let alone = check_backup(&to, Some(&options.key), None).expect("reads");
    assert!(alone.is_good(), "the chain alone does not show it: {alone:?}");
    let checked = check_backup(&to, Some(&options.key), Some(&then)).expect("reads");
    assert!(matches!(checked.since, Some(Since::CutOff { partitions: 1, .. })), "{checked:?}");
}

#[test]
fn a_damaged_backup_and_a_copy_of_files_are_told_from_a_good_one() {
    let folder = Folder::new();
    let (options, to, _) = scene(&folder);
    let conn = Connection::open(&to).expect("opens");
    conn.execute_batch("UPDATE journal SET actor = 'person:eve' WHERE seq = 20; PRAGMA wal_checkpoint(TRUNCATE)").expect("edits");
    drop(conn);
    let checked = check_backup(&to, None, None).expect("reads");
    assert!(checked.audit_broken.as_deref().is_some_and(|reason| reason.contains("does not fit")), "{checked:?}");

    let mut damaged = bytes(&to);
    let half = damaged.len() / 2;
    damaged[half..half + 4_096].fill(0xA5);
    let path = folder.path().join("damaged.db");
    std::fs::write(&path, damaged).expect("writes");
    let faults = check_backup(&path, None, None).map(|checked| checked.integrity.len());
    assert!(faults.as_ref().map_or(true, |faults| *faults > 0), "{faults:?}");

    let copied = folder.path().join("copied.db");
    std::fs::write(&copied, bytes(&to)).expect("writes");
    std::fs::write(folder.path().join("copied.db-wal"), b"a log").expect("writes");
    let said = check_backup(&copied, None, None).expect_err("no backup").to_string();
    assert!(said.contains("no backup"), "{said}");
    let empty = folder.path().join("empty.db");
    drop(Connection::open(&empty).and_then(|conn| conn.execute_batch("CREATE TABLE a (x)")));
    assert!(check_backup(&empty, Some(&options.key), None).map_or(true, |checked| !checked.is_good()));
    assert!(check_backup(&folder.path().join("none.db"), None, None).is_err());
    assert!(backup(&Options { path: folder.path().join("none.db"), ..options }, &folder.path().join("x.db")).is_err());
}

#[test]
fn a_restored_backup_opens_and_goes_on_from_its_moment() {
    let folder = Folder::new();
    let (options, to, _) = scene(&folder);
    assert!(restore(&to, &options.path).is_err(), "a store that is there is not overwritten");
    let place = folder.path().join("restored.db");
    restore(&to, &place).expect("copies");
    let store = SqliteStore::open(&Options { path: place, ..options }).expect("opens");
    assert!(wait(store.load(&order(40))).expect("reads").is_some_and(|read| read.document.is_some()));
    assert!(wait(store.load(&order(41))).expect("reads").is_none());
    let epoch = wait(store.lease("b", NOW)).expect("leases")[0].epoch;
    take(&store, 41..=42, epoch);
    assert!(matches!(wait(store.verify_audit()), Ok(crossdock_store::AuditVerdict::Intact { rows: 42, .. })));
}
