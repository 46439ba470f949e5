//! Several nodes on one database, and what happens to commits when connections, nodes and the database itself fail.

use crate::{
    cluster::{Cluster, Session},
    orders::{order, placed, step},
    postgres::{open, options},
    proxy::Proxy,
};
use crossdock_canonical::Timestamp;
use crossdock_store::{
    Accepted, Addressee, AuditVerdict, InboxId, Intake, KeySource, Partitions, PostgresOptions, PostgresStore, ReadStore, Store,
    StoreError, Transition, conformance::wait,
};
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Sessions of the store that wait for a lock.
const BLOCKED: &str = "SELECT count(*) > 0 FROM pg_stat_activity
    WHERE application_name = 'crossdock' AND datname = current_database() AND wait_event_type = 'Lock'";

/// Makes every transition wait, after its check and before its commit, while `session` holds the lock.
fn hold_commits(session: &Session) {
    session.run(
        "CREATE FUNCTION public.held() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END $$;
         CREATE TRIGGER held AFTER INSERT OR UPDATE ON process_state FOR EACH ROW EXECUTE FUNCTION public.held();
         SELECT pg_advisory_lock(4711)",
    );
}

fn release_commits(session: &Session) {
    session.run("SELECT pg_advisory_unlock(4711)");
}

#[test]
fn a_lease_waits_for_the_commit_of_a_node_that_was_paused_after_its_check() {
    let database = Cluster::shared().database();
    let (old, new) = (open(&database), open(&database));
    wait(old.lease("old", Timestamp(0))).expect("leases");
    let session = database.session();
    hold_commits(&session);
    let committing = old.commit(step(1, 0, 1));
    session.until(BLOCKED);
    let leasing = new.lease("new", Timestamp(1));
    session.until(&BLOCKED.replace("> 0", "> 1"));
    assert_eq!(session.one("SELECT max(epoch) FROM lease"), "1", "nobody took it meanwhile");
    release_commits(&session);
    assert_eq!(wait(committing).map(|committed| committed.version), Ok(1), "what was checked was the owner's");
    let leases = wait(leasing).expect("leases");
    assert!(leases.iter().all(|lease| lease.epoch == 2));
    assert_eq!(wait(new.load(&order(1))).expect("reads").expect("is there").version, 1, "and the taker sees it");
    let partition = order(1).partition();
    assert_eq!(wait(old.commit(step(1, 1, 1))), Err(StoreError::StaleEpoch { partition, expected: 1, found: 2 }));
    wait(new.commit(step(1, 1, 2))).expect("the new owner goes on");
}

#[test]
fn a_commit_that_waited_while_the_lease_moved_is_refused() {
    let database = Cluster::shared().database();
    let store = open(&database);
    wait(store.lease("old", Timestamp(0))).expect("leases");
    let taker = database.session();
    taker.run("BEGIN; UPDATE lease SET epoch = epoch + 1, node = 'new'");
    let committing = store.commit(step(1, 0, 1));
    database.session().until(BLOCKED);
    taker.run("COMMIT");
    let partition = order(1).partition();
    assert_eq!(wait(committing), Err(StoreError::StaleEpoch { partition, expected: 1, found: 2 }));
    assert!(wait(store.load(&order(1))).expect("reads").is_none());
    assert_eq!(taker.one("SELECT count(*) FROM journal"), "0");
}

#[test]
fn a_node_that_is_given_up_between_check_and_commit_commits_nothing() {
    let database = Cluster::shared().database();
    let (old, new) = (open(&database), open(&database));
    wait(old.lease("old", Timestamp(0))).expect("leases");
    let session = database.session();
    hold_commits(&session);
    let committing = old.commit(step(1, 0, 1));
    session.until(BLOCKED);
    session.run("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
    assert!(matches!(wait(committing), Err(StoreError::Unavailable(_))), "nothing was written, and it is known");
    wait(new.lease("new", Timestamp(1))).expect("leases");
    release_commits(&session);
    assert!(wait(new.load(&order(1))).expect("reads").is_none());
    assert_eq!(wait(new.was_committed(&order(1), step(1, 0, 1).id)), Ok(None));
    wait(new.commit(step(1, 0, 2))).expect("the new owner goes on");
}

#[test]
fn of_two_nodes_that_keep_taking_the_leases_from_each_other_one_commits_at_a_time() {
    let database = Cluster::shared().database();
    let nodes: Vec<_> = ["a", "b"]
        .map(|name| {
            let node = open(&database);
            thread::spawn(move || {
                let (mut committed, mut fenced) = (Vec::new(), 0);
                'lost: while committed.len() < 60 && fenced < 500 {
                    let leases = wait(node.lease(name, Timestamp(0))).expect("leases");
                    let epoch = leases[usize::from(order(1).partition())].epoch;
                    while committed.len() < 60 {
                        let version = wait(node.load(&order(1))).expect("reads").map_or(0, |loaded| loaded.version);
                        match wait(node.commit(step(1, version, epoch))) {
                            Ok(done) => committed.push(done.version),
                            Err(StoreError::StaleEpoch { expected, found, .. }) if expected < found => {
                                fenced += 1;
                                continue 'lost;
                            }
                            // The other came in between reading and writing, and has lost the lease since.
                            Err(StoreError::StaleVersion { .. }) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                }
                (committed, fenced)
            })
        })
        .into_iter()
        .collect();
    let (mut versions, mut fenced) = (Vec::new(), 0);
    for node in nodes {
        let (committed, lost) = node.join().expect("ends");
        versions.extend(committed);
        fenced += lost;
    }
    println!("{} commits, fenced {fenced} times", versions.len());
    assert!(fenced > 0);
    versions.sort_unstable();
    assert_eq!(versions, (1..=versions.len() as u64).collect::<Vec<_>>(), "each version once");
    let verdict = wait(open(&database).verify_audit());
    assert!(matches!(verdict, Ok(AuditVerdict::Intact { rows, .. }) if rows == versions.len() as u64), "{verdict:?}");
}

#[test]
fn what_was_acknowledged_is_there_after_the_server_crashed() {
    let cluster = Cluster::own();
    let database = cluster.database();
    let store = Arc::new(open(&database));
    wait(store.lease("a", Timestamp(0))).expect("leases");
    let acknowledged = Arc::new(AtomicU64::new(0));
    let (sending, counted) = (Arc::clone(&store), Arc::clone(&acknowledged));
    let sender = thread::spawn(move || {
        // Groups of thirty; of the one that is under way at the crash nothing is acknowledged.
        (0..10_000_u64).find_map(|group| {
            let numbers = 1 + group * 30..1 + (group + 1) * 30;
            let replies: Vec<_> = numbers.map(|number| sending.accept(vec![placed(number)], None)).collect();
            let answers: Vec<_> = replies.into_iter().map(wait).collect();
            counted.fetch_add(answers.iter().filter(|answer| answer.is_ok()).count() as u64, Ordering::SeqCst);
            answers.into_iter().find_map(Result::err)
        })
    });
    let session = database.session();
    session.until("SELECT count(*) > 300 FROM inbox");
    cluster.crash();
    let error = sender.join().expect("ends");
    assert!(matches!(error, Some(StoreError::Unavailable(_) | StoreError::Unknown(_))), "{error:?}");
    cluster.resume();
    let acknowledged = acknowledged.load(Ordering::SeqCst);
    assert!(acknowledged >= 300);
    goes_on_unaided(&store, 1_000_000, None);
    let (mut after, mut found) = (InboxId::default(), HashSet::new());
    loop {
        let rows = wait(store.inbox(Partitions::ALL, after, 500)).expect("reads");
        let Some(last) = rows.last() else { break };
        after = last.id;
        assert!(rows.iter().all(|row| !row.body.is_empty()));
        found.extend(rows.into_iter().map(|row| row.to));
    }
    for number in 1..=acknowledged / 30 * 30 {
        assert!(found.contains(&Addressee::Process(order(number))), "{number} of {acknowledged}");
    }
}

#[test]
fn two_nodes_that_take_the_same_message_at_once_store_it_once() {
    let database = Cluster::shared().database();
    let nodes = [Arc::new(open(&database)), Arc::new(open(&database))];
    let messages = 300;
    let senders: Vec<_> = nodes
        .iter()
        .cloned()
        .map(|node| {
            thread::spawn(move || {
                let replies: Vec<_> = (1..=messages).map(|number| node.accept(vec![placed(number)], None)).collect();
                replies.into_iter().map(|reply| wait(reply).expect("accepts")[0]).collect::<Vec<_>>()
            })
        })
        .collect();
    let answers: Vec<_> = senders.into_iter().map(|sender| sender.join().expect("ends")).collect();
    for (number, (one, other)) in answers[0].iter().zip(&answers[1]).enumerate() {
        let stored = [one, other].into_iter().filter(|answer| matches!(answer, Accepted::Stored(_))).count();
        assert_eq!(stored, 1, "message {number}: {one:?} and {other:?}");
    }
    assert_eq!(wait(nodes[0].inbox_depth()), Ok(messages));
    let session = database.session();
    for table in ["inbox", "pending", "dedup", "process_key"] {
        assert_eq!(session.one(&format!("SELECT count(*) FROM {table}")), messages.to_string(), "{table}");
    }
}

#[test]
fn no_message_is_passed_over_that_commits_after_a_later_one() {
    let database = Cluster::shared().database();
    let store = open(&database);
    wait(store.accept(vec![placed(1)], None)).expect("accepts");
    // A group of another node that has drawn its number and not committed.
    let slow = database.session();
    slow.run("BEGIN; SELECT group_begin(); SELECT nextval('inbox_no')");
    wait(store.accept(vec![placed(2)], None)).expect("accepts");
    let read = || wait(store.inbox(Partitions::ALL, InboxId::default(), 10)).expect("reads").len();
    assert_eq!(read(), 1, "what lies above the number on its way waits for it");
    slow.run("COMMIT");
    assert_eq!(read(), 2);

    // With many at work: whoever reads on from where he was gets everything, in the order of the numbers.
    let nodes = [Arc::new(open(&database)), Arc::new(open(&database))];
    let (first, each) = (1_000, 150);
    let sent = 2 + 2 * each;
    let senders: Vec<_> = nodes
        .iter()
        .zip([first, 2 * first])
        .map(|(node, from)| {
            let node = Arc::clone(node);
            thread::spawn(move || {
                (from..from + each).for_each(|n| drop(wait(node.accept(vec![placed(n)], None)).expect("accepts")))
            })
        })
        .collect();
    let (mut after, mut seen) = (InboxId::default(), HashSet::new());
    while (seen.len() as u64) < sent {
        for row in wait(store.inbox(Partitions::ALL, after, 7)).expect("reads") {
            assert!(row.id > after);
            after = row.id;
            seen.insert(row.to);
        }
        assert!(senders.iter().any(|sender| !sender.is_finished()) || wait(store.inbox_depth()) == Ok(sent));
    }
    senders.into_iter().for_each(|sender| sender.join().expect("ends"));
}

#[test]
fn a_commit_whose_reply_is_lost_is_unknown_and_found_and_written_once() {
    let cluster = Cluster::shared();
    let database = cluster.database();
    let proxy = Proxy::start(cluster.socket());
    let store = PostgresStore::open(&options(proxy.url(&database.name))).expect("opens");
    wait(store.lease("a", Timestamp(0))).expect("leases");
    let first = step(1, 0, 1);
    proxy.lose_next_reply();
    assert!(matches!(wait(store.commit(first.clone())), Err(StoreError::Unknown(_))));
    assert!(proxy.has_lost());
    let found = wait(store.was_committed(&order(1), first.id)).expect("looks").expect("it was committed");
    assert_eq!((found.version, found.messages.len()), (1, 0));
    assert!(matches!(wait(store.commit(first)), Err(StoreError::StaleVersion { expected: 0, found: 1, .. })));
    wait(store.commit(step(1, 1, 1))).expect("goes on");

    proxy.lose_next_reply();
    assert!(matches!(wait(store.accept(vec![placed(2)], None)), Err(StoreError::Unknown(_))));
    assert_eq!(wait(store.accept(vec![placed(2)], None)), Ok(vec![Accepted::Duplicate]));
    assert_eq!(wait(store.inbox_depth()), Ok(1));
    // The keys that were new in what was lost are written, though nobody said so.
    let more = Intake { to: Addressee::Process(order(3)), message_id: None, ..placed(2) };
    assert!(matches!(wait(store.accept(vec![more], None)).as_deref(), Ok([Accepted::Stored(_)])));
    wait(store.commit(Transition { payloads: step(1, 0, 1).payloads, ..step(1, 2, 1) })).expect("goes on");
    assert!(matches!(wait(store.verify_audit()), Ok(AuditVerdict::Intact { rows: 3, .. })));
    drop(store);
    let bodies = wait(open(&database).inbox(Partitions::ALL, InboxId::default(), 9)).expect("reads");
    assert!(bodies.len() == 2 && bodies.iter().all(|row| row.body == placed(2).body));
}

#[test]
fn a_commit_whose_connection_is_killed_at_the_commit_is_unknown_and_not_found_and_may_be_made_again() {
    let database = Cluster::shared().database();
    let store = open(&database);
    wait(store.lease("a", Timestamp(0))).expect("leases");
    let session = database.session();
    session.run(
        "CREATE TABLE public.doom (x INT); INSERT INTO public.doom VALUES (1);
         CREATE FUNCTION public.die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF EXISTS (SELECT FROM public.doom) THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
             RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER die AFTER INSERT ON process_state DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION public.die()",
    );
    let lost = wait(store.commit(step(1, 0, 1)));
    assert!(matches!(lost, Err(StoreError::Unknown(_))), "{lost:?}");
    assert_eq!(wait(store.was_committed(&order(1), step(1, 0, 1).id)), Ok(None));
    session.run("DELETE FROM public.doom");
    wait(store.commit(step(1, 0, 1))).expect("made again");
    assert_eq!(session.one("SELECT count(*) FROM journal"), "1");
}

#[test]
fn nothing_is_lost_or_twice_while_connections_are_killed_at_random() {
    let database = Cluster::shared().database();
    let store = open(&database);
    wait(store.lease("a", Timestamp(0))).expect("leases");
    let (killer, done) = (database.session(), Arc::new(AtomicBool::new(false)));
    let ended = Arc::clone(&done);
    let killing = thread::spawn(move || {
        let mut killed = 0;
        while !ended.load(Ordering::Relaxed) {
            let pids = killer.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE application_name = 'crossdock' AND datname = current_database() AND xact_start IS NOT NULL AND random() < 0.1",
            );
            killed += pids.len();
        }
        killed
    });
    let (mut unavailable, mut unknown) = (0, 0);
    for version in 0..120 {
        let payloads = step(1, 0, 1).payloads;
        let transition = Transition { messages: vec![placed(1_000 + version)], payloads, ..step(1, version, 1) };
        loop {
            match wait(store.commit(transition.clone())) {
                Ok(committed) => break assert_eq!(committed.version, version + 1),
                Err(StoreError::Unavailable(_)) => unavailable += 1,
                Err(StoreError::Unknown(_)) => {
                    unknown += 1;
                    let found = loop {
                        match wait(store.was_committed(&order(1), transition.id)) {
                            Ok(found) => break found,
                            Err(StoreError::Unavailable(_) | StoreError::Unknown(_)) => {}
                            Err(other) => panic!("{other}"),
                        }
                    };
                    if found.is_some() {
                        break;
                    }
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    done.store(true, Ordering::Relaxed);
    let killed = killing.join().expect("ends");
    println!("{killed} killed, {unavailable} unavailable, {unknown} unknown");
    assert!(killed > 0);
    let session = database.session();
    assert_eq!(session.one("SELECT count(*) FROM journal"), "120");
    assert_eq!(session.one("SELECT count(*) FROM inbox"), "120");
    assert_eq!(session.one("SELECT sum(count) FROM tally"), "1");
    let document = loop {
        if let Ok(loaded) = wait(store.load(&order(1))) {
            break loaded.expect("is there").document;
        }
    };
    assert!(document.is_some(), "its key is stored");
    let verdict = loop {
        if let Ok(verdict) = wait(store.verify_audit()) {
            break verdict;
        }
    };
    assert!(matches!(verdict, AuditVerdict::Intact { rows: 120, .. }));
}

#[expect(clippy::disallowed_methods, reason = "how long a call takes while the database is away is what is promised")]
fn timed<T>(call: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let answer = call();
    (answer, start.elapsed())
}

/// Every kind of call is unavailable, within a second.
fn all_unavailable(store: &PostgresStore, limit: Duration) {
    let calls: [(&str, &dyn Fn() -> Option<StoreError>); 7] = [
        ("accept", &|| wait(store.accept(vec![placed(50)], None)).err()),
        ("commit", &|| wait(store.commit(step(50, 0, 1))).err()),
        ("was_committed", &|| wait(store.was_committed(&order(50), step(50, 0, 1).id)).err()),
        ("load", &|| wait(store.load(&order(1))).err()),
        ("inbox", &|| wait(store.inbox(Partitions::ALL, InboxId::default(), 10)).err()),
        ("cursor", &|| wait(store.cursor("poll")).err()),
        ("inbox_depth", &|| wait(store.inbox_depth()).err()),
    ];
    for (what, call) in calls {
        let (error, took) = timed(call);
        assert!(matches!(error, Some(StoreError::Unavailable(_))), "{what}: {error:?}");
        assert!(took < limit, "{what} took {took:?}");
    }
    // Many at once do not wait one after the other.
    let (errors, took) = timed(|| {
        let replies: Vec<_> = (60..100).map(|number| store.accept(vec![placed(number)], None)).collect();
        replies.into_iter().map(|reply| wait(reply).err()).collect::<Vec<_>>()
    });
    assert!(errors.iter().all(|error| matches!(error, Some(StoreError::Unavailable(_)))));
    assert!(took < limit, "many took {took:?}");
}

/// Takes in a message, and reads `process`, after some tries and with nobody's help.
fn goes_on_unaided(store: &PostgresStore, number: u64, process: Option<u64>) {
    let back = (0..1_000_000).any(|_| wait(store.accept(vec![placed(number)], None)).is_ok());
    assert!(back, "the database is back and the store is not");
    if let Some(process) = process {
        assert!((0..1_000_000).any(|_| wait(store.load(&order(process))).is_ok_and(|loaded| loaded.is_some())));
    }
}

#[test]
fn while_the_database_is_away_every_call_fails_within_a_second_and_then_all_goes_on() {
    let cluster = Cluster::own();
    let database = cluster.database();
    // With the limits of service, which a busy test machine may miss now and then while all is well.
    let served = PostgresOptions::new(database.url(), KeySource::Given([7; 32]));
    let store = (0..100).find_map(|_| PostgresStore::open(&served).ok()).expect("opens");
    assert!((0..100).any(|_| wait(store.lease("a", Timestamp(0))).is_ok()));
    let epoch = database.session().one("SELECT max(epoch) FROM lease").parse().expect("a number");
    assert!((0..100).any(|_| wait(store.commit(step(1, 0, epoch))).is_ok()));

    cluster.stop();
    all_unavailable(&store, Duration::from_secs(1));
    cluster.resume();
    goes_on_unaided(&store, 2, Some(1));

    // Stopped where it stands: it takes connections and says nothing. The limit is 0.9 s; the rest is for a busy machine.
    cluster.signal("STOP");
    all_unavailable(&store, Duration::from_millis(1_500));
    cluster.signal("CONT");
    goes_on_unaided(&store, 3, Some(1));
    assert_eq!(wait(store.inbox_depth()), Ok(2), "nothing of what failed was taken");
}

#[test]
fn an_erasure_by_one_node_reaches_the_keys_in_memory_of_another() {
    let database = Cluster::shared().database();
    let (one, other) = (open(&database), open(&database));
    wait(one.lease("a", Timestamp(0))).expect("leases");
    wait(one.commit(step(1, 0, 1))).expect("commits");
    let document = |store: &PostgresStore| wait(store.load(&order(1))).expect("reads").expect("is there").document;
    assert!(document(&other).is_some(), "its key is in the other's memory now");
    assert_eq!(wait(one.erase_subject(Timestamp(9), "person:anna", "guest:1")), Ok(true));
    assert_eq!((document(&one), document(&other)), (None, None));

    // The other has a key for this guest in memory, and has not heard of the second erasure when it seals.
    wait(other.accept(vec![Intake { to: Addressee::Process(order(2)), message_id: None, ..placed(1) }], None)).expect("accepts");
    wait(one.erase_subject(Timestamp(9), "person:anna", "guest:1")).expect("erases");
    let again = || wait(other.accept(vec![Intake { to: Addressee::Process(order(3)), message_id: None, ..placed(1) }], None));
    assert!(matches!(again(), Err(StoreError::Unavailable(_))), "not stored under a key that is gone");
    assert!(matches!(again().as_deref(), Ok([Accepted::Stored(_)])), "sent again, it has a new one");
    let bodies: Vec<_> = wait(one.inbox(Partitions::ALL, InboxId::default(), 9))
        .expect("reads")
        .iter()
        .map(|row| (row.to.clone(), row.body.len()))
        .collect();
    assert_eq!(bodies, [(Addressee::Process(order(2)), 0), (Addressee::Process(order(3)), placed(1).body.len())]);
}

#[test]
fn a_node_hears_of_messages_that_another_stored() {
    let database = Cluster::shared().database();
    let patient = |url| PostgresOptions { look_every: Duration::from_secs(600), ..options(url) };
    let (one, other) = (
        PostgresStore::open(&patient(database.url())).expect("opens"),
        PostgresStore::open(&patient(database.url())).expect("opens"),
    );
    // The first word is that it listens now.
    wait(other.arrivals()).expect("listens");
    let hearing = other.arrivals();
    wait(one.accept(vec![placed(1)], None)).expect("accepts");
    wait(hearing).expect("hears");
    assert_eq!(wait(other.inbox(Partitions::ALL, InboxId::default(), 9)).expect("reads").len(), 1);
    let quick = PostgresOptions { look_every: Duration::from_millis(1), ..options(database.url()) };
    let third = PostgresStore::open(&quick).expect("opens");
    (0..3).for_each(|_| wait(third.arrivals()).expect("looks for itself"));
}

#[test]
fn nodes_that_open_an_empty_database_at_once_make_one_schema() {
    let database = Cluster::shared().database();
    let url = database.url();
    let nodes: Vec<_> = (0..3)
        .map(|_| {
            let url = url.clone();
            thread::spawn(move || PostgresStore::open(&options(url)).map(drop))
        })
        .collect();
    nodes.into_iter().for_each(|node| node.join().expect("ends").expect("opens"));
    assert_eq!(database.session().one("SELECT count(*) = max(version) FROM schema_version"), "t");
}
