//! Orders with a life behind them, written into the store the way the engine writes: one transition after the other.

use crate::world::NOW;
use crossdock_canonical::{Duration, Operation, SystemName, Timestamp};
use crossdock_store::{
    EffectRow, EffectState, ExceptionRow, IdentityRow, MemoryStore, Payload, PayloadHash, Priority, ProcessKey, ProcessRow,
    Store, SummaryRow, Transition, TransitionId,
};
use serde_json::{Value as Json, json};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Text that is put wherever a system or a person could have put it.
#[derive(Clone)]
pub struct Words {
    pub number: String,
    pub anything: String,
}

pub fn words(number: &str) -> Words {
    Words { number: number.into(), anything: "Ridge down jacket".into() }
}

/// What the ERP answered, archived: holds a name.
pub const ANSWER: &str = r#"{"id":"SO-88213","party":"Hanna Beispiel"}"#;

/// An order that was authorized and booked (after an unclear answer and a probe), released to a warehouse that does not answer.
pub async fn silent_warehouse(store: &MemoryStore, site: &str, words: &Words) -> ProcessKey {
    let began = Timestamp::parse(NOW).expect("an instant") - Duration::minutes(40);
    let key = ProcessKey::new("order", &format!("sfcc/{site}/{}", words.number));
    let document = order_document(site, words).to_string();
    let answer = Payload { hash: PayloadHash::of(ANSWER.as_bytes()), bytes: ANSWER.as_bytes().into(), message: None };
    let request = Payload {
        hash: PayloadHash::of(b"{\"reference\":\"1\"}"),
        bytes: Arc::from(&b"{\"reference\":\"1\"}"[..]),
        message: None,
    };
    let document = Payload { hash: PayloadHash::of(document.as_bytes()), bytes: document.into_bytes().into(), message: None };
    let mut teller = Teller { store, key: key.clone(), version: 0, row: row(site, words, document.hash), at: began };

    let erp =
        effect(2, "create-erp-order", "", "erp", Operation::ErpCreateOrder, EffectState::Pending, began, Some(request.hash));
    teller
        .tell(
            json!({
                "in": {"kind": "message", "name": "order.placed", "from": "storefront", "payload": document.hash.to_string()},
                "events": [{"name": "order.accepted", "body": {"event": "accepted", "reference": {"number": words.number}}}],
                "effects": [{"no": 2, "step": "create-erp-order", "system": "erp", "state": "pending"}],
            }),
            vec![erp.clone()],
            vec![document, request, answer.clone()],
        )
        .await;
    teller.at = began + Duration::seconds(30);
    let unknown = EffectRow { state: EffectState::Unknown, attempts: 1, last: "unknown timeout".into(), ..erp.clone() };
    teller
        .tell(
            json!({
                "in": {"kind": "attempt", "name": "create-erp-order"},
                "attempt": {"no": 2, "generation": 1, "attempt": 1, "class": "unknown", "code": "timeout", "ms": 30_000},
            }),
            vec![unknown],
            vec![],
        )
        .await;
    teller.at = began + Duration::seconds(41);
    let done = EffectRow { state: EffectState::Done, attempts: 1, due: None, last: "done".into(), ..erp };
    let release = effect(3, "release-shipment", "ship-1", "wms", Operation::WmsRelease, EffectState::Parked, teller.at, None);
    teller
        .tell(
            json!({
                "in": {"kind": "attempt", "name": "create-erp-order"},
                "attempt": {"no": 2, "generation": 1, "attempt": 1, "class": "done", "probe": "complete", "ms": 612,
                    "response": answer.hash.to_string(), "evidence": {"order": words.anything}},
                "events": [{"name": "order.booked", "body": {"event": "step_done", "intent": words.anything}}],
            }),
            vec![done, release],
            vec![],
        )
        .await;
    teller.silent(words).await;
    payment(store, site, words, began).await;
    key
}

/// The order's payment: verified and captured in part.
async fn payment(store: &MemoryStore, site: &str, words: &Words, began: Timestamp) {
    let key = ProcessKey::new("payment", &format!("sfcc/{site}/{}", words.number));
    let eur = |amount: &str| json!({"amount": amount, "currency": "EUR"});
    let operation =
        |step: &str, amount: &str, state: &str| json!({"step": step, "intent": "p1", "amount": eur(amount), "state": state});
    let account = json!({"state": "open", "currency": "EUR", "tenders": [{
        "payment": "p1", "method": "CREDIT_CARD", "kind": "card", "amount": eur("332.75"),
        "operations": [
            operation("verify-tender", "332.75", "succeeded"),
            operation("capture-tender", "273.75", "succeeded"),
            operation("capture-tender", "59.00", "failed"),
        ],
    }]});
    let row =
        ProcessRow { state: account.to_string().into_bytes().into(), document: None, ..row(site, words, PayloadHash::of(b"")) };
    let mut teller = Teller { store, key, version: 0, row, at: began + Duration::seconds(2) };
    for (no, operation, step, amount) in
        [(1, Operation::PaymentVerify, "verify", "332.75"), (2, Operation::PaymentCapture, "capture", "273.75")]
    {
        let done = EffectRow { due: None, ..effect(no, step, "p1", "payments", operation, EffectState::Done, teller.at, None) };
        let record = json!({
            "in": {"kind": "attempt"},
            "attempt": {"no": no, "generation": 1, "attempt": 1, "class": "done", "ms": 640,
                "evidence": {"amount": {"amount": amount, "currency": "EUR"}, "transaction": "pi_1"}},
        });
        teller.tell(record, vec![done], vec![]).await;
    }
}

struct Teller<'a> {
    store: &'a MemoryStore,
    key: ProcessKey,
    version: u64,
    row: ProcessRow,
    at: Timestamp,
}

impl Teller<'_> {
    async fn tell(&mut self, record: Json, effects: Vec<EffectRow>, payloads: Vec<Payload>) {
        let transition = self.transition(record, effects, payloads);
        self.version = self.store.commit(transition).await.expect("a sound transition").version;
    }

    /// The deadline of the release passed.
    async fn silent(&mut self, words: &Words) {
        self.at = self.at + Duration::minutes(30);
        let cause = format!("wms has not told of shipment ship-1 of {} within 30m.", words.anything);
        let mut transition = self.transition(
            json!({"in": {"kind": "timer", "name": "ack/3"}, "exceptions": {"opened": [{"name": "silent", "class": "silent", "cause": cause}]}}),
            vec![],
            vec![],
        );
        transition.exceptions = vec![(
            "silent".into(),
            Some(ExceptionRow {
                class: "silent".into(),
                step: "release-shipment".into(),
                intent: "ship-1".into(),
                system: "wms".into(),
                cause: cause.into(),
                suggestion: "Ask the warehouse; its notice closes this.".into(),
                since: self.at,
                payload: None,
            }),
        )];
        let theirs: Arc<str> = format!("SO-{}", self.key.key.trim_start_matches("sfcc/DE/").replace('/', "-")).into();
        let reference = self.key.key.clone();
        transition.identities = vec![IdentityRow { system: "erp".into(), kind: "order".into(), ours: reference, theirs }];
        self.version = self.store.commit(transition).await.expect("a sound transition").version;
    }

    fn transition(&self, record: Json, effects: Vec<EffectRow>, payloads: Vec<Payload>) -> Transition {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Transition {
            id: TransitionId(NEXT.fetch_add(1, Ordering::Relaxed)),
            process: self.key.clone(),
            version: self.version,
            epoch: 0,
            at: self.at,
            actor: "system:storefront".into(),
            action: "fold".into(),
            settles: None,
            record: Some(record.to_string().into_bytes()),
            row: self.row.clone(),
            effects,
            timers: vec![],
            exceptions: vec![],
            messages: vec![],
            identities: vec![],
            payloads,
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "a row of a table")]
fn effect(
    no: u32,
    step: &str,
    intent: &str,
    system: &str,
    operation: Operation,
    state: EffectState,
    at: Timestamp,
    request: Option<PayloadHash>,
) -> EffectRow {
    EffectRow {
        no,
        step: step.into(),
        intent: intent.into(),
        system: SystemName::new(system),
        operation,
        generation: 1,
        key: format!("key{no}").into(),
        state,
        class: 20,
        due: state.is_open().then_some(at + Duration::minutes(60)),
        attempts: 0,
        deadline: at + Duration::minutes(5),
        made_at: at,
        request,
        last: "".into(),
    }
}

fn row(site: &str, words: &Words, document: PayloadHash) -> ProcessRow {
    let state = json!({
        "state": "placed",
        "sold": {
            "currency": "EUR",
            "total": {"amount": "332.75", "currency": "EUR"},
            "lines": [{"id": "1", "sku": words.anything, "kind": "physical", "quantity": {"value": "2", "unit": "EA"},
                "worth": {"amount": "332.75", "currency": "EUR"}}],
            "tenders": [{"payment": "p1", "method": "CREDIT_CARD", "amount": {"amount": "332.75", "currency": "EUR"}}],
        },
        "shipments": [{"id": "ship-1", "delivery": "ship", "lines": ["1"], "released_at": NOW}],
        "captured": [{"by": "d1", "payment": "p1", "amount": {"amount": "273.75", "currency": "EUR"}}],
    });
    ProcessRow {
        state: state.to_string().into_bytes().into(),
        schema: 1,
        logic: 1,
        policy: "9f31c2e7aa01".into(),
        document: Some(document),
        subject: format!("guest:sfcc/{site}/{}", words.number).into(),
        priority: Priority::Standard,
        opened_at: Timestamp::parse(NOW).expect("an instant") - Duration::minutes(40),
        summary: SummaryRow {
            channel: "sfcc".into(),
            site: site.into(),
            number: words.number.as_str().into(),
            market: "DE".into(),
            stage: "booked".into(),
            status: "open".into(),
            waiting_for: "wms: release-shipment ship-1".into(),
            total: "332.75".into(),
            currency: "EUR".into(),
        },
    }
}

pub fn order_document(site: &str, words: &Words) -> Json {
    let eur = |amount: &str| json!({"amount": amount, "currency": "EUR"});
    json!({
        "channel": "sfcc",
        "site": site,
        "number": words.number,
        "placed_at": NOW,
        "currency": "EUR",
        "taxation": "gross",
        "customer": {"guest": true, "name": "Hanna Beispiel", "email": "hanna@example.com"},
        "lines": [{
            "id": "1", "kind": "physical", "sku": words.anything, "name": words.anything,
            "quantity": {"value": "2", "unit": "EA"}, "unit_price": eur("166.375"),
            "net": eur("279.62"), "tax": eur("53.13"), "gross": eur("332.75"), "tax_rate": "0.19",
        }],
        "payments": [{"id": "p1", "method": "CREDIT_CARD", "kind": "card", "amount": eur("332.75"), "transaction": "pi_1"}],
        "totals": {"lines_net": eur("279.62"), "shipping_net": eur("0.00"), "tax": eur("53.13"), "grand": eur("332.75")},
    })
}
