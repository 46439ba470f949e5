//! The tokio side over a store whose answers can be held up: what happens between two answers.

use crate::kit::{TestPolicies, canonical, drivers};
use crate::toy::State;
use crossdock_canonical::{Duration, SystemName, Timestamp};
use crossdock_engine::{
    CommandRequest, Hub, HubError, OrderIntake, Wiring,
    core::{Config, order_intake_of},
    shell::{Options, Running, clock, clock::Clock, retention::Retention, standing::NodeOptions},
};
use crossdock_flows::Answer;
use crossdock_store::{
    Accepted, Committed, CursorWrite, DueEffect, DueTimer, InboxId, InboxPage, Intake, Lease, Loaded, Membership, MemoryStore,
    NodeTurn, Partitions, PayloadHash, ProcessKey, ReadStore, Reply, Store, StoreError, Transition, TransitionId,
};
use crossdock_value::Value;
use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tokio::sync::{Notify, watch};

/// Lets calls through while it is open.
struct Gate(watch::Sender<bool>);

impl Gate {
    fn new() -> Self {
        Self(watch::channel(true).0)
    }

    fn set(&self, open: bool) {
        self.0.send_replace(open);
    }

    async fn pass(&self) {
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

struct Gated {
    inner: Arc<MemoryStore>,
    /// Before a transition is written.
    commit: Gate,
    /// After rows are on disk, before it is said.
    accept: Gate,
    /// Before the inbox is read.
    inbox: Gate,
    /// Another node has the leases.
    taken: AtomicBool,
    /// It does not answer.
    gone: AtomicBool,
    /// Several nodes may take turns.
    shared: AtomicBool,
    /// Told when another node stored messages.
    arrived: Notify,
    /// Rows past their retention that are left, and what was asked to be removed: of when, and up to when.
    stale: AtomicUsize,
    swept: Mutex<Vec<(Timestamp, Timestamp)>>,
}

impl Store for Gated {
    fn accept(&self, rows: Vec<Intake>, cursor: Option<CursorWrite>) -> Reply<'_, Vec<Accepted>> {
        let accepted = self.inner.accept(rows, cursor);
        Box::pin(async move {
            let accepted = accepted.await;
            self.accept.pass().await;
            accepted
        })
    }

    fn commit(&self, transition: Transition) -> Reply<'_, Committed> {
        Box::pin(async move {
            self.commit.pass().await;
            if self.taken.load(Ordering::Relaxed) {
                return Err(StoreError::StaleEpoch { partition: 0, expected: 1, found: 2 });
            }
            self.inner.commit(transition).await
        })
    }

    fn was_committed(&self, process: &ProcessKey, transition: TransitionId) -> Reply<'_, Option<Committed>> {
        self.inner.was_committed(process, transition)
    }

    fn lease(&self, node: &str, now: Timestamp) -> Reply<'_, Vec<Lease>> {
        self.inner.lease(node, now)
    }

    fn load(&self, process: &ProcessKey) -> Reply<'_, Option<Loaded>> {
        self.inner.load(process)
    }

    fn inbox(&self, of: Partitions, after: InboxId, limit: usize) -> Reply<'_, InboxPage> {
        Box::pin(async move {
            self.inbox.pass().await;
            self.inner.inbox(of, after, limit).await
        })
    }

    fn due_effects(&self, of: Partitions, system: &str, before: Timestamp, limit: usize) -> Reply<'_, Vec<DueEffect>> {
        self.inner.due_effects(of, system, before, limit)
    }

    fn due_timers(&self, of: Partitions, before: Timestamp, limit: usize) -> Reply<'_, Vec<DueTimer>> {
        self.inner.due_timers(of, before, limit)
    }

    fn payload(&self, process: &ProcessKey, hash: &PayloadHash) -> Reply<'_, Option<Arc<[u8]>>> {
        self.inner.payload(process, hash)
    }

    fn resolve(&self, system: &str, kind: &str, theirs: &str) -> Reply<'_, Option<ProcessKey>> {
        self.inner.resolve(system, kind, theirs)
    }

    fn cursor(&self, name: &str) -> Reply<'_, Option<Vec<u8>>> {
        if self.gone.load(Ordering::Relaxed) {
            return Box::pin(async { Err(StoreError::Unavailable("no connection".into())) });
        }
        self.inner.cursor(name)
    }

    fn is_shared(&self) -> bool {
        self.shared.load(Ordering::Relaxed)
    }

    fn turn(&self, turn: NodeTurn) -> Reply<'_, Membership> {
        if self.gone.load(Ordering::Relaxed) {
            return Box::pin(async { Err(StoreError::Unavailable("no connection".into())) });
        }
        self.inner.turn(turn)
    }

    fn arrivals(&self) -> Reply<'_, ()> {
        Box::pin(async {
            if self.is_shared() {
                clock::pause(Duration::millis(10)).await;
            } else {
                self.arrived.notified().await;
            }
            Ok(())
        })
    }

    fn set_cursor(&self, write: CursorWrite) -> Reply<'_, ()> {
        self.inner.set_cursor(write)
    }

    fn pin(&self, hash: &str) -> Reply<'_, Option<Vec<u8>>> {
        self.inner.pin(hash)
    }

    fn put_pin(&self, hash: &str, body: Vec<u8>) -> Reply<'_, ()> {
        self.inner.put_pin(hash, body)
    }

    fn sweep(&self, now: Timestamp, folded_before: Timestamp, limit: usize) -> Reply<'_, usize> {
        self.swept.lock().expect("no panic").push((now, folded_before));
        let left = self.stale.load(Ordering::Relaxed);
        self.stale.store(left.saturating_sub(limit), Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(left.min(limit))))
    }
}

impl Gated {
    fn new() -> Arc<Self> {
        let (commit, accept, inbox) = (Gate::new(), Gate::new(), Gate::new());
        let [taken, gone, shared] = [(); 3].map(|()| AtomicBool::new(false));
        let (inner, arrived) = (Arc::new(MemoryStore::new()), Notify::new());
        let (stale, swept) = (AtomicUsize::new(0), Mutex::default());
        Arc::new(Self { inner, commit, accept, inbox, taken, gone, shared, arrived, stale, swept })
    }

    /// For several hubs; each looks often whether another took something in.
    fn shared() -> Arc<Self> {
        let store = Self::new();
        store.shared.store(true, Ordering::Relaxed);
        store
    }

    async fn depth(&self) -> u64 {
        self.inner.inbox_depth().await.expect("the memory store answers")
    }
}

async fn hub(store: &Arc<Gated>, options: Options) -> Arc<Running> {
    let wiring = Wiring::new(Vec::new(), drivers(), Arc::new(TestPolicies));
    Running::start(store.clone(), store.inner.clone(), wiring, Clock::System, options).await.expect("it starts")
}

fn order(number: &str) -> OrderIntake {
    OrderIntake {
        channel: "ch".into(),
        site: "de".into(),
        number: number.into(),
        source: SystemName::new("hub"),
        body: canonical(number, "ship", "ground", &[], "test").into(),
        actor: "key:shop".into(),
        idempotency_key: None,
    }
}

fn note(key: &str) -> CommandRequest {
    CommandRequest {
        process: ProcessKey::new("order", "ch/de/1"),
        name: "note".into(),
        body: Value::Null,
        idempotency_key: key.into(),
        seen_version: None,
        actor: "person:anna".into(),
    }
}

/// What is awaited comes within this, or never.
async fn soon<T>(what: &str, awaited: impl Future<Output = T>) -> T {
    tokio::select! {
        found = awaited => found,
        () = clock::pause(Duration::seconds(20)) => panic!("{what}: not within 20 s"),
    }
}

/// Looks again until it is so.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    soon(what, async {
        while !holds().await {
            clock::pause(Duration::millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_hub_whose_partitions_went_to_another_node_ends_and_says_so() {
    let store = Gated::new();
    let hub = hub(&store, Options::default()).await;
    store.taken.store(true, Ordering::Relaxed);
    hub.accept_order(order("1")).await.expect("any node may accept");
    soon("its end", hub.stopped()).await;
    until("its reason", async || hub.is_fenced()).await;
    assert!(matches!(hub.readiness(), Err(HubError::Superseded)));
    assert!(matches!(hub.accept_order(order("2")).await, Err(HubError::Stopping)));
    assert_eq!(store.depth().await, 1, "what it accepted waits for the other node");
}

#[tokio::test]
async fn what_another_node_took_in_is_folded_without_a_restart() {
    let store = Gated::new();
    let hub = hub(&store, Options::default()).await;
    until("its start", async || hub.is_idle()).await;
    for number in ["1", "2", "3"] {
        let intake = order_intake_of(order(number), hub.now());
        store.inner.accept(vec![intake], None).await.expect("the memory store answers");
    }
    store.arrived.notify_one();
    until("the orders", async || store.depth().await == 0).await;
    hub.accept_order(order("4")).await.expect("it is open");
    until("its own order", async || store.depth().await == 0).await;
}

#[tokio::test]
async fn a_hub_whose_store_does_not_answer_is_not_ready_until_it_does() {
    let store = Gated::new();
    let hub = hub(&store, Options::default()).await;
    until("readiness", async || hub.readiness().is_ok()).await;
    store.gone.store(true, Ordering::Relaxed);
    until("its word", async || matches!(hub.readiness(), Err(HubError::Store(StoreError::Unavailable(_))))).await;
    store.gone.store(false, Ordering::Relaxed);
    until("readiness again", async || hub.readiness().is_ok()).await;
}

#[tokio::test]
async fn what_is_past_its_retention_is_removed_piece_by_piece_until_nothing_is_left() {
    let store = Gated::new();
    store.stale.store(2_500, Ordering::Relaxed);
    let retention = Retention { messages: Some(Duration::hours(48)), journal: None };
    let _hub = hub(&store, Options { retention, ..Options::default() }).await;
    until("its end", async || store.swept.lock().expect("no panic").len() == 4).await;
    assert_eq!(store.stale.load(Ordering::Relaxed), 0);
    for (now, folded_before) in store.swept.lock().expect("no panic").iter() {
        assert_eq!(*now - *folded_before, Duration::hours(48));
    }
}

#[tokio::test]
async fn messages_that_wait_in_the_store_for_want_of_memory_make_no_hub_unready_below_the_cap() {
    let store = Gated::new();
    store.commit.set(false);
    let core = Config { inbox_window: 4, ..Config::default() };
    let hub = hub(&store, Options { core, inbox_cap: 20, ..Options::default() }).await;
    for number in 0..10 {
        hub.accept_order(order(&number.to_string())).await.expect("it is open");
    }
    until("more than fit", async || hub.metrics().contains("crossdock_inbox_overflow 1")).await;
    assert!(hub.readiness().is_ok());
    for number in 10..20 {
        hub.accept_order(order(&number.to_string())).await.expect("it is open");
    }
    until("the cap", async || matches!(hub.readiness(), Err(HubError::Overloaded(_)))).await;
}

#[tokio::test]
async fn accepting_ends_at_the_cap_and_begins_again_below_it() {
    let store = Gated::new();
    store.commit.set(false);
    let core = Config { inbox_window: 4, ..Config::default() };
    let hub = hub(&store, Options { core, inbox_cap: 20, ..Options::default() }).await;
    let mut stored = 0;
    let refused = loop {
        match hub.accept_order(order(&stored.to_string())).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored <= 20, "more than its inbox may hold");
        tokio::task::yield_now().await;
    };
    assert!(matches!(refused, HubError::Overloaded(_)), "{refused:?}");
    assert_eq!((stored, store.depth().await), (20, 20), "what was accepted is there, and it was not refused before it had to be");
    store.commit.set(true);
    until("room", async || hub.accept_order(order("late")).await.is_ok()).await;
    until("the end of the backlog", async || store.depth().await == 0).await;
}

/// The core may read, fold and answer a command's row before `accept` has said that it is there.
#[tokio::test]
async fn a_command_is_answered_once_however_late_its_row_is_told_of() {
    let store = Gated::new();
    let first = hub(&store, Options::default()).await;
    first.accept_order(order("1")).await.expect("it is stored");
    until("the order", async || store.depth().await == 0).await;
    first.stop();

    store.inbox.set(false);
    let hub = hub(&store, Options::default()).await;
    store.accept.set(false);
    let asking = tokio::spawn({
        let hub = hub.clone();
        async move { hub.command(note("a")).await }
    });
    until("the command's row", async || store.depth().await == 1).await;
    store.inbox.set(true);
    until("its answer", async || store.depth().await == 0 && hub.is_idle()).await;
    store.accept.set(true);
    let answer = soon("the waiter", asking).await.expect("it ran");
    assert!(matches!(answer, Ok(Answer::Taken)), "{answer:?}");

    let again = soon("another command", hub.command(note("b"))).await;
    assert!(matches!(again, Ok(Answer::Taken)), "{again:?}");
    until("rest", async || store.depth().await == 0 && hub.is_idle()).await;
    let loaded = store.load(&ProcessKey::new("order", "ch/de/1")).await.expect("the memory store answers").expect("it began");
    assert!(loaded.exceptions.is_empty(), "{:?}", loaded.exceptions);
    let state: State = serde_json::from_slice(&loaded.row.state).expect("toys write JSON");
    assert_eq!(state.notes, [0, 0], "each is heard once");
}

async fn node(store: &Arc<Gated>, name: &str) -> Arc<Running> {
    let node = NodeOptions { name: name.into(), run: "1".into(), lease: Duration::millis(400), ..NodeOptions::default() };
    hub(store, Options { node, ..Options::default() }).await
}

fn shares(hub: &Running) -> Vec<(String, bool, u32)> {
    hub.nodes().into_iter().map(|node| (node.name, node.available, node.partitions)).collect()
}

#[tokio::test]
async fn any_node_answers_a_command_whoever_owns_its_process() {
    let store = Gated::shared();
    let (one, two) = (node(&store, "one").await, node(&store, "two").await);
    let even = [("one".to_owned(), true, 128), ("two".to_owned(), true, 128)];
    until("an even share", async || shares(&one) == even && shares(&two) == even).await;
    one.accept_order(order("1")).await.expect("it is stored");
    until("the order", async || store.depth().await == 0).await;
    let process = ProcessKey::new("order", "ch/de/1");
    for (at, hub) in [("a", &one), ("b", &two)] {
        let answer = soon("an answer", hub.command(note(at))).await;
        assert!(matches!(answer, Ok(Answer::Taken)), "{at}: {answer:?}");
        let version = store.load(&process).await.expect("it answers").expect("it is there").version;
        let refused = soon("a refusal", hub.command(CommandRequest { name: "no-such".into(), ..note(&format!("{at}2")) })).await;
        assert!(matches!(refused, Ok(Answer::Refused { ref code, .. }) if code == "unknown_command"), "{at}: {refused:?}");
        let stale = CommandRequest { seen_version: Some(version), ..note(&format!("{at}3")) };
        let found = soon("a conflict", hub.command(stale)).await;
        assert_eq!(found, Err(HubError::Conflict { seen: version, found: version + 1 }));
    }
    let state: State =
        serde_json::from_slice(&store.load(&process).await.expect("it answers").expect("it is there").row.state).expect("JSON");
    assert_eq!(state.notes, [0, 0]);
}

#[tokio::test]
async fn a_command_that_nobody_answers_in_time_is_said_to_be_stored() {
    let store = Gated::shared();
    let options = Options { answer_within: Duration::millis(200), ..Options::default() };
    let hub = hub(&store, options).await;
    hub.accept_order(order("1")).await.expect("it is stored");
    until("the order", async || store.depth().await == 0).await;
    store.commit.set(false);
    let answer = soon("a word", hub.command(note("a"))).await;
    assert_eq!(answer, Err(HubError::Unanswered(0)));
    store.commit.set(true);
    until("its carrying out", async || store.depth().await == 0).await;
}

#[tokio::test]
async fn a_node_that_stops_hands_over_at_once_and_one_that_falls_silent_is_replaced() {
    let store = Gated::shared();
    let (one, two) = (node(&store, "one").await, node(&store, "two").await);
    until("an even share", async || shares(&one).iter().all(|(_, _, share)| *share == 128) && shares(&one).len() == 2).await;
    one.stop();
    soon("its end", one.ended()).await;
    until("the whole", async || shares(&two) == [("two".to_owned(), true, 256)]).await;
    two.accept_order(order("1")).await.expect("it is stored");
    until("the order", async || store.depth().await == 0).await;

    let third = node(&store, "three").await;
    until("an even share", async || shares(&third).iter().all(|(_, _, share)| *share == 128) && shares(&third).len() == 2).await;
    // A node of that name is there: another would take its leases for its own.
    let wiring = Wiring::new(Vec::new(), drivers(), Arc::new(TestPolicies));
    let same = NodeOptions { name: "two".into(), run: "1".into(), ..NodeOptions::default() };
    let options = Options { node: same, ..Options::default() };
    let refused = Running::start(store.clone(), store.inner.clone(), wiring, Clock::System, options).await;
    assert!(matches!(refused.map(drop), Err(StoreError::Constraint(reason)) if reason.contains("two")));
}
