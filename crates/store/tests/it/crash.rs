//! Disks that fail, and the short form of the crash campaign: what was answered survives a power cut, and the controls show that the campaign looks.

use crate::folder::Folder;
use crossdock_canonical::{SystemName, Timestamp};
use crossdock_store::{
    Accepted, Addressee, Durability, Intake, Options, ProcessKey, ReadStore, SqliteStore, Store, StoreError,
    conformance::wait,
    crash::{Faults, Verdict, Workload, campaign, record},
};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

fn found(durability: Durability, images: u64) -> Verdict {
    let (recorded, scratch) = (Folder::new(), Folder::new());
    let log = record(&Workload::short(durability), recorded.path()).expect("records");
    assert_eq!(log.answers(), 60 * 5);
    campaign(&log, 7, 0..images, &scratch.path().join("image")).expect("builds images")
}

#[test]
fn scenario_27_a_power_cut_loses_nothing_that_was_answered() {
    let verdict = found(Durability::Full, 300);
    assert!(verdict.is_clean(), "{verdict:?}");
}

#[test]
fn the_control_without_a_sync_per_commit_loses_answers() {
    let verdict = found(Durability::Normal, 60);
    assert!(verdict.losing > 0 && verdict.corrupt == 0, "{verdict:?}");
}

#[test]
fn the_control_without_any_sync_loses_answers_or_the_file() {
    let verdict = found(Durability::Off, 60);
    assert!(verdict.losing + verdict.corrupt > 10 && verdict.corrupt > 0, "{verdict:?}");
}

fn placed(number: u64) -> Intake {
    Intake {
        to: Addressee::Process(ProcessKey::new("order", &format!("a/b/{number}"))),
        source: SystemName::new("storefront"),
        message_id: None,
        kind: Arc::from("order.placed"),
        actor: Arc::from("system:storefront"),
        body: Arc::from(&b"body"[..]),
        subject: Arc::from("guest:1"),
        at: Timestamp(1),
        starts: true,
    }
}

#[test]
fn after_a_failed_sync_nothing_is_answered_any_more() {
    let folder = Folder::new();
    let faults = Faults::register("failed-sync").expect("registers");
    let fatal = Arc::new(AtomicU32::new(0));
    let told = Arc::clone(&fatal);
    let on_fatal = Arc::new(move |_: &str| {
        told.fetch_add(1, Ordering::SeqCst);
    });
    let store = SqliteStore::open(&Options {
        vfs: Some("failed-sync".into()),
        on_fatal,
        durability: Durability::Full,
        ..folder.options()
    })
    .expect("opens");
    wait(store.accept(vec![placed(1)], None)).expect("accepts");
    faults.fail_sync_after(0);
    let unclear = wait(store.accept(vec![placed(2)], None));
    assert!(matches!(unclear, Err(StoreError::Unknown(_))), "{unclear:?}");
    assert_eq!(fatal.load(Ordering::SeqCst), 1, "the process is told to end");
    let after = wait(store.accept(vec![placed(3)], None));
    // Whether the writer's queue was closed before or after this one was put into it, it is not answered.
    assert!(matches!(after, Err(StoreError::Unavailable(_) | StoreError::Unknown(_))), "{after:?}");
    drop(store);
    let store = folder.open();
    assert_eq!(wait(store.accept(vec![placed(1)], None)), Ok(vec![Accepted::Duplicate]), "what was answered is there");
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let folder = Folder::new();
    let faults = Faults::register("full-disk").expect("registers");
    let on_fatal = Arc::new(|message: &str| panic!("a full disk ends nothing: {message}"));
    let store =
        SqliteStore::open(&Options { vfs: Some("full-disk".into()), on_fatal, durability: Durability::Full, ..folder.options() })
            .expect("opens");
    wait(store.accept(vec![placed(1)], None)).expect("accepts");
    faults.set_full(true);
    for number in 2..5 {
        let refused = wait(store.accept(vec![placed(number)], None));
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    }
    assert_eq!(wait(store.inbox_depth()), Ok(1), "reading goes on");
    faults.set_full(false);
    assert!(matches!(wait(store.accept(vec![placed(2)], None)).as_deref(), Ok([Accepted::Stored(_)])));
    assert_eq!(wait(store.inbox_depth()), Ok(2));
}
