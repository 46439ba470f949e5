//! Turns of several nodes: who lives, who owns what, and what happens when a heartbeat and a taking meet. The same for every store that
//! several nodes can share.

use crate::{cluster::Cluster, orders::order, orders::step, postgres::open};
use crossdock_canonical::Timestamp;
use crossdock_store::{
    CursorWrite, FullStore, Lease, Membership, MemoryStore, NodeTurn, Owner, Partitions, Release, Store, StoreError, Taking,
    conformance::wait,
};
use std::sync::Arc;

fn turn(node: &str) -> NodeTurn {
    NodeTurn {
        node: node.into(),
        at: Timestamp(1_000),
        about: format!("{{\"of\":\"{node}\"}}").into_bytes(),
        release: Vec::new(),
        take: Vec::new(),
        forget: Vec::new(),
        leaves: false,
    }
}

fn owner(members: &Membership, partition: u16) -> (u64, &str) {
    let Owner { lease, node } = &members.owners[usize::from(partition)];
    assert_eq!(lease.partition, partition);
    (lease.epoch, node)
}

fn free(partition: u16, epoch: u64) -> Taking {
    Taking { partition, epoch, gone: None }
}

fn from(partition: u16, epoch: u64, node: &str, beat: u64) -> Taking {
    Taking { partition, epoch, gone: Some((node.into(), beat)) }
}

fn each_shared_store(check: impl Fn(&dyn FullStore)) {
    check(&MemoryStore::new());
    let database = Cluster::shared().database();
    check(&open(&database));
}

#[test]
fn a_lease_is_taken_only_as_it_was_seen_and_given_back_only_by_its_owner() {
    each_shared_store(|store| {
        let take = |node: &str, take: Vec<Taking>| wait(store.turn(NodeTurn { take, ..turn(node) })).expect("turns");
        let release = |node: &str, partition, epoch| {
            let lease = Lease { partition, epoch };
            wait(store.turn(NodeTurn { release: vec![Release { lease, clean: true }], ..turn(node) })).expect("turns")
        };
        let members = take("a", vec![free(7, 0), free(8, 0), free(9, 5)]);
        assert_eq!((members.nodes.len(), members.owners.len()), (1, 256));
        assert_eq!((owner(&members, 7), owner(&members, 8), owner(&members, 9)), ((1, "a"), (1, "a"), (0, "")));
        assert_eq!(members.nodes[0].about, br#"{"of":"a"}"#, "what it says is there for all");
        assert_eq!(owner(&take("b", vec![free(7, 1)]), 7), (1, "a"), "it is not free");
        assert_eq!(owner(&take("b", vec![from(7, 0, "a", 1)]), 7), (1, "a"), "the epoch is another");
        assert_eq!(owner(&release("b", 7, 1), 7), (1, "a"), "it is not b's to give");
        assert_eq!(owner(&release("a", 7, 2), 7), (1, "a"), "nor a's in another epoch");
        assert_eq!(owner(&release("a", 7, 1), 7), (1, ""));
        assert_eq!(owner(&take("b", vec![free(7, 1)]), 7), (2, "b"));
    });
}

#[test]
fn nobody_takes_from_a_node_whose_heart_has_beaten_since_it_was_looked_at() {
    each_shared_store(|store| {
        let take = |node: &str, take: Vec<Taking>| wait(store.turn(NodeTurn { take, ..turn(node) })).expect("turns");
        take("a", vec![free(7, 0)]);
        let seen = take("b", Vec::new()).nodes.iter().find(|row| &*row.node == "a").expect("it is there").beat;
        take("a", Vec::new());
        assert_eq!(owner(&take("b", vec![from(7, 1, "a", seen)]), 7), (1, "a"));
        assert_eq!(owner(&take("b", vec![from(7, 1, "a", seen + 1)]), 7), (2, "b"));
        let members = take("a", Vec::new());
        assert_eq!(owner(&members, 7), (2, "b"), "and the former owner sees it in its next turn");
        assert_eq!(owner(&take("b", vec![from(8, 0, "nobody", 1)]), 8), (0, ""), "a name that never was owns nothing");
    });
}

#[test]
fn a_node_that_leaves_frees_all_it_has_and_one_that_is_gone_is_forgotten_when_it_has_nothing() {
    each_shared_store(|store| {
        wait(store.turn(NodeTurn { take: vec![free(1, 0), free(2, 0)], ..turn("a") })).expect("turns");
        let forget = |beat| wait(store.turn(NodeTurn { forget: vec![("a".into(), beat)], ..turn("b") })).expect("turns");
        assert_eq!(forget(1).nodes.len(), 2, "it has something");
        let members = wait(store.turn(NodeTurn { leaves: true, ..turn("a") })).expect("turns");
        assert_eq!((members.nodes.len(), owner(&members, 1), owner(&members, 2)), (1, (1, ""), (1, "")));
        wait(store.turn(turn("a"))).expect("turns");
        assert_eq!(forget(7).nodes.len(), 2, "it has beaten since");
        assert_eq!(forget(1).nodes.len(), 1);
    });
}

#[test]
fn each_partition_has_its_own_epoch() {
    each_shared_store(|store| {
        let (one, partition) = (order(1), order(1).partition());
        let other = (2..).map(order).find(|other| other.partition() != partition).expect("there are many");
        wait(store.turn(NodeTurn { take: vec![free(partition, 0), free(other.partition(), 0)], ..turn("a") })).expect("turns");
        let epoch = |epoch| crossdock_store::Transition { epoch, ..step(1, 0, 1) };
        wait(store.commit(epoch(1))).expect("commits");
        wait(store.turn(NodeTurn { take: vec![from(partition, 1, "a", 1)], ..turn("b") })).expect("turns");
        let stale = crossdock_store::Transition { version: 1, ..epoch(1) };
        assert_eq!(wait(store.commit(stale)), Err(StoreError::StaleEpoch { partition, expected: 1, found: 2 }));
        wait(store.commit(crossdock_store::Transition { process: other, ..epoch(1) })).expect("the other is still its own");
        wait(store.commit(crossdock_store::Transition { version: 1, ..epoch(2) })).expect("the taker goes on");
        assert!(wait(store.load(&one)).expect("reads").is_some_and(|loaded| loaded.version == 2));
    });
}

#[test]
fn what_waits_is_read_by_partition() {
    each_shared_store(|store| {
        let (one, two) = (order(1), (2..).map(order).find(|o| o.partition() != order(1).partition()).expect("there are many"));
        let all: Partitions = [one.partition(), two.partition()].into_iter().collect();
        let of_one: Partitions = [one.partition()].into_iter().collect();
        let take = all.iter().map(|partition| free(partition, 0)).collect();
        wait(store.turn(NodeTurn { take, ..turn("a") })).expect("turns");
        for process in [&one, &two] {
            let message = crossdock_store::Intake {
                to: crossdock_store::Addressee::Process(process.clone()),
                message_id: None,
                ..crate::orders::placed(1)
            };
            wait(store.accept(vec![message], None)).expect("accepts");
            let effects = vec![crate::orders::effect()];
            let timers = vec![("tick".into(), Some(Timestamp(5)))];
            wait(store.commit(crossdock_store::Transition { process: process.clone(), effects, timers, ..step(1, 0, 1) }))
                .expect("commits");
        }
        for (of, count) in [(all, 2), (of_one, 1), (Partitions::NONE, 0), (Partitions::ALL, 2)] {
            let effects = wait(store.due_effects(of, "erp", Timestamp(99), 10)).expect("reads");
            let timers = wait(store.due_timers(of, Timestamp(99), 10)).expect("reads");
            let rows = wait(store.inbox(of, crossdock_store::InboxId::default(), 10)).expect("reads");
            assert_eq!((effects.len(), timers.len(), rows.len()), (count, count, count), "{of:?}");
        }
        let first = wait(store.due_effects(of_one, "erp", Timestamp(99), 1)).expect("reads");
        assert_eq!(first.first().map(|due| &due.process), Some(&one));
    });
}

#[test]
fn a_cursor_that_has_moved_on_is_not_set_back_and_what_comes_with_it_is_refused() {
    each_shared_store(|store| {
        let write = |body: &str, seen: Option<&str>| CursorWrite {
            name: Arc::from("poll/storefront"),
            body: body.into(),
            seen: seen.map(|seen| seen.as_bytes().to_vec()),
        };
        let moved_on = Err(StoreError::Constraint(CursorWrite::MOVED_ON.into()));
        wait(store.set_cursor(write("1", Some("")))).expect("nothing was there");
        assert_eq!(wait(store.set_cursor(write("0", Some("")))), moved_on);
        wait(store.set_cursor(write("2", Some("1")))).expect("it follows");
        let message = || vec![crate::orders::placed(1)];
        let late = wait(store.accept(message(), Some(write("2", Some("1"))))).map(|_| ());
        assert_eq!(late, moved_on);
        assert_eq!(wait(store.inbox_depth()), Ok(0));
        wait(store.accept(message(), Some(write("3", Some("2"))))).expect("it follows");
        wait(store.set_cursor(write("9", None))).expect("whatever is there");
        assert_eq!(wait(store.cursor("poll/storefront")), Ok(Some(b"9".to_vec())));
    });
}

#[test]
fn what_is_pending_is_in_doubt_after_an_owner_that_is_gone_or_did_not_say_and_not_after_a_clean_hand_over() {
    each_shared_store(|store| {
        let (process, partition) = (order(1), order(1).partition());
        let take = |node: &str, taking: Taking| {
            wait(store.turn(NodeTurn { take: vec![taking], ..turn(node) })).expect("turns");
        };
        let give = |node: &str, epoch, clean| {
            let release = vec![Release { lease: Lease { partition, epoch }, clean }];
            wait(store.turn(NodeTurn { release, ..turn(node) })).expect("turns");
        };
        let doubtful = || wait(store.load(&process)).expect("reads").expect("it is there").doubtful;
        take("a", free(partition, 0));
        let effects = || vec![crate::orders::effect()];
        wait(store.commit(crossdock_store::Transition { effects: effects(), ..step(1, 0, 1) })).expect("commits");
        assert_eq!(doubtful(), Some(vec![]), "its own");
        give("a", 1, true);
        take("b", free(partition, 1));
        assert_eq!(doubtful(), Some(vec![]), "a said that all has ended");
        give("b", 2, false);
        take("a", free(partition, 2));
        assert_eq!(doubtful(), Some(vec![1]), "b did not");
        give("a", 3, true);
        take("b", free(partition, 3));
        assert_eq!(doubtful(), Some(vec![1]), "and a has not cleared it");
        wait(store.commit(crossdock_store::Transition { effects: effects(), ..step(1, 1, 4) })).expect("commits");
        assert_eq!(doubtful(), Some(vec![]), "b has the last word of it now");
        let beat = wait(store.turn(turn("a"))).expect("turns").nodes.iter().find(|row| &*row.node == "b").expect("there").beat;
        take("a", from(partition, 4, "b", beat));
        assert_eq!(doubtful(), Some(vec![1]), "b is gone without a word");
        wait(store.turn(NodeTurn { leaves: true, ..turn("a") })).expect("turns");
        take("c", free(partition, 5));
        assert_eq!(doubtful(), Some(vec![1]));
    });
}

#[test]
fn a_turn_waits_for_no_lock_of_a_node_that_stands_still_in_the_middle_of_something() {
    let database = Cluster::shared().database();
    let store = open(&database);
    let take = |node: &str, take: Vec<Taking>| wait(store.turn(NodeTurn { take, ..turn(node) })).expect("turns");
    take("a", vec![free(7, 0), free(8, 0)]);
    let paused = database.session();
    paused.run("SET idle_in_transaction_session_timeout = 0; BEGIN; SELECT FROM lease WHERE partition = 7 FOR NO KEY UPDATE");
    let members = take("b", vec![from(7, 1, "a", 1), from(8, 1, "a", 1)]);
    assert_eq!((owner(&members, 7), owner(&members, 8)), ((1, "a"), (2, "b")), "what is locked is left for later");
    paused.run("SELECT FROM node WHERE name = 'a' FOR UPDATE");
    let forget = vec![("a".into(), 1)];
    let members = wait(store.turn(NodeTurn { forget, take: vec![from(7, 1, "a", 1)], ..turn("b") })).expect("turns");
    assert_eq!((owner(&members, 7), members.nodes.len()), ((1, "a"), 2), "nor is it judged who is writing its heartbeat");
    paused.run("ROLLBACK");
    assert_eq!(owner(&take("b", vec![from(7, 1, "a", 1)]), 7), (2, "b"));
}
