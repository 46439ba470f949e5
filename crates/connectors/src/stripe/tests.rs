//! The promises of a connector against a small stand-in for Stripe that keeps keys as Stripe does, stored 500s included.

use crate::testing::{body_of as json_body, build, built, call, money, respond, target_of};
use crossdock_canonical::{Operation, OutcomeClass, Timestamp};
use crossdock_connect::conformance::{Case, World, check, check_unsupported};
use crossdock_connect::http::{Method, Request, Response};
use crossdock_connect::webhook::Mac;
use crossdock_connect::{About, Call, Exchange, Next, NextProbe, Probe, WebhookError};
use crossdock_value::{Value, value};
use std::collections::BTreeMap;
use std::sync::Arc;

const SYSTEM: &str = "
connector: stripe
roles: [payment]
auth: {secret_key: 'env:KEY', webhook_secret: 'env:WEBHOOK'}
settings: {multi_capture: true, settling: 1s}
";

/// One account: intents, refunds, and the answers it keeps by key.
struct Account {
    intents: Vec<Value>,
    refunds: Vec<Value>,
    keys: BTreeMap<String, (String, Response)>,
    applied: usize,
    declines: bool,
}

fn account(intent: Option<Value>, declines: bool) -> Account {
    Account { intents: intent.into_iter().collect(), refunds: Vec::new(), keys: BTreeMap::new(), applied: 0, declines }
}

fn intent(status: &str) -> Value {
    value!({"object": "payment_intent", "id": "pi_1", "amount": 26567, "amount_capturable": 26567, "amount_received": 0, "currency": "eur",
        "status": status, "created": 1764000000, "metadata": {"order": "sfcc/RefArch-DE/00000410"}, "latest_charge": {"id": "ch_1"}})
}

fn form(request: &Request) -> BTreeMap<String, String> {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    body.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(n, v)| (crate::testing::decode(n), crate::testing::decode(v)))
        .collect()
}

fn error(status: u16, kind: &str, code: &str) -> Response {
    respond(status, &value!({"error": {"type": kind, "code": code, "message": code}}))
}

impl Account {
    fn handle(&mut self, request: &Request) -> Response {
        let (path, query) = target_of(request);
        let form = form(request);
        let metadata: Value = form
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix("metadata[")?.strip_suffix(']')?, value.as_str())))
            .collect::<crossdock_value::Map>()
            .into();
        let minor = |name: &str| form.get(name).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        match (request.method, &parts[1..]) {
            (Method::Get, ["payment_intents"]) => {
                assert!(query.iter().all(|(name, _)| ["limit", "starting_after"].contains(&name.as_str())), "{query:?}");
                let rows: Value = self.intents.iter().rev().cloned().collect();
                respond(200, &value!({"object": "list", "data": rows, "has_more": false}))
            }
            (Method::Get, ["refunds"]) => {
                respond(200, &value!({"object": "list", "data": (self.refunds.clone()), "has_more": false}))
            }
            (Method::Get, ["payment_intents", _]) => match self.intents.first() {
                Some(intent) => respond(200, intent),
                None => error(404, "invalid_request_error", "resource_missing"),
            },
            (Method::Post, ["payment_intents"]) if self.declines => respond(
                402,
                &value!({"error": {"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds"}}),
            ),
            (Method::Post, ["payment_intents"]) => {
                let mut made = intent("requires_capture");
                made.insert("amount", minor("amount"));
                made.insert("amount_capturable", minor("amount"));
                made.insert("metadata", metadata);
                made.insert("created", 1_764_000_000);
                self.intents.push(made.clone());
                self.applied += 1;
                respond(200, &made)
            }
            (Method::Post, ["payment_intents", _, verb]) => {
                let Some(held) = self.intents.first_mut() else { return error(404, "invalid_request_error", "resource_missing") };
                if held.get("status").as_str() != Some("requires_capture") {
                    let mut body =
                        value!({"error": {"type": "invalid_request_error", "code": "payment_intent_unexpected_state"}});
                    body.set("error.payment_intent", held.clone());
                    return respond(400, &body);
                }
                if *verb == "cancel" {
                    held.insert("status", "canceled");
                } else {
                    assert_eq!(form.get("final_capture").map(String::as_str), Some("true"));
                    held.insert("status", "succeeded");
                    held.insert("amount_received", minor("amount_to_capture"));
                    for (name, value) in metadata.as_obj().expect("metadata").iter() {
                        held.set(&format!("metadata.{name}"), value.clone());
                    }
                }
                self.applied += 1;
                respond(200, &held.clone())
            }
            (Method::Post, ["refunds"]) => {
                if self.intents.is_empty() {
                    return error(404, "invalid_request_error", "resource_missing");
                }
                let mut refund = value!({"object": "refund", "id": "re_1", "status": "succeeded", "currency": "eur", "payment_intent": "pi_1"});
                refund.insert("amount", minor("amount"));
                refund.insert("metadata", metadata);
                self.refunds.push(refund.clone());
                self.applied += 1;
                respond(200, &refund)
            }
            other => panic!("{other:?}"),
        }
    }
}

impl World for Account {
    fn answer(&mut self, request: &Request) -> Response {
        assert_eq!(request.find_header("authorization"), Some("Bearer placeholder"));
        let Some(key) = request.find_header("idempotency-key") else {
            assert_eq!(request.method, Method::Get, "every change has a key");
            return self.handle(request);
        };
        let parameters = format!("{} {}", request.target, String::from_utf8_lossy(&request.body));
        if let Some((known, answer)) = self.keys.get(key) {
            return if *known == parameters { answer.clone() } else { error(400, "idempotency_error", "idempotency_key_in_use") };
        }
        let answer = self.handle(request);
        self.keys.insert(key.to_owned(), (parameters, answer.clone()));
        answer
    }

    fn applied(&self) -> usize {
        self.applied
    }
}

fn effect(operation: Operation) -> Call {
    let args = match operation {
        Operation::PaymentAuthorize => {
            value!({"payment": "pay-card", "amount": (money("240.67", "EUR")), "method": "CREDIT_CARD", "token": "pm_card_visa"})
        }
        Operation::PaymentCapture => {
            value!({"payment": "pay-card", "amount": (money("240.67", "EUR")), "transaction": "pi_1", "final": true})
        }
        Operation::PaymentRefund => {
            value!({"payment": "pay-card", "amount": (money("10.00", "EUR")), "transaction": "pi_1", "reason": "requested_by_customer"})
        }
        _ => value!({"payment": "pay-card", "amount": (money("265.67", "EUR")), "transaction": "pi_1"}),
    };
    let mut call = call(operation, args);
    call.at = Timestamp(1_764_000_000_000);
    call
}

#[test]
fn every_payment_operation_keeps_the_promises_of_a_connector() {
    let connector = built(SYSTEM);
    let held = || Some(intent("requires_capture"));
    let cases: [(Operation, Option<Value>, Account, bool); 5] = [
        (Operation::PaymentVerify, held(), account(Some(intent("canceled")), false), true),
        (Operation::PaymentAuthorize, None, account(None, true), false),
        (Operation::PaymentCapture, held(), account(Some(intent("canceled")), false), false),
        (Operation::PaymentVoid, held(), account(Some(intent("succeeded")), false), false),
        (Operation::PaymentRefund, held(), account(None, false), false),
    ];
    for (operation, intent, refusing, reads_only) in cases {
        let refusing = std::cell::RefCell::new(Some(refusing));
        let case = Case {
            call: effect(operation),
            world: Box::new(move || Box::new(account(intent.clone(), false))),
            refusing: Some(Box::new(move || Box::new(refusing.borrow_mut().take().expect("asked for once")))),
            reads_only,
            resumes: false,
        };
        check(&*connector, &case);
    }
    check_unsupported(&*connector, &effect(Operation::PaymentVoid));
}

fn ends(operation: Operation, status: u16, body: &Value) -> crossdock_canonical::Outcome {
    let connector = built(SYSTEM);
    let call = effect(operation);
    let prepared = connector.prepare(&call).expect("prepares");
    let Next::Send(request) = connector.next(&call, &prepared.bytes, &[]) else { panic!("sends") };
    match connector.next(&call, &prepared.bytes, &[Exchange { request, answer: Ok(respond(status, body)) }]) {
        Next::End(outcome) => outcome,
        Next::Send(_) => panic!("ends"),
    }
}

#[test]
fn errors_have_their_classes() {
    use OutcomeClass::*;
    let error = |kind: &str, code: &str| value!({"error": {"type": kind, "code": code}});
    let declined = value!({"error": {"type": "card_error", "code": "card_declined", "decline_code": "lost_card"}});
    for (status, body, class, code) in [
        (402, declined, Refused, "lost_card"),
        (400, error("idempotency_error", "x"), Misconfigured, "x"),
        (409, error("idempotency_error", "idempotency_key_in_use"), Retry, "idempotency_key_in_use"),
        (409, error("invalid_request_error", "lock_timeout"), Retry, "lock_timeout"),
        (429, error("invalid_request_error", "rate_limit"), Retry, "rate_limit"),
        (400, error("invalid_request_error", "amount_too_large"), Refused, "amount_too_large"),
        (401, value!({}), Misconfigured, "http_401"),
        (500, error("api_error", "x"), Unknown, "http_500"),
        (200, value!({}), Unknown, "malformed_answer"),
    ] {
        let outcome = ends(Operation::PaymentAuthorize, status, &body);
        assert_eq!((outcome.class, outcome.code.as_str()), (class, code), "{status} {body}");
    }
}

#[test]
fn an_authorization_is_verified_by_amount_currency_and_state() {
    for (field, found, class) in [
        ("status", value!("requires_capture"), OutcomeClass::Done),
        ("status", value!("canceled"), OutcomeClass::Refused),
        ("status", value!("requires_payment_method"), OutcomeClass::Refused),
        ("amount_capturable", value!(26566), OutcomeClass::Refused),
        ("currency", value!("usd"), OutcomeClass::Refused),
    ] {
        let mut held = intent("requires_capture");
        held.insert(field, found);
        let outcome = ends(Operation::PaymentVerify, 200, &held);
        assert_eq!(outcome.class, class, "{field}: {outcome:?}");
    }
    let outcome = ends(Operation::PaymentVerify, 200, &intent("requires_capture"));
    assert_eq!(outcome.evidence.at("amount.amount").as_str(), Some("265.67"));
    assert_eq!(
        outcome.evidence.get("expires_at").as_str(),
        Some("2025-12-01T16:00:00.000Z"),
        "seven days when the network does not say"
    );
}

#[test]
fn amounts_are_minor_units_of_their_currency() {
    let connector = built(SYSTEM);
    for (amount, currency, minor) in
        [("12.50", "EUR", Some("1250")), ("1250", "JPY", Some("1250")), ("1.250", "KWD", Some("1250")), ("0.5", "JPY", None)]
    {
        let mut call = effect(Operation::PaymentRefund);
        call.args.insert("amount", money(amount, currency));
        let body = connector.prepare(&call).ok().map(|prepared| String::from_utf8_lossy(&prepared.bytes).into_owned());
        match (minor, body) {
            (Some(minor), Some(body)) => assert!(body.contains(&format!("&amount={minor}&")), "{body}"),
            (None, None) => {}
            (minor, body) => panic!("{amount} {currency}: {minor:?} {body:?}"),
        }
    }
}

#[test]
fn a_stored_500_is_looked_up_and_never_resent_under_its_key() {
    let connector = built(SYSTEM);
    let call = effect(Operation::PaymentAuthorize);
    let prepared = connector.prepare(&call).expect("prepares");
    let probe = |rows: Value| {
        let NextProbe::Send(request) = connector.probe(&call, &prepared.bytes, &[]) else { panic!("asks") };
        let answer = Ok(respond(200, &value!({"data": rows, "has_more": false})));
        match connector.probe(&call, &prepared.bytes, &[Exchange { request, answer }]) {
            NextProbe::End(probe) => probe,
            NextProbe::Send(_) => panic!("ends"),
        }
    };
    assert_eq!(probe(value!([])), Probe::Absent);
    let mut ours = intent("requires_capture");
    ours.insert("amount_capturable", 24067);
    ours.set("metadata.reference", &*call.reference);
    assert!(matches!(probe(value!([(intent("requires_capture")), (ours.clone())])), Probe::Complete(_)));
    ours.insert("status", "requires_payment_method");
    assert_eq!(probe(value!([ours])), Probe::Absent, "a declined attempt holds nothing");
}

/// What a probe of `call` finds in these pages, and how many it read.
fn probed(system: &str, call: &Call, pages: &[Value]) -> (Probe, usize) {
    let connector = built(system);
    let prepared = connector.prepare(call).expect("prepares");
    let mut exchanges = Vec::new();
    loop {
        match connector.probe(call, &prepared.bytes, &exchanges) {
            NextProbe::End(probe) => return (probe, exchanges.len()),
            NextProbe::Send(request) => {
                let answer = Ok(respond(200, &pages[exchanges.len()]));
                exchanges.push(Exchange { request, answer });
            }
        }
    }
}

/// An account that captures once: `final_capture` and the mark of a capture are not sent.
const ONCE: &str = "{connector: stripe, roles: [payment], auth: {secret_key: 'env:KEY'}}";

#[test]
fn a_capture_is_marked_only_where_there_may_be_several() {
    let mut part = effect(Operation::PaymentCapture);
    part.args.insert("final", false);
    for (system, call, marked) in
        [(SYSTEM, effect(Operation::PaymentCapture), true), (ONCE, effect(Operation::PaymentCapture), false), (ONCE, part, true)]
    {
        let prepared = built(system).prepare(&call).expect("prepares");
        let body = String::from_utf8_lossy(&prepared.bytes).into_owned();
        assert_eq!(body.contains("metadata"), marked, "{body}");
    }
}

#[test]
fn the_only_capture_of_an_intent_is_found_by_its_state_and_amount() {
    enum Is {
        Ours,
        Another,
        NotThere,
    }
    let whole = || value!({"object": "payment_intent", "id": "pi_1", "amount": 24067, "currency": "eur", "status": "succeeded"});
    let with = |field: &str, value: Value| {
        let mut found = whole();
        found.set(field, value);
        found
    };
    let cases: [(&str, Value, Is); 11] = [
        ("nothing else is told", whole(), Is::Ours),
        ("in another currency", with("currency", "usd".into()), Is::Another),
        ("all of it", with("amount_received", 24067.into()), Is::Ours),
        ("another sum", with("amount_received", 10000.into()), Is::Another),
        ("the charge tells the sum", with("latest_charge", value!({"amount": 30000, "amount_captured": 24067})), Is::Ours),
        ("the charge tells another", with("latest_charge", value!({"amount": 24067, "amount_captured": 10000})), Is::Another),
        ("the rest shows as refunded", with("latest_charge", value!({"amount": 30000, "amount_refunded": 5933})), Is::Ours),
        ("more was refunded", with("latest_charge", value!({"amount": 30000, "amount_refunded": 6000})), Is::Another),
        ("by another capture's mark", with("metadata.capture_0102", "24067 k".into()), Is::Another),
        ("still held", with("status", "requires_capture".into()), Is::NotThere),
        ("cancelled", with("status", "canceled".into()), Is::Another),
    ];
    let call = effect(Operation::PaymentCapture);
    for (what, intent, is) in cases {
        let (probe, _) = probed(ONCE, &call, &[intent]);
        let holds = match is {
            Is::Ours => matches!(&probe, Probe::Complete(outcome) if outcome.class == OutcomeClass::Done),
            Is::Another => matches!(&probe, Probe::MovedOn(outcome) if outcome.class == OutcomeClass::Refused),
            Is::NotThere => probe == Probe::Absent,
        };
        assert!(holds, "{what}: {probe:?}");
    }
    let unmarked = probed(SYSTEM, &call, &[whole()]).0;
    assert!(matches!(unmarked, Probe::MovedOn(_)), "of several captures only the mark tells which one it was: {unmarked:?}");
}

#[test]
fn an_authorization_holds_its_amount_where_nothing_else_is_told() {
    let mut held = intent("requires_capture");
    let map =
        value!({"object": "payment_intent", "id": "pi_1", "amount": 26567, "currency": "eur", "status": "requires_capture"});
    assert_eq!(ends(Operation::PaymentVerify, 200, &map).class, OutcomeClass::Done);
    held.insert("amount_capturable", 100);
    assert_eq!(ends(Operation::PaymentVerify, 200, &held).class, OutcomeClass::Refused, "a told sum counts");
}

/// Lists come newest first, so the search for an authorization ends where the account was before it was asked for.
#[test]
fn a_lost_authorization_is_looked_for_no_further_back_than_it_was_made() {
    let call = effect(Operation::PaymentAuthorize);
    let at = call.at.0 / 1_000;
    let page = |ages: &[i64], more: bool| {
        let rows: Value = ages.iter().map(|age| value!({"id": (format!("pi_{age}")), "created": (at - age)})).collect();
        value!({"data": rows, "has_more": more})
    };
    for (pages, read) in [
        (vec![page(&[-60, 10, 299], true), page(&[299, 400], true)], 2),
        (vec![page(&[-60, 10, 301], true)], 1),
        (vec![page(&[], false)], 1),
        (vec![page(&[900, 800], true), page(&[700, -60], false)], 2),
    ] {
        assert_eq!(probed(SYSTEM, &call, &pages), (Probe::Absent, read), "{pages:?}");
    }
}

fn delivered(body: &str, at: i64) -> Request {
    let signature = Mac::new(b"placeholder").with(format!("{at}.{body}").as_bytes()).finish();
    let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    Request::new(Method::Post, "/inbound/v1/payment").header("stripe-signature", format!("t={at},v1={hex}")).json(body.as_bytes())
}

#[test]
fn events_are_verified_addressed_and_translated() {
    let connector = built(SYSTEM);
    let system = "payment".into();
    let order =
        r#""metadata":{"order":"sfcc/RefArch-DE/00000410","payment":"pay-card","reference":"sfcc/RefArch-DE/00000410#r1"}"#;
    let event = |kind: &str, object: String| format!(r#"{{"id":"evt_1","type":"{kind}","data":{{"object":{{{object}}}}}}}"#);
    let cases = [
        (
            "payment_intent.succeeded",
            format!(r#""object":"payment_intent","id":"pi_1","amount_received":500,"currency":"eur",{order}"#),
            vec!["captured"],
        ),
        (
            "payment_intent.canceled",
            format!(r#""object":"payment_intent","id":"pi_1","amount":500,"currency":"eur",{order}"#),
            vec!["voided"],
        ),
        (
            "refund.updated",
            format!(r#""object":"refund","id":"re_1","amount":500,"currency":"jpy","status":"pending",{order}"#),
            vec!["refund_pending"],
        ),
        (
            "refund.updated",
            format!(r#""object":"refund","id":"re_1","amount":500,"currency":"eur","status":"succeeded",{order}"#),
            vec!["refunded", "done"],
        ),
        (
            "refund.failed",
            format!(r#""object":"refund","id":"re_1","amount":500,"currency":"eur","status":"failed",{order}"#),
            vec!["refund_failed", "refused"],
        ),
        ("customer.created", r#""object":"customer""#.to_owned(), vec![]),
    ];
    for (kind, object, told) in cases {
        let messages =
            connector.webhook(&system, &delivered(&event(kind, object), 1_000), Timestamp(1_000_000)).expect("verifies");
        let heard: Vec<String> = messages
            .iter()
            .map(|message| {
                assert!(matches!(&message.about, About::Order(order) if order.number.as_str() == "00000410"));
                let body = connector.translate(&message.kind, &message.body).expect("translates");
                let word = if message.kind == "payment.notice" { body.get("event") } else { body.at("outcome.class") };
                word.as_str().unwrap_or("").to_owned()
            })
            .collect();
        assert_eq!(heard, told, "{kind}");
    }
    let foreign = event(
        "payment_intent.succeeded",
        r#""object":"payment_intent","id":"pi_9","amount_received":500,"currency":"eur","metadata":{}"#.into(),
    );
    let messages = connector.webhook(&system, &delivered(&foreign, 1_000), Timestamp(1_000_000)).expect("verifies");
    assert_eq!(messages[0].about, About::Theirs { kind: "payment".into(), id: "pi_9".into() });
    let mut forged = delivered(&foreign, 1_000);
    forged.body = Arc::from(foreign.replace("500", "900").into_bytes());
    assert_eq!(connector.webhook(&system, &forged, Timestamp(1_000_000)), Err(WebhookError::BadSignature));
}

#[test]
fn the_secret_key_is_a_reference() {
    let faults = build("{connector: stripe, roles: [payment], auth: {secret_key: sk_live_1}, settings: {multi_captur: true}}")
        .err()
        .expect("faults");
    let told = faults.iter().map(|fault| format!("{fault}\n")).collect::<String>();
    assert!(
        told.contains("auth.secret_key") && told.contains("did you mean `multi_capture`") && !told.contains("sk_live"),
        "{told}"
    );
    assert!(json_body(&Request::new(Method::Get, "/")).is_null());
}
