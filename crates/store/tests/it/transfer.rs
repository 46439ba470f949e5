//! Moving a file into PostgreSQL: ended anywhere and resumed, nothing missing, and what was under way goes on there.

use crate::{
    cluster::{Cluster, Database},
    folder::Folder,
    orders::{order, placed, step},
};
use crossdock_canonical::{Operation, SystemName, Timestamp};
use crossdock_store::{
    Accepted, Addressee, AuditVerdict, CursorWrite, EffectRow, EffectState, ExceptionRow, IdentityRow, InboxId, Intake,
    KeySource, Loaded, Options, Partitions, PostgresOptions, PostgresStore, ReadStore, SqliteStore, Store, StoreError,
    Transition, TransitionId,
    conformance::wait,
    transfer::{self, Move, MoveError, Moved, Phase, Progress},
};
use std::{ops::ControlFlow, sync::Arc};

const ORDERS: u64 = 60;

fn key() -> KeySource {
    KeySource::Given([7; 32])
}

fn file(folder: &Folder) -> Options {
    Options { key: key(), ..folder.options() }
}

fn what(folder: &Folder, database: &Database<'_>, batch_rows: usize) -> Move {
    let to = PostgresOptions { key: key(), ..crate::postgres::options(database.url()) };
    Move { batch_rows, ..Move::new(file(folder), to) }
}

fn effect(no: u32, state: EffectState) -> EffectRow {
    EffectRow {
        no,
        step: Arc::from("erp"),
        intent: Arc::from(no.to_string()),
        system: SystemName::new("erp"),
        operation: Operation::ErpCreateOrder,
        generation: 1 + no % 2,
        // One as a hash, one as a word: they are kept in different forms.
        key: if no.is_multiple_of(2) { Arc::from("00112233445566778899aabbccddeeff") } else { Arc::from(format!("word-{no}")) },
        state,
        class: 2,
        due: state.is_open().then_some(Timestamp(9_000)),
        attempts: no,
        deadline: Timestamp(99_000),
        made_at: Timestamp(2_000),
        request: None,
        last: Arc::from("timeout"),
    }
}

/// Orders in every state: waiting in the inbox, open with effects in each state, held with an exception, closed, erased, swept.
fn fill(options: &Options) -> Vec<String> {
    let store = SqliteStore::open(options).expect("opens");
    let epoch = wait(store.lease("a", Timestamp(0))).expect("leases")[0].epoch;
    for number in 1..=ORDERS {
        let accepted = wait(store.accept(vec![placed(number)], None)).expect("accepts");
        let Accepted::Stored(row) = accepted[0] else { panic!("{accepted:?}") };
        // Every fifth is not folded yet.
        if number % 5 == 0 {
            continue;
        }
        let state = EffectState::ALL[(number % 8) as usize];
        let exception = ExceptionRow {
            class: Arc::from("bad_address"),
            step: Arc::from("ship"),
            intent: Arc::from(""),
            system: Arc::from("wms"),
            cause: Arc::from("no street"),
            suggestion: Arc::from("amend"),
            since: Timestamp(2_500),
            payload: None,
        };
        let identity = IdentityRow {
            system: SystemName::new("erp"),
            kind: Arc::from("sales_order"),
            ours: Arc::from(""),
            theirs: Arc::from(format!("SO{number}")),
        };
        let message = Intake { message_id: Some(Arc::from(format!("cmd-{number}"))), starts: false, ..placed(number) };
        let mut first = Transition {
            settles: Some(row),
            effects: vec![effect(1, state), effect(2, EffectState::Done)],
            identities: vec![identity],
            messages: if number % 7 == 0 { vec![message] } else { Vec::new() },
            ..step(number, 0, epoch)
        };
        if number % 3 == 0 {
            first.exceptions = vec![(Arc::from("address"), Some(exception))];
            first.row.summary.status = Arc::from("held");
        }
        if number % 4 == 0 {
            first.row.policy = Arc::from("0123456789abcdef0123456789abcdef");
        }
        wait(store.commit(first)).expect("commits");
        if number % 2 == 0 {
            let mut second = step(number, 1, epoch);
            second.row.summary.status = Arc::from("closed");
            second.row.summary.stage = Arc::from("closed");
            second.timers = vec![(Arc::from("hold"), None)];
            // Bookkeeping: a link of the chain without an offset.
            second.record = (number % 6 != 0).then(|| b"{\"events\":[\"order.closed\"]}".to_vec());
            wait(store.commit(second)).expect("commits");
        }
    }
    let notice = Intake {
        to: Addressee::Theirs { system: SystemName::new("wms"), kind: Arc::from("shipment"), id: Arc::from("S1") },
        message_id: Some(Arc::from("x".repeat(90))),
        starts: false,
        ..placed(1)
    };
    let cursor = CursorWrite { name: Arc::from("poll:storefront"), body: vec![0, 1, 255], seen: None };
    wait(store.accept(vec![notice], Some(cursor))).expect("accepts");
    wait(store.put_pin("pin-1", b"a policy".to_vec())).expect("pins");
    wait(store.record_audit(Timestamp(3_000), "person:anna", "sign-in", "anna")).expect("audits");
    wait(store.erase_subject(Timestamp(3_001), "person:anna", "guest:2")).expect("erases");
    loaded(&store)
}

fn run_whole(what: &Move) -> Result<Moved, MoveError> {
    transfer::run(what, &mut |_| ControlFlow::Continue(()))
}

/// Ends it after so many batches.
fn run_until(what: &Move, batches: usize) -> Result<Moved, MoveError> {
    let mut left = batches;
    transfer::run(what, &mut |_| {
        left = left.saturating_sub(1);
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

fn refusal(result: Result<Moved, MoveError>) -> String {
    result.expect_err("refused").to_string()
}

fn open_target(what: &Move) -> PostgresStore {
    PostgresStore::open(&what.to).expect("opens")
}

/// Every order as a lane reads it. Which effects are in doubt the file does not tell, and the database does.
fn loaded(store: &impl Store) -> Vec<String> {
    let read = |number| wait(store.load(&order(number))).expect("reads").map(|order| Loaded { doubtful: None, ..order });
    (1..=ORDERS).map(|number| format!("{:?}", read(number))).collect()
}

#[test]
fn a_move_ended_after_every_batch_in_turn_ends_with_both_sides_equal_and_goes_on() {
    let folder = Folder::new();
    let before = fill(&file(&folder));
    let source_audit = wait(SqliteStore::open(&file(&folder)).expect("opens").verify_audit()).expect("reads");
    let database = Cluster::shared().database();
    let what = what(&folder, &database, 23);
    let mut ends = 0;
    // Ended after another number of batches each time, and once while it is verified.
    let (moved, ends) = loop {
        let mut left = 1 + ends % 3;
        let mut verifying = 0;
        let ended = transfer::run(&what, &mut |progress| {
            match progress.phase {
                Phase::Copy => left -= 1,
                Phase::Verify => verifying += 1,
            }
            if left == 0 || (verifying == 3 && ends % 2 == 0) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match ended {
            Ok(moved) => break (moved, ends),
            Err(MoveError::Ended) => ends += 1,
            Err(e) => panic!("{e}"),
        }
        let said = PostgresStore::open(&what.to).err().expect("not complete").to_string();
        assert!(said.contains("not finished"), "{said}");
    };
    assert!(moved.resumed && ends > 10, "{ends} ends");
    let rows = |name: &str| moved.tables.iter().find(|same| same.table == name).map(|same| same.rows);
    assert_eq!(rows("process"), Some(ORDERS - ORDERS / 5));
    assert_eq!(
        (rows("cursor"), rows("pin"), rows("lease"), rows("dedup").is_some_and(|n| n > ORDERS)),
        (Some(1), Some(1), Some(256), true)
    );

    let store = open_target(&what);
    let after = loaded(&store);
    assert_eq!(after, before, "each process as a lane needs it, its document unsealed");
    assert_eq!(wait(store.verify_audit()), Ok(source_audit));
    assert!(
        wait(store.payload(&order(2), &crossdock_store::PayloadHash::of(b"the document of Erika Mustermann")))
            .expect("reads")
            .is_none()
    );
    assert_eq!(wait(store.accept(vec![placed(1), placed(5)], None)), Ok(vec![Accepted::Duplicate; 2]), "all are remembered");
    assert_eq!(wait(store.cursor("poll:storefront")), Ok(Some(vec![0, 1, 255])));
    assert_eq!(wait(store.resolve("erp", "sales_order", "SO7")), Ok(Some(order(7))));

    // It goes on: the next epoch, a waiting message, a process that was under way, a new order.
    let epoch = wait(store.lease("b", Timestamp(0))).expect("leases")[0].epoch;
    assert_eq!(epoch, 2);
    let waiting = wait(store.inbox(Partitions::ALL, InboxId::default(), 100)).expect("reads");
    assert_eq!(waiting.len() as u64, ORDERS / 5 + 1 + (1..=ORDERS).filter(|n| n % 7 == 0 && n % 5 != 0).count() as u64);
    assert_eq!(&*waiting[0].body, b"order 5 of Erika Mustermann");
    wait(store.commit(Transition { settles: Some(waiting[0].id), ..step(5, 0, epoch) })).expect("folds what waited");
    let open = Transition { id: TransitionId(1 << 40), effects: vec![effect(1, EffectState::Done)], ..step(1, 1, epoch) };
    wait(store.commit(open)).expect("goes on");
    let new = wait(store.accept(vec![placed(ORDERS + 1)], None)).expect("accepts");
    assert!(matches!(new[0], Accepted::Stored(id) if id > waiting.last().expect("one").id), "{new:?}");
    wait(store.record_audit(Timestamp(4_000), "person:anna", "sign-out", "anna")).expect("audits");
    assert!(matches!(wait(store.verify_audit()), Ok(AuditVerdict::Intact { .. })));
    drop(store);

    // The file lives no more, and the move is not made twice.
    let said = SqliteStore::open(&file(&folder)).err().expect("moved").to_string();
    assert!(said.contains("was moved to PostgreSQL"), "{said}");
    let said = refusal(run_whole(&what));
    assert!(said.contains("already"), "{said}");
    let other = Cluster::shared().database();
    let said = refusal(run_whole(&self::what(&folder, &other, 100)));
    assert!(said.contains("into another database"), "{said}");
}

#[test]
fn a_subscriber_of_the_file_reads_on_in_the_database() {
    let folder = Folder::new();
    drop(fill(&file(&folder)));
    let source = SqliteStore::open(&file(&folder)).expect("opens");
    let (first, cursor) = wait(source.stream("", 20)).expect("reads");
    let rest = wait(source.stream(&cursor, 10_000)).expect("reads").0;
    drop(source);
    let database = Cluster::shared().database();
    let what = what(&folder, &database, 1_000);
    run_whole(&what).expect("moves");
    let store = open_target(&what);
    let place = |rows: &[crossdock_store::JournalRow]| {
        let mut all: Vec<_> = rows.iter().map(|row| (row.partition, row.offset)).collect();
        all.sort_unstable();
        all
    };
    let (read, next) = wait(store.stream(&cursor, 10_000)).expect("its cursor is understood");
    assert_eq!((first.len(), place(&read)), (20, place(&rest)));
    assert_eq!(wait(store.stream(&next, 10_000)).expect("reads").0.len(), 0);
    for wrong in ["99999999", "-1", "1x"] {
        assert!(matches!(wait(store.stream(wrong, 1)), Err(StoreError::Constraint(_))), "{wrong}");
    }
}

#[test]
fn a_hub_that_worked_on_the_file_meanwhile_makes_the_move_begin_anew() {
    let folder = Folder::new();
    fill(&file(&folder));
    let database = Cluster::shared().database();
    let what = what(&folder, &database, 9);
    assert_eq!(run_until(&what, 30), Err(MoveError::Ended));
    let hub = SqliteStore::open(&file(&folder)).expect("the file is still the hub's");
    let epoch = wait(hub.lease("a", Timestamp(0))).expect("leases")[0].epoch;
    wait(hub.commit(step(1, 1, epoch))).expect("commits");
    drop(hub);
    let moved = run_whole(&what).expect("moves");
    assert!(!moved.resumed);
    assert_eq!(wait(open_target(&what).load(&order(1))).expect("reads").expect("is there").version, 2);
}

#[test]
fn a_move_is_refused_while_a_hub_runs_and_into_a_database_that_is_not_its_own() {
    let folder = Folder::new();
    fill(&file(&folder));
    let database = Cluster::shared().database();
    let what = what(&folder, &database, 1_000);
    let hub = SqliteStore::open(&file(&folder)).expect("opens");
    let said = refusal(run_whole(&what));
    assert!(said.contains("another hub has") && said.contains("open"), "{said}");
    drop(hub);

    let taken = Cluster::shared().database();
    let occupied = self::what(&folder, &taken, 1_000);
    wait(open_target(&occupied).accept(vec![placed(1)], None)).expect("accepts");
    let said = refusal(run_whole(&occupied));
    assert!(said.contains("another hub's data"), "{said}");

    // Nor into one that another store is being moved into.
    let half = Cluster::shared().database();
    let second = Folder::new();
    fill(&file(&second));
    assert_eq!(run_until(&self::what(&second, &half, 9), 20), Err(MoveError::Ended));
    let said = refusal(run_whole(&self::what(&folder, &half, 9)));
    assert!(said.contains("another hub's data"), "{said}");

    let wrong_key =
        Move { from: Options { key: KeySource::Given([8; 32]), ..file(&folder) }, ..self::what(&folder, &database, 9) };
    assert!(refusal(run_whole(&wrong_key)).contains("is not the one"), "the wrong key");
    let missing =
        Move { from: Options { path: folder.path().join("none.db"), ..file(&folder) }, ..self::what(&folder, &database, 9) };
    assert!(refusal(run_whole(&missing)).contains("no store at"));
    assert!(!folder.path().join("none.db").exists(), "and none is made");
    SqliteStore::open(&file(&folder)).expect("a refused move leaves the file to its hub");
}

#[test]
fn a_row_that_was_changed_in_the_target_is_found_and_no_hub_may_start() {
    let folder = Folder::new();
    fill(&file(&folder));
    let database = Cluster::shared().database();
    let what = what(&folder, &database, 1_000);
    let verifying = |progress: Progress| progress.phase == Phase::Verify;
    let ended = transfer::run(&what, &mut |progress| {
        if verifying(progress) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(ended, Err(MoveError::Ended));
    database.session().run("UPDATE identity SET theirs = 'SO8x' WHERE theirs = 'SO8'; DELETE FROM timer WHERE process_no = (SELECT min(process_no) FROM timer)");
    let said = match run_whole(&what) {
        Err(MoveError::Differs(differences)) => differences.iter().map(|d| d.table).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(said, ["timer", "identity"]);
    assert!(PostgresStore::open(&what.to).is_err());
    SqliteStore::open(&file(&folder)).expect("the file is still the hub's");
}
