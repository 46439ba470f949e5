//! The hub as a real store tells it, and ledgers as real simulators write them.

use crate::town::{Town, count_events};
use crossdock_canonical::Timestamp;
use crossdock_simulators::world::{Config, SYSTEMS, World};
use crossdock_store::{
    MemoryStore, Priority, ProcessKey, ProcessRow, ReadStore, SqliteStore, Store, SummaryRow, Transition, TransitionId,
};
use crossdock_verify::{HubView, Invariant, Options, parse_all, verify};
use std::{path::PathBuf, sync::Arc};

const STEPS: u64 = 3;

/// Order `number` at its `step`; its state is how many events there were.
fn transition(number: u64, step: u64) -> Transition {
    let key = format!("sfcc/RefArch-DE/{number:08}");
    Transition {
        id: TransitionId(number * 100 + step),
        process: ProcessKey::new("order", &key),
        version: step,
        epoch: 1,
        at: Timestamp(i64::try_from(step).expect("small") * 10),
        actor: "system:storefront".into(),
        action: "message order.placed".into(),
        settles: None,
        record: Some(
            br#"{"in":{"kind":"message","name":"order.observed","from":"storefront"},"events":[{"name":"x","body":null}]}"#
                .to_vec(),
        ),
        row: ProcessRow {
            state: Arc::from((step + 1).to_string().into_bytes()),
            schema: 1,
            logic: 1,
            policy: "ab".repeat(32).into(),
            document: None,
            subject: "guest:1".into(),
            priority: Priority::Standard,
            opened_at: Timestamp(0),
            summary: SummaryRow { status: "closed".into(), stage: "closed".into(), ..SummaryRow::default() },
        },
        effects: Vec::new(),
        timers: Vec::new(),
        exceptions: Vec::new(),
        messages: Vec::new(),
        identities: Vec::new(),
        payloads: Vec::new(),
    }
}

async fn fill(store: &impl Store) {
    store.lease("node", Timestamp(0)).await.expect("the only node takes the leases");
    for number in 1..=20 {
        for step in 0..STEPS {
            store.commit(transition(number, step)).await.expect("it follows the one before it");
        }
    }
}

async fn judge(store: &impl ReadStore) -> Vec<Invariant> {
    let hub = HubView::read(store).await.expect("the store answers");
    assert_eq!(hub.processes.len(), 20);
    verify(&parse_all([]), Some(&hub), Some(&count_events), &Options::at_rest(Timestamp(1_000))).violated().collect()
}

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("crossdock-verify-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary folder takes one more");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn both_stores_tell_a_whole_and_clean_history() {
    let memory = MemoryStore::new();
    fill(&memory).await;
    assert_eq!(judge(&memory).await, []);

    let folder = Folder::new("clean");
    let sqlite = SqliteStore::open(&crossdock_store::Options::new(folder.0.join("hub.db"))).expect("a new file opens");
    fill(&sqlite).await;
    assert_eq!(judge(&sqlite).await, []);
    let hub = HubView::read(&sqlite).await.expect("the store answers");
    assert_eq!(hub.offsets.len() as u64, 20 * STEPS);
}

#[tokio::test]
async fn a_store_edited_behind_the_hub_is_found() {
    let cases = [
        ("an actor", "UPDATE journal SET actor = 'nobody' WHERE seq = 7", vec![Invariant::I8]),
        ("a record", "UPDATE journal SET record = CAST('{}' AS BLOB) WHERE seq = 7", vec![Invariant::I8]),
        ("a row taken out", "DELETE FROM journal WHERE seq = 7", vec![Invariant::I8, Invariant::I10]),
        ("the newest row cut off", "DELETE FROM journal WHERE seq = 60", vec![Invariant::I8]),
        ("the state", "UPDATE process_state SET state = CAST('2' AS BLOB) WHERE no = 5", vec![Invariant::I8]),
    ];
    let folder = Folder::new("edited");
    for (index, (what, sql, expected)) in cases.into_iter().enumerate() {
        let path = folder.0.join(format!("{index}.db"));
        let store = SqliteStore::open(&crossdock_store::Options::new(&path)).expect("a new file opens");
        fill(&store).await;
        let changed = rusqlite::Connection::open(&path).and_then(|conn| conn.execute(sql, [])).expect("the file takes the edit");
        assert_eq!(changed, 1, "{what}");
        assert_eq!(judge(&store).await, expected, "{what}");
    }
}

#[test]
fn ledgers_of_the_simulators_are_understood() {
    let mut world = World::new(7, Config::default());
    for minute in 0..40 {
        world.place_next(minute * 60_000);
    }
    let texts: Vec<(&str, String)> =
        SYSTEMS.iter().map(|system| (*system, world.ledger(system).expect("it is listed").lines(0))).collect();
    let ledgers = parse_all(texts.iter().map(|(system, lines)| (*system, lines.as_str())));
    // A hub that took none of them: every order is lost, and nothing else is wrong.
    let hub = HubView { processes: std::collections::BTreeMap::new(), ..Town::new().hub };
    let report = verify(&ledgers, Some(&hub), None, &Options::at_rest(Timestamp(i64::MAX)));
    assert_eq!(report.violated().collect::<Vec<_>>(), [Invariant::I1], "{report}");
    assert!(!report.notes.iter().any(|note| note.contains("not understood")), "{report}");
    assert_eq!(report.counts["orders placed"], 40);
}
