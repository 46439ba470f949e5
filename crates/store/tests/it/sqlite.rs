//! What only a file can show: reopening, locks, keys, retention, and hands that tamper with it.

use crate::{
    folder::Folder,
    orders::{closing, order, placed, step},
};
use crossdock_canonical::{Duration, Timestamp};
use crossdock_store::{
    Accepted, Addressee, AuditVerdict, InboxId, Intake, KeySource, Options, Partitions, ReadStore, SqliteStore, Store,
    StoreError, Transition, conformance::wait,
};
use rusqlite::Connection;

/// Fills a store with a few orders of a few transitions each, and closes it.
fn fill(folder: &Folder) -> String {
    let store = folder.open();
    wait(store.lease("a", Timestamp(0))).expect("leases");
    for version in 0..4 {
        for number in 1..=5 {
            wait(store.commit(step(number, version, 1))).expect("commits");
        }
        wait(store.record_audit(Timestamp(3_000), "person:anna", "sign_in", "console")).expect("writes");
    }
    match wait(store.verify_audit()) {
        Ok(AuditVerdict::Intact { rows: 24, head }) => head,
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_is_there_after_reopening() {
    let folder = Folder::new();
    let store = folder.open();
    wait(store.lease("a", Timestamp(0))).expect("leases");
    // More than one mark's worth of journal rows, so that both ways of finding the end are used.
    for version in 0..4_200 {
        let timers = if version == 0 { step(1, 0, 1).timers } else { Vec::new() };
        wait(store.commit(Transition { timers, ..step(1, version, 1) })).expect("commits");
    }
    wait(store.accept(vec![placed(2), placed(3)], None)).expect("accepts");
    let (verdict, cursor) = (wait(store.verify_audit()), wait(store.stream("now", 1)).expect("reads").1);
    drop(store);

    let store = folder.open();
    assert_eq!(wait(store.verify_audit()), verdict);
    assert_eq!(wait(store.stream("now", 1)).expect("reads").1, cursor);
    let read = wait(store.load(&order(1))).expect("reads").expect("is there");
    assert_eq!((read.version, read.document.as_deref()), (4_200, Some(&b"the document of Erika Mustermann"[..])));
    assert_eq!(wait(store.due_timers(Partitions::ALL, Timestamp(5_000), 9)).expect("reads").len(), 1);
    let waiting = wait(store.inbox(Partitions::ALL, InboxId::default(), 9)).expect("reads");
    assert_eq!(&*waiting[1].body, b"order 3 of Erika Mustermann");
    assert_eq!(wait(store.accept(vec![placed(2)], None)), Ok(vec![Accepted::Duplicate]));
    let Ok([Accepted::Stored(next)]) =
        wait(store.accept(vec![placed(4)], None)).as_deref().map(|rows| <[Accepted; 1]>::try_from(rows).expect("one"))
    else {
        panic!("not stored")
    };
    assert!(next > waiting[1].id);

    assert!(matches!(wait(store.commit(step(1, 4_200, 0))), Err(StoreError::StaleEpoch { expected: 0, found: 1, .. })));
    wait(store.lease("a", Timestamp(0))).expect("leases");
    wait(store.commit(step(1, 4_200, 2))).expect("goes on");
    let (rows, _) = wait(store.stream(&cursor, 10)).expect("reads");
    assert_eq!(rows.iter().map(|row| row.offset).collect::<Vec<_>>(), [4_201], "offsets go on without a gap");
    assert!(matches!(wait(store.verify_audit()), Ok(AuditVerdict::Intact { rows: 4_201, .. })));
}

#[test]
fn a_second_hub_on_the_same_file_is_refused_and_told_what_to_do() {
    let folder = Folder::new();
    let first = folder.open();
    let refused = SqliteStore::open(&folder.options()).err().expect("refused").to_string();
    assert!(refused.contains("another hub") && refused.contains("stop it first"), "{refused}");
    drop(first);
    drop(folder.open());
}

#[test]
fn the_wrong_key_is_refused_at_once_and_the_right_one_is_made_for_its_owner_only() {
    let folder = Folder::new();
    drop(folder.open());
    let key = folder.path().join("hub.db.key");
    assert_eq!(std::fs::metadata(&key).expect("a key file").len(), 32);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&key).expect("a key file").permissions().mode() & 0o777, 0o600);
    }
    let wrong = Options { key: KeySource::Given([7; 32]), ..folder.options() };
    let refused = SqliteStore::open(&wrong).err().expect("refused").to_string();
    assert!(refused.contains("key"), "{refused}");
    std::fs::remove_file(&key).expect("removes");
    assert!(SqliteStore::open(&folder.options()).is_err(), "a lost key file is not quietly replaced by another");
    assert!(!key.exists());
}

#[test]
fn a_hub_that_died_while_it_made_its_key_starts_again() {
    let folder = Folder::new();
    std::fs::write(folder.path().join("hub.db.key.new"), b"half a k").expect("writes");
    drop(folder.open());
    assert_eq!(std::fs::metadata(folder.path().join("hub.db.key")).expect("a key file").len(), 32);
    drop(folder.open());
}

#[test]
fn no_personal_data_lies_in_clear_in_any_file() {
    let folder = Folder::new();
    let store = folder.open();
    wait(store.lease("a", Timestamp(0))).expect("leases");
    wait(store.accept(vec![placed(1)], None)).expect("accepts");
    wait(store.commit(step(2, 0, 1))).expect("commits");
    let files: Vec<_> = std::fs::read_dir(folder.path()).expect("the folder").flatten().collect();
    assert!(files.len() >= 4, "database, log, index, lock, key");
    for file in files {
        let bytes = std::fs::read(file.path()).expect("reads");
        assert!(!bytes.windows(10).any(|window| window == b"Mustermann"), "{:?}", file.path());
    }
}

#[test]
fn after_an_erasure_the_wrapped_key_is_in_no_file() {
    let folder = Folder::new();
    let store = folder.open();
    wait(store.lease("a", Timestamp(0))).expect("leases");
    wait(store.commit(step(1, 0, 1))).expect("commits");
    wait(store.commit(step(2, 0, 1))).expect("commits");
    let wrapped: Vec<u8> = Connection::open(folder.file())
        .and_then(|conn| conn.query_row("SELECT wrapped FROM subject_key WHERE subject = 'guest:1'", [], |row| row.get(0)))
        .expect("a key");
    let lies_about = || {
        std::fs::read_dir(folder.path())
            .expect("the folder")
            .flatten()
            .any(|file| std::fs::read(file.path()).expect("reads").windows(wrapped.len()).any(|window| window == wrapped))
    };
    assert!(lies_about());
    assert_eq!(wait(store.erase_subject(Timestamp(9), "person:anna", "guest:1")), Ok(true));
    // The log is cut after the answer is given; the next answer comes after that.
    wait(store.record_audit(Timestamp(9), "person:anna", "look", "files")).expect("writes");
    assert!(!lies_about());
    drop(store);
    let store = folder.open();
    assert_eq!(wait(store.load(&order(1))).expect("reads").expect("is there").document, None);
    assert!(wait(store.load(&order(2))).expect("reads").expect("is there").document.is_some());
}

#[test]
fn tampering_with_the_file_is_found() {
    let tampered: &[(&str, &str)] = &[
        ("a record edited", "UPDATE journal SET record = CAST('{\"events\":[1]}' AS BLOB) WHERE seq = 3"),
        ("an actor edited", "UPDATE journal SET actor = 'person:eve' WHERE seq = 3"),
        ("a time edited", "UPDATE journal SET at = at + 1 WHERE seq = 7"),
        ("the last row edited", "UPDATE journal SET action = 'x' WHERE seq = (SELECT max(seq) FROM journal)"),
        ("a row deleted", "DELETE FROM journal WHERE seq = 3"),
        ("the first row deleted", "DELETE FROM journal WHERE seq = 1"),
        ("a row of the hub itself deleted", "DELETE FROM journal WHERE seq = 6"),
        ("the end cut off", "DELETE FROM journal WHERE seq > 20"),
        ("the last row cut off, one of the hub itself", "DELETE FROM journal WHERE seq = 24"),
        (
            "a row put in",
            "INSERT INTO journal SELECT 99, process_no, 9, prev, partition, 5, at, actor, action, 1, NULL, record, hash FROM journal WHERE seq = 3",
        ),
        (
            "two rows of one process exchanged",
            "UPDATE journal SET seq = -1 WHERE seq = 1; UPDATE journal SET seq = 1 WHERE seq = 7; UPDATE journal SET seq = 7 WHERE seq = -1",
        ),
        ("a process renamed", "UPDATE process SET key = 'sfcc/RefArch-DE/9' WHERE key = 'sfcc/RefArch-DE/3'"),
        ("a process removed", "DELETE FROM process WHERE key = 'sfcc/RefArch-DE/3'"),
        (
            "a process moved on past the audit",
            "UPDATE process_state SET version = version + 1 WHERE no = (SELECT max(no) FROM process_state)",
        ),
    ];
    for (what, sql) in tampered {
        let folder = Folder::new();
        fill(&folder);
        Connection::open(folder.file()).and_then(|conn| conn.execute_batch(sql)).expect(what);
        let store = folder.open();
        let verdict = wait(store.verify_audit()).expect("walks");
        assert!(matches!(verdict, AuditVerdict::Broken { .. }), "{what}: {verdict:?}");
    }
}

#[test]
fn a_chain_rebuilt_whole_has_another_head() {
    let (one, other) = (Folder::new(), Folder::new());
    assert_eq!(fill(&one), fill(&other), "the same history has the same head on any node");
    let store = one.open();
    wait(store.record_audit(Timestamp(3_000), "person:anna", "sign_in", "console")).expect("writes");
    let head = match wait(store.verify_audit()) {
        Ok(AuditVerdict::Intact { head, .. }) => head,
        other => panic!("{other:?}"),
    };
    assert_ne!(head, fill(&Folder::new()));
}

#[test]
fn retention_takes_what_is_past_it_and_nothing_else() {
    let folder = Folder::new();
    let options = Options { payload_retention: Some(Duration(10_000)), ..folder.options() };
    let store = SqliteStore::open(&options).expect("opens");
    wait(store.lease("a", Timestamp(0))).expect("leases");
    wait(store.accept(vec![placed(1), placed(2), placed(3)], None)).expect("accepts");
    wait(store.commit(Transition { settles: Some(InboxId(1)), ..closing(step(1, 0, 1)) })).expect("commits");
    wait(store.commit(Transition { settles: Some(InboxId(3)), at: Timestamp(60_000), ..closing(step(3, 0, 1)) }))
        .expect("commits");
    wait(store.commit(step(4, 0, 1))).expect("commits");
    assert_eq!(wait(store.sweep(Timestamp(12_000), Timestamp(500), 100)), Ok(0));
    assert_eq!(wait(store.sweep(Timestamp(12_001), Timestamp(50_000), 100)), Ok(2), "a payload and a folded message");
    let document = |number| wait(store.load(&order(number))).expect("reads").expect("is there").document;
    assert_eq!((document(1), document(3).is_some()), (None, true));
    assert!(document(4).is_some(), "an order that is open needs its document, however old it is");
    let waiting = wait(store.inbox(Partitions::ALL, InboxId::default(), 9)).expect("reads");
    assert_eq!(waiting.iter().map(|row| row.id).collect::<Vec<_>>(), [InboxId(2)], "what waits is never swept");
    assert_eq!(wait(store.accept(vec![placed(1)], None)), Ok(vec![Accepted::Duplicate]), "and what went is remembered");
    let remembered = Intake { to: Addressee::Process(order(77)), ..placed(1) };
    assert_eq!(wait(store.accept(vec![remembered], None)), Ok(vec![Accepted::Duplicate]));
}

#[test]
fn a_full_queue_is_busy_and_loses_nothing_it_took() {
    let folder = Folder::new();
    let store = SqliteStore::open(&Options { queue: 4, ..folder.options() }).expect("opens");
    let replies: Vec<_> = (1..=2_000).map(|number| store.accept(vec![placed(number)], None)).collect();
    let answers: Vec<_> = replies.into_iter().map(wait).collect();
    let taken = answers.iter().filter(|answer| answer.is_ok()).count() as u64;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(StoreError::Busy(4)))));
    assert!(taken >= 4);
    assert_eq!(wait(store.inbox_depth()), Ok(taken));
}

#[test]
fn a_log_that_grows_is_moved_to_the_database() {
    let folder = Folder::new();
    let store = SqliteStore::open(&Options { checkpoint_pages: 50, log_pages_max: 200, ..folder.options() }).expect("opens");
    wait(store.lease("a", Timestamp(0))).expect("leases");
    for version in 0..600 {
        wait(store.commit(step(1, version, 1))).expect("commits");
    }
    let log = std::fs::metadata(folder.path().join("hub.db-wal")).expect("a log").len();
    assert!(log < 300 * 4_120, "{log} bytes");
    drop(store);
    let left = std::fs::metadata(folder.path().join("hub.db-wal")).map_or(0, |log| log.len());
    assert_eq!(left, 0, "closed in order, nothing is left in it");
}
