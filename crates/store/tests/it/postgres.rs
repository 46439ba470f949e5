//! The PostgreSQL store on a real server, by one node: every promise, settings, reopening, keys, retention, tampering. What several
//! nodes and failures show is in `postgres_nodes`.

use crate::{
    cluster::{Cluster, Database, Session},
    orders::{closing, order, placed, step},
};
use crossdock_canonical::{Duration, Timestamp};
use crossdock_store::{
    Accepted, Addressee, AuditVerdict, InboxId, Intake, KeySource, Partitions, PostgresOptions, PostgresStore, ReadStore, Store,
    StoreError, Transition, conformance, conformance::wait,
};
use std::{sync::Arc, time};

/// Patient, since a test machine is busy; tests of the limits say so.
pub(crate) fn options(url: String) -> PostgresOptions {
    PostgresOptions {
        readers: 1,
        answer_within: time::Duration::from_secs(20),
        commit_within: time::Duration::from_secs(20),
        ..PostgresOptions::new(url, KeySource::Given([7; 32]))
    }
}

pub(crate) fn open(database: &Database<'_>) -> PostgresStore {
    PostgresStore::open(&options(database.url())).expect("opens")
}

fn refusal(database: &Database<'_>) -> String {
    PostgresStore::open(&options(database.url())).err().expect("refused").to_string()
}

#[test]
fn the_postgresql_store_keeps_every_promise() {
    let database = Cluster::shared().database();
    let session = database.session();
    conformance::run(|_| {
        // The store of the case before is closed by now. Quicker than a database for each.
        session.run("DROP SCHEMA IF EXISTS crossdock CASCADE");
        open(&database)
    });
}

#[test]
fn a_database_that_would_lose_orders_is_refused_by_the_name_of_the_setting() {
    let cluster = Cluster::own();
    let database = cluster.database();
    let session = database.session();
    for (setting, value) in [("fsync", "off"), ("full_page_writes", "off")] {
        session.run(&format!("ALTER SYSTEM SET {setting} = {value}"));
        session.run("SELECT pg_reload_conf()");
        session.until(&format!("SELECT current_setting('{setting}') = '{value}'"));
        let said = refusal(&database);
        assert!(said.contains(&format!("{setting} is {value}")) && said.contains(&format!("set {setting} = on")), "{said}");
        session.run(&format!("ALTER SYSTEM RESET {setting}"));
        session.run("SELECT pg_reload_conf()");
        session.until(&format!("SELECT current_setting('{setting}') = 'on'"));
    }
    for (setting, value) in [
        ("synchronous_commit", "off"),
        ("synchronous_commit", "local"),
        ("synchronous_commit", "remote_write"),
        ("default_transaction_read_only", "on"),
    ] {
        session.run(&format!("ALTER DATABASE {} SET {setting} = {value}", database.name));
        let said = refusal(&database);
        assert!(said.contains(&format!("{setting} is {value}")), "{said}");
        session.run(&format!("ALTER DATABASE {} RESET {setting}", database.name));
    }
    let said = refusal(&cluster.database_with("TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'"));
    assert!(said.contains("server_encoding is SQL_ASCII"), "{said}");
    session.run(&format!("ALTER DATABASE {} SET synchronous_commit = remote_apply", database.name));
    drop(open(&database));
}

#[test]
fn a_network_is_crossed_by_tls_and_only_under_certificates_that_are_trusted() {
    let (_cluster, port, ca) = Cluster::with_tls();
    let url = |more: &str| format!("postgresql://crossdock@127.0.0.1:{port}/postgres{more}");
    let trusting = PostgresOptions { certificates: Some(ca), ..options(url("?sslmode=require")) };
    let store = PostgresStore::open(&trusting).expect("opens");
    assert_eq!(wait(store.accept(vec![placed(1)], None)).map(|answers| answers.len()), Ok(1));
    let session = Session::new(&url("?sslmode=disable"));
    let secured = "SELECT count(*) > 0 AND bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
        WHERE a.application_name = 'crossdock'";
    assert_eq!(session.one(secured), "t");
    drop(store);
    let said = PostgresStore::open(&options(url("?sslmode=require"))).err().expect("refused").to_string();
    assert!(said.contains("UnknownIssuer"), "{said}");
    let other_name = trusting.url.replace("127.0.0.1", "127.0.0.2");
    assert!(PostgresStore::open(&PostgresOptions { url: other_name, ..trusting }).is_err());
    drop(PostgresStore::open(&options(url(""))).expect("within the machine no TLS is asked for"));
}

#[test]
fn everything_is_there_after_reopening() {
    let database = Cluster::shared().database();
    let store = open(&database);
    wait(store.lease("a", Timestamp(0))).expect("leases");
    for version in 0..30 {
        let timers = if version == 0 { step(1, 0, 1).timers } else { Vec::new() };
        wait(store.commit(Transition { timers, ..step(1, version, 1) })).expect("commits");
    }
    wait(store.accept(vec![placed(2), placed(3)], None)).expect("accepts");
    let (verdict, cursor) = (wait(store.verify_audit()), wait(store.stream("now", 1)).expect("reads").1);
    drop(store);

    let store = open(&database);
    assert_eq!(wait(store.verify_audit()), verdict);
    assert_eq!(wait(store.stream("now", 1)).expect("reads").1, cursor);
    let read = wait(store.load(&order(1))).expect("reads").expect("is there");
    assert_eq!((read.version, read.document.as_deref()), (30, Some(&b"the document of Erika Mustermann"[..])));
    assert_eq!(wait(store.due_timers(Partitions::ALL, Timestamp(5_000), 9)).expect("reads").len(), 1);
    let waiting = wait(store.inbox(Partitions::ALL, InboxId::default(), 9)).expect("reads");
    assert_eq!(&*waiting[1].body, b"order 3 of Erika Mustermann");
    assert_eq!(wait(store.accept(vec![placed(2)], None)), Ok(vec![Accepted::Duplicate]));
    assert!(
        matches!(wait(store.accept(vec![placed(4)], None)).as_deref(), Ok([Accepted::Stored(next)]) if *next > waiting[1].id)
    );

    assert!(matches!(wait(store.commit(step(1, 30, 0))), Err(StoreError::StaleEpoch { expected: 0, found: 1, .. })));
    wait(store.lease("a", Timestamp(0))).expect("leases");
    wait(store.commit(step(1, 30, 2))).expect("goes on");
    let (rows, _) = wait(store.stream(&cursor, 10)).expect("reads");
    assert_eq!(rows.iter().map(|row| row.offset).collect::<Vec<_>>(), [31], "offsets go on without a gap");
    assert!(matches!(wait(store.verify_audit()), Ok(AuditVerdict::Intact { rows: 31, .. })));
}

#[test]
fn the_wrong_key_is_refused_at_once() {
    let database = Cluster::shared().database();
    drop(open(&database));
    let wrong = PostgresOptions { key: KeySource::Given([8; 32]), ..options(database.url()) };
    let said = PostgresStore::open(&wrong).err().expect("refused").to_string();
    assert!(said.contains("key"), "{said}");
    drop(open(&database));
}

#[test]
fn a_schema_step_in_another_form_and_one_too_new_are_refused_and_a_newer_one_beside_which_we_may_run_is_not() {
    let database = Cluster::shared().database();
    drop(open(&database));
    let session = database.session();
    session.run("INSERT INTO schema_version VALUES (99, 'later', 'x', 1)");
    drop(open(&database));
    session.run("UPDATE schema_version SET oldest = 99 WHERE version = 99");
    let said = refusal(&database);
    assert!(said.contains("schema 99") && said.contains("newer"), "{said}");
    session.run("DELETE FROM schema_version WHERE version = 99; UPDATE schema_version SET checksum = 'x'");
    assert!(refusal(&database).contains("another form"));
}

#[test]
fn no_personal_data_lies_in_clear_in_any_column() {
    let database = Cluster::shared().database();
    let store = open(&database);
    wait(store.lease("a", Timestamp(0))).expect("leases");
    wait(store.accept(vec![placed(1)], None)).expect("accepts");
    wait(store.commit(step(2, 0, 1))).expect("commits");
    let session = database.session();
    let tables = session.run("SELECT table_name FROM information_schema.tables WHERE table_schema = 'crossdock'");
    assert!(tables.len() > 20);
    for table in tables {
        // Bytes are shown as hex.
        for word in ["Mustermann", &"Mustermann".bytes().map(|byte| format!("{byte:02x}")).collect::<String>()] {
            let found = session.one(&format!("SELECT count(*) FROM {0} WHERE {0}::text LIKE '%{word}%'", table[0]));
            assert_eq!(found, "0", "{word} in {table:?}");
        }
    }
}

#[test]
fn tampering_with_the_database_is_found() {
    let tampered: &[(&str, &str)] = &[
        ("a record edited", "UPDATE journal SET record = '{\"events\":[1]}' WHERE seq = 3"),
        ("an actor edited", "UPDATE journal SET actor = 'person:eve' WHERE seq = 3"),
        ("the last row edited", "UPDATE journal SET action = 'x' WHERE seq = (SELECT max(seq) FROM journal)"),
        ("a row deleted", "DELETE FROM journal WHERE seq = 3"),
        ("a row of the hub itself deleted", "DELETE FROM journal WHERE seq = 6"),
        ("the end cut off", "DELETE FROM journal WHERE seq > 10"),
        ("the last row cut off, one of the hub itself", "DELETE FROM journal WHERE seq = 12"),
        ("a process renamed", "UPDATE process SET key = 'sfcc/RefArch-DE/9' WHERE key = 'sfcc/RefArch-DE/3'"),
        ("a process removed", "DELETE FROM process WHERE key = 'sfcc/RefArch-DE/3'"),
        (
            "a process moved on past the audit",
            "UPDATE process_state SET version = version + 1 WHERE no = (SELECT max(no) FROM process_state)",
        ),
        ("a head moved", "UPDATE lease SET \"offset\" = \"offset\" + 1 WHERE partition = 9"),
    ];
    let database = Cluster::shared().database();
    let store = open(&database);
    wait(store.lease("a", Timestamp(0))).expect("leases");
    for version in 0..2 {
        for number in 1..=5 {
            wait(store.commit(step(number, version, 1))).expect("commits");
        }
        wait(store.record_audit(Timestamp(3_000), "person:anna", "sign_in", "console")).expect("writes");
    }
    let session = database.session();
    assert_eq!(session.one("SELECT string_agg(seq::text, ' ' ORDER BY seq) FROM journal"), "1 2 3 4 5 6 7 8 9 10 11 12");
    for (what, sql) in tampered {
        // Kept apart and put back, so that one store serves for all.
        session.run("CREATE TABLE kept_journal AS TABLE journal; CREATE TABLE kept_process AS TABLE process");
        session.run("CREATE TABLE kept_state AS TABLE process_state; CREATE TABLE kept_lease AS TABLE lease");
        session.run(sql);
        let verdict = wait(store.verify_audit()).expect("walks");
        assert!(matches!(verdict, AuditVerdict::Broken { .. }), "{what}: {verdict:?}");
        for (table, kept) in
            [("journal", "kept_journal"), ("process", "kept_process"), ("process_state", "kept_state"), ("lease", "kept_lease")]
        {
            session.run(&format!("DELETE FROM {table}; INSERT INTO {table} TABLE {kept}; DROP TABLE {kept}"));
        }
        assert!(matches!(wait(store.verify_audit()), Ok(AuditVerdict::Intact { rows: 12, .. })), "put back");
    }
}

#[test]
fn retention_takes_what_is_past_it_and_nothing_else() {
    let database = Cluster::shared().database();
    let kept = PostgresOptions { payload_retention: Some(Duration(10_000)), ..options(database.url()) };
    let store = PostgresStore::open(&kept).expect("opens");
    wait(store.lease("a", Timestamp(0))).expect("leases");
    wait(store.accept(vec![placed(1), placed(2), placed(3)], None)).expect("accepts");
    let ids: Vec<_> =
        wait(store.inbox(Partitions::ALL, InboxId::default(), 9)).expect("reads").iter().map(|row| row.id).collect();
    wait(store.commit(Transition { settles: Some(ids[0]), ..closing(step(1, 0, 1)) })).expect("commits");
    wait(store.commit(Transition { settles: Some(ids[2]), at: Timestamp(60_000), ..closing(step(3, 0, 1)) })).expect("commits");
    wait(store.commit(step(4, 0, 1))).expect("commits");
    assert_eq!(wait(store.sweep(Timestamp(12_000), Timestamp(500), 100)), Ok(0));
    assert_eq!(wait(store.sweep(Timestamp(12_001), Timestamp(50_000), 100)), Ok(3), "a payload and two folded messages");
    let document = |number| wait(store.load(&order(number))).expect("reads").expect("is there").document;
    assert_eq!((document(1), document(3).is_some()), (None, true));
    assert!(document(4).is_some(), "an order that is open needs its document, however old it is");
    let waiting = wait(store.inbox(Partitions::ALL, InboxId::default(), 9)).expect("reads");
    assert_eq!(waiting.iter().map(|row| row.id).collect::<Vec<_>>(), [ids[1]], "what waits is never swept");
    assert_eq!(wait(store.accept(vec![placed(1)], None)), Ok(vec![Accepted::Duplicate]), "and what went is remembered");
    let remembered = Intake { to: Addressee::Process(order(77)), ..placed(1) };
    assert_eq!(wait(store.accept(vec![remembered], None)), Ok(vec![Accepted::Duplicate]));
}

#[test]
fn the_journal_goes_on_in_a_new_piece_and_an_old_one_can_be_dropped() {
    let database = Cluster::shared().database();
    let session = database.session();
    let store = open(&database);
    wait(store.lease("a", Timestamp(0))).expect("leases");
    wait(store.commit(step(1, 0, 1))).expect("commits");
    for piece in 1..=3_u64 {
        session.run(&format!("SELECT setval('journal_seq', ({piece}::int8 << 22) - 3)"));
        for version in 0..5 {
            wait(store.commit(step(1, (piece - 1) * 5 + version + 1, 1))).expect("commits");
        }
        session.until(&format!("SELECT to_regclass('journal_{}') IS NOT NULL", piece + 1));
    }
    assert_eq!(wait(store.journal(&order(1))).expect("reads").len(), 16);
    assert_eq!(wait(store.stream("", 100)).expect("reads").0.len(), 16);
    assert!(matches!(wait(store.verify_audit()), Ok(AuditVerdict::Intact { rows: 16, .. })));
    let head = |store: &PostgresStore| match wait(store.verify_audit()) {
        Ok(AuditVerdict::Intact { rows, head }) => (rows, head),
        other => panic!("{other:?}"),
    };
    wait(store.commit(step(2, 0, 1))).expect("commits");
    wait(store.record_audit(Timestamp(3_000), "person:anna", "sign_in", "console")).expect("writes");
    let (rows, before) = head(&store);
    assert_eq!(rows, 18);
    assert_eq!(wait(store.drop_journal(Timestamp(2_000))), Ok(0), "nothing is older");
    // The newest piece and the one before it stay.
    assert_eq!(wait(store.drop_journal(Timestamp(9_000))), Ok(2));
    assert_eq!(head(&store), (10, before), "what is left is verified from the cut on, to the same head");
    assert_eq!(wait(store.stream("", 100)).expect("reads").0.len(), 9, "what is left is published");
    assert_eq!(wait(store.load(&order(1))).expect("reads").expect("is there").version, 16);
    wait(store.commit(step(1, 16, 1))).expect("goes on");
    assert_eq!(head(&store).0, 11);
    assert_eq!(wait(store.accept(vec![placed(1)], None)), Ok(vec![Accepted::Duplicate]), "keys are kept");
    session.run("DELETE FROM journal WHERE seq = (SELECT min(seq) FROM journal)");
    assert!(matches!(wait(store.verify_audit()), Ok(AuditVerdict::Broken { .. })), "what follows the cut must fit it");
}

#[test]
fn a_full_queue_is_busy_and_loses_nothing_it_took() {
    let database = Cluster::shared().database();
    let store = PostgresStore::open(&PostgresOptions { queue: 4, ..options(database.url()) }).expect("opens");
    let replies: Vec<_> = (1..=500).map(|number| store.accept(vec![placed(number)], None)).collect();
    let answers: Vec<_> = replies.into_iter().map(wait).collect();
    let taken = answers.iter().filter(|answer| answer.is_ok()).count() as u64;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(StoreError::Busy(4)))));
    assert!(taken >= 4);
    assert_eq!(wait(store.inbox_depth()), Ok(taken));
}

#[test]
fn what_postgresql_cannot_hold_is_refused_and_takes_nothing_with_it() {
    let database = Cluster::shared().database();
    let store = open(&database);
    let zero = Intake { message_id: Some(Arc::from("a\0b")), to: Addressee::Process(order(9)), ..placed(9) };
    let replies = [store.accept(vec![placed(1)], None), store.accept(vec![zero], None), store.accept(vec![placed(2)], None)];
    let answers: Vec<_> = replies.into_iter().map(wait).collect();
    assert!(matches!(answers[..], [Ok(_), Err(StoreError::Constraint(_)), Ok(_)]), "{answers:?}");
}
