//! A stored order, traced to text.

use super::*;
use crate::exit::Failure;
use crossdock_canonical::{Operation, SystemName, Timestamp};
use crossdock_store::{
    EffectRow, EffectState, ExceptionRow, IdentityRow, MemoryStore, Priority, ProcessRow, Store, SummaryRow, Transition,
    TransitionId,
    sqlite::{Options, SqliteStore},
};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

fn transition(process: ProcessKey, version: u64, at: i64, record: &str) -> Transition {
    static IDS: AtomicU64 = AtomicU64::new(1);
    let mut parts = process.key.split('/').map(Arc::<str>::from);
    let mut part = || parts.next().expect("an order's key has three parts");
    let (channel, site, number) = (part(), part(), part());
    Transition {
        id: TransitionId(IDS.fetch_add(1, Ordering::Relaxed)),
        process,
        version,
        epoch: 1,
        at: Timestamp(at),
        actor: "system:storefront".into(),
        action: "message order.placed".into(),
        settles: None,
        record: Some(record.as_bytes().to_vec()),
        row: ProcessRow {
            state: Arc::from(*b"{}"),
            schema: 1,
            logic: 1,
            policy: "ab".repeat(32).into(),
            document: None,
            subject: "guest:1".into(),
            priority: Priority::Standard,
            opened_at: Timestamp(0),
            summary: SummaryRow {
                channel,
                site,
                number,
                market: "DE".into(),
                stage: "released".into(),
                status: "open".into(),
                waiting_for: "warehouse: release ship-1".into(),
                total: "129.90".into(),
                currency: "EUR".into(),
            },
        },
        effects: Vec::new(),
        timers: Vec::new(),
        exceptions: Vec::new(),
        messages: Vec::new(),
        identities: Vec::new(),
        payloads: Vec::new(),
    }
}

/// An order whose warehouse never answers, its payment, and another site's order of the same number.
async fn fill(store: &impl Store) {
    store.lease("node", Timestamp(0)).await.expect("the only node takes the leases");
    let order = ProcessKey::new("order", "sfcc/DE/0001");
    let accepted = transition(
        order.clone(),
        0,
        1_000,
        r#"{"in":{"kind":"message","name":"order.placed","from":"storefront","payload":"ab"},"events":[{"name":"order.accepted","body":{}}],
            "effects":[{"no":1,"step":"book_erp","system":"erp","operation":"erp.create_order","generation":1,"key":"k1","state":"pending"}],
            "timers":{"set":{"ship_within":"1970-01-02T00:00:00Z"}}}"#,
    );
    let attempt = transition(
        order.clone(),
        1,
        1_500,
        r#"{"in":{"kind":"attempt","name":"book_erp","from":"erp"},"attempt":{"no":1,"generation":1,"attempt":1,"class":"unknown","code":"timeout","ms":400},
            "effects":[{"no":1,"step":"book_erp","system":"erp","operation":"erp.create_order","generation":1,"key":"k1","state":"unknown"}]}"#,
    );
    let probe = transition(
        order.clone(),
        2,
        2_000,
        r#"{"in":{"kind":"attempt","name":"book_erp","from":"erp"},"attempt":{"no":1,"generation":1,"attempt":2,"class":"retry","code":"absent","probe":"absent","ms":7},
            "effects":[{"no":1,"step":"book_erp","system":"erp","operation":"erp.create_order","generation":2,"key":"k2","state":"pending"}]}"#,
    );
    let mut silent = transition(
        order.clone(),
        3,
        9_000,
        r#"{"in":{"kind":"deadline","name":"release"},"exceptions":{"opened":[{"name":"effect-2","class":"silent","cause":"no answer"}]},
            "timers":{"cancelled":["ship_within"]}}"#,
    );
    silent.effects.push(EffectRow {
        no: 2,
        step: "release".into(),
        intent: "ship-1".into(),
        system: SystemName::new("warehouse"),
        operation: Operation::WmsRelease,
        generation: 1,
        key: "k3".into(),
        state: EffectState::Accepted,
        class: 1,
        due: None,
        attempts: 1,
        deadline: Timestamp(8_000),
        made_at: Timestamp(3_000),
        request: None,
        last: "accepted".into(),
    });
    silent.exceptions.push((
        "effect-2".into(),
        Some(ExceptionRow {
            class: "silent".into(),
            step: "release".into(),
            intent: "ship-1".into(),
            system: "warehouse".into(),
            cause: "no answer".into(),
            suggestion: "look at the system".into(),
            since: Timestamp(9_000),
            payload: None,
        }),
    ));
    silent.identities.push(IdentityRow {
        system: SystemName::new("erp"),
        kind: "order".into(),
        ours: "sfcc/DE/0001".into(),
        theirs: "SO77".into(),
    });
    let mut hold = transition(
        order,
        4,
        9_500,
        r#"{"in":{"kind":"command","name":"hold","from":"person:pat"},"answer":{"answer":"refused","code":"too_late","text":"it is shipping"},"reason":"a call"}"#,
    );
    hold.actor = "person:pat".into();
    let mut payment = transition(
        ProcessKey::new("payment", "sfcc/DE/0001"),
        0,
        1_200,
        r#"{"in":{"kind":"command","name":"authorize","from":"process:order:sfcc/DE/0001"},"events":[{"name":"payment.asked","body":{}}],"answer":{"answer":"taken"}}"#,
    );
    payment.actor = "process:order:sfcc/DE/0001".into();
    let other = transition(ProcessKey::new("order", "sfcc/GB/0001"), 0, 1_000, r#"{"in":{"kind":"message"}}"#);
    let longer = transition(ProcessKey::new("order", "sfcc/GB/00012"), 0, 1_000, r#"{"in":{"kind":"message"}}"#);
    for transition in [accepted, attempt, probe, silent, hold, payment, other, longer] {
        store.commit(transition).await.expect("it follows the one before it");
    }
}

async fn filled() -> Source {
    let store = MemoryStore::new();
    fill(&store).await;
    Source::Store(Arc::new(store))
}

/// A store file of its own, removed at the end.
struct StoreFile(PathBuf);

impl StoreFile {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("crossdock-trace-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the temporary folder takes one more");
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.join("hub.db")
    }
}

impl Drop for StoreFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const TEXT: &str = "\
order    sfcc/DE/0001  market DE  total 129.90 EUR
status   open  stage released  waiting for warehouse: release ship-1
opened   1970-01-01T00:00:00.000Z  last change 1970-01-01T00:00:09.500Z
known    erp           order       sfcc/DE/0001 = SO77
OPEN     silent at warehouse: release ship-1  since 1970-01-01T00:00:09.000Z
         no answer
         do: look at the system

1970-01-01T00:00:01.000Z  order    message order.placed from storefront
                                     event      order.accepted
                                     effect     book_erp: erp.create_order at erp, generation 1, key k1, pending
                                     timer      ship_within at 1970-01-02T00:00:00.000Z
1970-01-01T00:00:01.200Z  payment  command authorize by process:order:sfcc/DE/0001: taken
                                     event      payment.asked
1970-01-01T00:00:01.500Z  order    attempt 1 erp.create_order at erp (book_erp): unknown timeout, 400 ms
                                     effect     book_erp: unknown
1970-01-01T00:00:02.000Z  order    probe erp.create_order at erp (book_erp): absent, 7 ms
                                     effect     book_erp: erp.create_order at erp, generation 2, key k2, pending
1970-01-01T00:00:09.000Z  order    no answer to release by its deadline
                                     timer      ship_within cancelled
                                     EXCEPTION  silent effect-2: no answer
1970-01-01T00:00:09.500Z  order    command hold by person:pat (\"a call\"): refused too_late: it is shipping
";

#[tokio::test]
async fn a_store_file_tells_the_whole_life_of_an_order() {
    let file = StoreFile::new("life");
    let store = SqliteStore::open(&Options::new(file.path())).expect("a new file opens");
    fill(&store).await;
    let source = Source::Store(Arc::new(store));
    let life = life(&source, "sfcc/DE/0001").await.map_err(|failure| format!("{failure:?}")).expect("the order is there");
    assert_eq!(life.to_string(), TEXT);

    let json = serde_json::to_value(&life).expect("a life is plain data");
    assert_eq!(json["transitions"].as_array().map(Vec::len), Some(6));
    assert_eq!(
        (&json["transitions"][2]["attempt"]["class"], &json["transitions"][2]["tried"]["system"]),
        (&"unknown".into(), &"erp".into())
    );
    assert_eq!(json["exceptions"][0]["system"], "warehouse");
}

#[tokio::test]
async fn an_order_is_found_by_as_little_as_names_it() {
    let source = filled().await;
    for (text, order) in
        [("sfcc/DE/0001", "sfcc/DE/0001"), ("GB/0001", "sfcc/GB/0001"), ("00012", "sfcc/GB/00012"), ("SO77", "sfcc/DE/0001")]
    {
        assert_eq!(find(&source, text).await.as_deref(), Ok(order), "{text}");
    }
}

#[tokio::test]
async fn a_number_of_several_orders_is_bad_usage_that_lists_them() {
    let source = filled().await;
    let Err(Failure::Usage(said)) = find(&source, "0001").await else { panic!("0001 is two orders") };
    assert!(said.contains("sfcc/DE/0001") && said.contains("sfcc/GB/0001") && !said.contains("00012"), "{said}");
    assert!(matches!(find(&source, "a/b/c/d").await, Err(Failure::Usage(_))));
}

#[tokio::test]
async fn an_order_that_is_not_there_is_a_fault() {
    let source = filled().await;
    assert!(matches!(find(&source, "9").await, Err(Failure::Fault(text)) if text == "there is no order 9"));
    assert!(matches!(life(&source, "sfcc/DE/9").await.err(), Some(Failure::Fault(_))));
}

#[tokio::test]
async fn a_store_that_a_hub_has_open_is_not_touched_and_says_how_to_ask_the_hub() {
    let file = StoreFile::new("locked");
    let _hub = SqliteStore::open(&Options::new(file.path())).expect("a new file opens");
    let failure = source::open(&file.path()).err();
    assert!(matches!(&failure, Some(Failure::Fault(text)) if text.contains("--url")), "{failure:?}");
    let nothing = source::open(&file.0.join("other.db")).err();
    assert!(matches!(nothing, Some(Failure::Usage(_))));
    assert!(!file.0.join("other.db").exists(), "asking makes no store");
}
