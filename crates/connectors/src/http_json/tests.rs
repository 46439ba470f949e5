//! The demo's systems, driven against small stand-ins; and what a faulty configuration is told.

use crate::testing::{body_of, build, built, call, money, respond, target_of, whole_call};
use crossdock_canonical::{Operation, OutcomeClass, Timestamp};
use crossdock_connect::conformance::{Case, World, check, check_unsupported};
use crossdock_connect::http::{Method, Request, Response};
use crossdock_connect::webhook::Mac;
use crossdock_connect::{About, Call, Connector, Exchange, Next, NextPoll, NextProbe, Probe, WebhookError};
use crossdock_value::{Value, value};
use std::collections::BTreeMap;

const ERP: &str = include_str!("../../../../landscapes/demo/systems/erp.yaml");
const WAREHOUSE: &str = include_str!("../../../../landscapes/demo/systems/warehouse.yaml");
const INVENTORY: &str = include_str!("../../../../landscapes/demo/systems/inventory.yaml");
const FRAUD: &str = include_str!("../../../../landscapes/demo/systems/fraud.yaml");
const TAX: &str = include_str!("../../../../landscapes/demo/systems/tax.yaml");
const GIFTCARD: &str = include_str!("../../../../landscapes/demo/systems/giftcard.yaml");
const NOTIFICATION: &str = include_str!("../../../../landscapes/demo/systems/notification.yaml");

/// A back office of collections: a record under each path, found by its unique reference.
#[derive(Default)]
struct Office {
    records: BTreeMap<String, Vec<Value>>,
    made: usize,
    /// Records that were there before the call under test.
    before: usize,
    refuses: bool,
}

impl Office {
    fn with(paths: &[(&str, Value)]) -> Self {
        let mut office = Self::default();
        for (path, record) in paths {
            office.records.entry((*path).to_owned()).or_default().push(record.clone());
        }
        office.before = paths.len();
        office
    }

    fn find(&self, path: &str, field: &str, wanted: &str) -> Vec<Value> {
        let rows = self.records.get(path).into_iter().flatten();
        rows.filter(|record| record.get(field).as_str() == Some(wanted)).cloned().collect()
    }
}

fn refusal(status: u16, code: &str) -> Response {
    respond(status, &value!({"error": {"code": code, "message": "no"}}))
}

impl World for Office {
    fn answer(&mut self, request: &Request) -> Response {
        if request.find_header("x-api-key") != Some("crossdock-sim") {
            return refusal(401, "unauthorized");
        }
        let (path, query) = target_of(request);
        let place = path.join("/");
        if request.method == Method::Get {
            return match query.iter().find(|(name, _)| name == "external_reference") {
                Some((_, reference)) => respond(200, &value!({"data": (self.find(&place, "external_reference", reference))})),
                None => {
                    let (parent, id) = place.rsplit_once('/').expect("a record's path");
                    match self.find(parent, "id", id).first() {
                        Some(record) => respond(200, record),
                        None => refusal(404, "not_found"),
                    }
                }
            };
        }
        if self.refuses {
            return refusal(422, "unknown_sku");
        }
        let mut record = body_of(request);
        match (request.method, path.iter().map(String::as_str).collect::<Vec<_>>().as_slice()) {
            // Reservations and tax transactions are named by the caller.
            (Method::Put, [collection, id]) => {
                if let Some(known) = self.find(collection, "id", id).first() {
                    return respond(200, known);
                }
                record.insert("id", *id);
                record.insert("state", "reserved");
                self.records.entry((*collection).to_owned()).or_default().push(record.clone());
            }
            (Method::Delete, [collection, id]) => {
                let rows = self.records.get_mut(*collection).into_iter().flatten();
                let Some(known) = rows.into_iter().find(|record| record.get("id").as_str() == Some(id)) else {
                    return refusal(404, "not_found");
                };
                known.insert("state", "released");
                record = known.clone();
            }
            (Method::Post, ["transactions", code, verb @ ("commit" | "void")]) => {
                let rows = self.records.get_mut("transactions").into_iter().flatten();
                let Some(known) = rows.into_iter().find(|record| record.get("id").as_str() == Some(code)) else {
                    return refusal(404, "not_found");
                };
                let state = if *verb == "commit" { "committed" } else { "voided" };
                if known.get("state").as_str() == Some(state) {
                    return respond(200, known);
                }
                known.insert("state", state);
                record = known.clone();
            }
            (Method::Post, ["transactions"]) => {
                let code = record.get("code").as_str().expect("a code").to_owned();
                if !self.find("transactions", "id", &code).is_empty() {
                    return refusal(409, "duplicate_reference");
                }
                record.insert("id", code.as_str());
                record.insert("state", "saved");
                self.records.entry("transactions".into()).or_default().push(record.clone());
                // Saving alone is not the effect: committing is.
                return respond(201, &record);
            }
            _ => {
                let reference = record.get("external_reference").as_str().expect("a reference").to_owned();
                if !self.find(&place, "external_reference", &reference).is_empty() {
                    return refusal(409, "duplicate_reference");
                }
                record.insert("id", format!("R-{}", self.made + 1));
                record.insert("decision", "approve");
                self.records.entry(place).or_default().push(record.clone());
            }
        }
        self.made += 1;
        respond(201, &record)
    }

    fn applied(&self) -> usize {
        self.made
    }
}

fn pieces(line: &str, sku: &str, count: &str) -> Value {
    value!({"line": line, "sku": sku, "quantity": {"value": count, "unit": "EA"}})
}

fn some_lines() -> Value {
    value!([(pieces("line-sweater", "100101-M", "2")), (pieces("line-set", "100201", "1"))])
}

fn every_piece() -> Value {
    value!([
        (pieces("line-sweater", "100101-M", "2")),
        (pieces("line-set", "100201", "1")),
        (pieces("line-sample", "100900", "1"))
    ])
}

fn sales_order() -> (&'static str, Value) {
    ("sales-orders", value!({"id": "SO-7", "external_reference": "sfcc/RefArch-DE/00000410"}))
}

#[test]
fn every_operation_of_the_demos_systems_keeps_the_promises_of_a_connector() {
    let eur = |amount: &str| money(amount, "EUR");
    let all = value!([
        (pieces("line-sweater", "", "2")),
        (pieces("line-set", "", "1")),
        (pieces("line-sample", "", "1")),
        (pieces("gift-1", "", "1"))
    ]);
    let id = whole_call(Operation::Screen, Value::Null).order.order_id();
    let fulfilment_order = ("fulfilment-orders", value!({"id": "FO-3", "external_reference": "sfcc/RefArch-DE/00000410#me"}));
    let reservation = ("reservations", value!({"id": (id.as_str()), "state": "reserved"}));
    let card = value!({"payment": "pay-gift", "amount": (eur("25.00")), "transaction": "GA-1", "token": "gc_4f2a7788", "reason": "cancelled"});
    let saved = ("transactions", value!({"id": (id.as_str()), "state": "saved"}));
    let nothing = Vec::new();
    type Records = Vec<(&'static str, Value)>;
    let cases: Vec<(&str, Operation, Value, Records)> = vec![
        (
            ERP,
            Operation::ErpCreateOrder,
            value!({"lines": (all.clone()), "total": (eur("265.67")), "shipments": []}),
            nothing.clone(),
        ),
        (ERP, Operation::ErpCancelOrder, value!({"lines": (some_lines()), "whole": false}), vec![sales_order()]),
        (
            ERP,
            Operation::ErpPostDelivery,
            value!({"shipment": "me", "lines": (some_lines()), "tracking": "TRK1"}),
            vec![sales_order()],
        ),
        (
            ERP,
            Operation::ErpPostInvoice,
            value!({"shipment": "me", "amount": (eur("1.00")), "tax": (eur("0.16"))}),
            vec![sales_order()],
        ),
        (
            ERP,
            Operation::ErpPostPayment,
            value!({"payment": "pay-card", "amount": (eur("1.00")), "kind": "capture"}),
            vec![sales_order()],
        ),
        (
            ERP,
            Operation::ErpPostPayment,
            value!({"payment": "pay-card", "amount": (eur("1.00")), "kind": "refund"}),
            vec![sales_order()],
        ),
        (
            WAREHOUSE,
            Operation::WmsRelease,
            value!({"shipment": "me", "lines": (some_lines()), "delivery": "ship"}),
            nothing.clone(),
        ),
        (WAREHOUSE, Operation::WmsCancel, value!({"shipment": "me", "lines": (some_lines())}), vec![fulfilment_order]),
        (INVENTORY, Operation::Reserve, value!({"lines": (some_lines())}), nothing.clone()),
        (INVENTORY, Operation::ReleaseStock, value!({"lines": (some_lines())}), vec![reservation.clone()]),
        (INVENTORY, Operation::FulfilStock, value!({"lines": (some_lines())}), vec![reservation]),
        (FRAUD, Operation::Screen, value!({}), nothing.clone()),
        (TAX, Operation::TaxCommit, value!({"tax": (eur("34.43"))}), nothing.clone()),
        (TAX, Operation::TaxVoid, value!({"tax": (eur("34.43"))}), vec![saved]),
        (GIFTCARD, Operation::PaymentAuthorize, card.clone(), nothing.clone()),
        (GIFTCARD, Operation::PaymentCapture, card.clone(), nothing.clone()),
        (GIFTCARD, Operation::PaymentVoid, card.clone(), nothing.clone()),
        (GIFTCARD, Operation::PaymentRefund, card, nothing.clone()),
        (NOTIFICATION, Operation::Notify, value!({"template": "order_confirmed"}), nothing),
    ];
    for (yaml, operation, args, records) in cases {
        let connector = built(yaml);
        let refusing = records.clone();
        let call = if operation == Operation::ErpCreateOrder { whole_call(operation, args) } else { call(operation, args) };
        let case = Case {
            call,
            world: Box::new(move || Box::new(Office::with(&records))),
            refusing: Some(Box::new(move || Box::new(Office { refuses: true, ..Office::with(&refusing) }))),
            reads_only: false,
            // Saving a tax transaction before it is committed is not its effect.
            resumes: operation == Operation::TaxCommit,
        };
        check(&*connector, &case);
    }
}

#[test]
fn what_a_system_is_not_configured_for_is_unsupported() {
    check_unsupported(&*built(NOTIFICATION), &call(Operation::Notify, Value::Null));
}

fn sent(connector: &dyn Connector, call: &Call) -> Request {
    let prepared = connector.prepare(call).unwrap_or_else(|error| panic!("{error}"));
    match connector.next(call, &prepared.bytes, &[]) {
        Next::Send(request) => request,
        Next::End(outcome) => panic!("{outcome:?}"),
    }
}

fn decimal(value: &Value) -> crossdock_value::Decimal {
    value.as_decimal().or_else(|| crossdock_value::decimal::read(value.as_str()?)).expect("an amount")
}

#[test]
fn an_erp_order_adds_up_to_what_the_shopper_pays_also_when_lines_are_gone() {
    let connector = built(ERP);
    let all = value!([
        (pieces("line-sweater", "", "2")),
        (pieces("line-set", "", "1")),
        (pieces("line-sample", "", "1")),
        (pieces("gift-1", "", "1"))
    ]);
    let part = value!([(pieces("line-sweater", "", "1")), (pieces("gift-1", "", "1"))]);
    for (lines, total) in [(all, "265.67"), (part, "131.02")] {
        let call = whole_call(Operation::ErpCreateOrder, value!({"lines": lines, "total": (money(total, "EUR"))}));
        let body = body_of(&sent(&*connector, &call));
        let rows = body.get("lines").as_arr().into_iter().chain(body.get("charges").as_arr()).flatten();
        assert_eq!(
            rows.map(|row| decimal(row.get("amount"))).sum::<crossdock_value::Decimal>(),
            decimal(body.get("total")),
            "{body}"
        );
        assert_eq!(body.get("total").as_str(), Some(total));
    }
}

#[test]
fn stock_is_released_whole_or_in_part() {
    let connector = built(INVENTORY);
    let request = sent(&*connector, &call(Operation::ReleaseStock, value!({"lines": (every_piece())})));
    assert_eq!(request.method, Method::Delete);
    let request = sent(&*connector, &call(Operation::ReleaseStock, value!({"lines": (some_lines())})));
    assert_eq!((request.method, request.target.ends_with("/releases")), (Method::Post, true));
    assert_eq!(body_of(&request).at("lines.0.location").as_str(), Some("DC-EU"));
}

#[test]
fn a_known_id_saves_the_look_up() {
    let connector = built(ERP);
    let mut call = call(Operation::ErpPostDelivery, value!({"shipment": "me", "lines": (some_lines())}));
    assert!(sent(&*connector, &call).target.starts_with("/sales-orders?external_reference=sfcc%2FRefArch-DE%2F00000410"));
    call.identities = value!({"order": {"sfcc/RefArch-DE/00000410": "SO/7"}});
    assert_eq!(sent(&*connector, &call).target, "/sales-orders/SO%2F7/deliveries");
}

#[test]
fn the_tax_quote_takes_the_orders_discounts_off_its_lines() {
    let connector = built(TAX);
    let body = body_of(&sent(&*connector, &call(Operation::TaxQuote, Value::Null)));
    let sum: crossdock_value::Decimal =
        body.get("lines").as_arr().expect("lines").iter().map(|line| decimal(line.get("amount"))).sum();
    // 265.67 less the gift certificate, which is not taxed when it is sold.
    assert!((sum - decimal(&value!("215.67"))).abs() <= decimal(&value!("0.01")), "{body}");
    assert_eq!((body.get("country").as_str(), body.get("taxation").as_str()), (Some("DE"), Some("gross")));
}

fn answered(connector: &dyn Connector, call: &Call, response: Response) -> crossdock_canonical::Outcome {
    let prepared = connector.prepare(call).expect("prepares");
    let Next::Send(request) = connector.next(call, &prepared.bytes, &[]) else { panic!("sends") };
    match connector.next(call, &prepared.bytes, &[Exchange { request, answer: Ok(response) }]) {
        Next::End(outcome) => outcome,
        Next::Send(request) => panic!("{request:?}"),
    }
}

#[test]
fn answers_are_classified_by_rules_first_and_by_the_table_after() {
    use OutcomeClass::*;
    let connector = built(WAREHOUSE);
    let mut call = call(Operation::WmsCancel, value!({"shipment": "me", "lines": (some_lines())}));
    call.identities = value!({"shipment": {"sfcc/RefArch-DE/00000410#me": "FO-3"}});
    let error = |code: &str| value!({"error": {"code": code}});
    let results = value!({"id": "FC-1", "results": [{"line": "a", "state": "applied"}, {"line": "b", "state": "failed"}]});
    for (status, body, class, code) in [
        (201, value!({"id": "FC-1", "results": [{"line": "a", "state": "applied"}]}), Done, ""),
        (200, results, Refused, "partly_applied"),
        (202, value!({"state": "accepted"}), Accepted, "http_202"),
        (409, error("already_picked"), Refused, "already_picked"),
        (409, error("duplicate_reference"), Unknown, "duplicate_reference"),
        (409, error("key_reused"), Misconfigured, "key_reused"),
        (409, value!(null), Refused, "http_409"),
        (429, error("throttled"), Retry, "http_429"),
        (503, error("unavailable"), Retry, "http_503"),
        (500, error("internal"), Unknown, "http_500"),
        (401, error("unauthorized"), Misconfigured, "http_401"),
    ] {
        let outcome = answered(&*connector, &call, respond(status, &body));
        assert_eq!((outcome.class, outcome.code.as_str()), (class, code), "{status} {body}");
    }
    // A success that cannot be read was still a success.
    let outcome = answered(&*connector, &call, respond(200, &value!([1])));
    assert_eq!((outcome.class, outcome.code.as_str()), (Unknown, "unreadable_answer"));
}

fn notification(secret: &str, body: &str) -> Request {
    let hex: String =
        Mac::new(secret.as_bytes()).with(body.as_bytes()).finish().iter().map(|byte| format!("{byte:02x}")).collect();
    Request::new(Method::Post, "/inbound/v1/warehouse").header("X-Signature", format!("sha256={hex}")).json(body.as_bytes())
}

const SHIPPED: &str = r#"{"id":"evt_1","type":"fulfilment.shipped","sequence":3,"occurred_at":"2026-11-24T11:00:00Z",
  "external_reference":"sfcc/RefArch-DE/00000410#me","channel":"sfcc","site":"RefArch-DE","order":"00000410",
  "lines":[{"line":"line-sweater","sku":"100101-M","quantity":"2"}],"parcel":{"id":"P-1","carrier":"DHL","tracking_number":"TRK1"},"final":true}"#;

#[test]
fn a_notification_is_verified_addressed_and_translated() {
    let connector = built(WAREHOUSE);
    let system = "warehouse".into();
    let messages = connector.webhook(&system, &notification("whsec-warehouse-sim", SHIPPED), Timestamp(0)).expect("verifies");
    assert_eq!((messages.len(), messages[0].id.as_deref(), messages[0].kind.as_str()), (1, Some("evt_1"), "shipment.notice"));
    assert!(matches!(&messages[0].about, About::Order(order) if order.to_string() == "sfcc/RefArch-DE/00000410"));
    assert_eq!(&*messages[0].body, SHIPPED.as_bytes(), "the raw bytes are kept");
    let notice = connector.translate("shipment.notice", &messages[0].body).expect("translates");
    let notice: crossdock_canonical::shipment::ShipmentNotice = crossdock_value::from_value(&notice).expect("a notice");
    assert_eq!(
        (notice.shipment.as_str(), notice.parcel.as_deref(), notice.tracking.as_deref()),
        ("me", Some("P-1"), Some("TRK1"))
    );
    assert_eq!(notice.lines[0].quantity.to_string(), "2 EA");
    let forged = connector.webhook(&system, &notification("other", SHIPPED), Timestamp(0));
    assert_eq!(forged, Err(WebhookError::BadSignature));
    let strange = SHIPPED.replace("fulfilment.shipped", "fulfilment.painted");
    assert!(connector.translate("shipment.notice", strange.as_bytes()).expect_err("no stage").to_string().contains("painted"));
}

#[test]
fn what_the_webhook_dropped_is_polled() {
    let connector = built(WAREHOUSE);
    let poll = |cursor: &Value, exchanges: &[Exchange]| connector.poll(cursor, exchanges, Timestamp(0)).expect("is polled");
    let NextPoll::Send(request) = poll(&Value::Null, &[]) else { panic!("sends") };
    assert_eq!(request.target, "/events?after=0&limit=200");
    let mut event = crossdock_value::parse_str(SHIPPED).expect("JSON");
    event.insert("position", 17);
    let answer = Ok(respond(200, &value!({"data": [event]})));
    let NextPoll::Page { messages, cursor, more } = poll(&Value::Null, &[Exchange { request, answer }]) else { panic!("a page") };
    assert_eq!((messages.len(), messages[0].id.as_deref(), cursor.as_i64(), more), (1, Some("evt_1"), Some(17), false));
    let NextPoll::Send(request) = poll(&cursor, &[]) else { panic!("sends") };
    assert_eq!(request.target, "/events?after=17&limit=200");
    let answer = Ok(respond(200, &value!({"data": []})));
    let NextPoll::Page { cursor, .. } = poll(&cursor, &[Exchange { request, answer }]) else { panic!("a page") };
    assert_eq!(cursor.as_i64(), Some(17), "an empty page moves nothing");
}

#[test]
fn every_fault_of_a_configuration_is_named_at_its_place() {
    let yaml = r#"
connector: http-json
roles: [erp]
auth: {kind: heeder, name: x-api-key, value: sim:a}
settings:
  identity: uniqe
  operations:
    erp.create_ordr: {method: POST, path: /x}
    wms.release: {method: POST, path: /x, identity: none}
    erp.create_order:
      method: PUSH
      path: sales-orders/{.order.number
      body: {total: '.document.totals.', lines: 5}
      outcomes: [{when: '.status = 409', class: refusd}, {class: done}]
      probe: {path: '/x?r={.refrence | @urii}', verdicts: [{when: true, verdict: there}]}
    erp.post_invoice:
      method: POST
      path: /x
      identity: unique_reference
  inbound: {verify: {kind: hmac, header: x, secret: plain}, messages: '.body | selct(true)'}
  extra: 1
mappings: {erp.cancel_order: {x: '.key'}}
"#;
    let faults = build(yaml).err().expect("faults");
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    for (path, said) in [
        ("auth.kind", "`heeder`"),
        ("settings.identity", "unique_reference"),
        ("settings.operations[erp.create_ordr]", "did you mean `erp.create_order`"),
        ("settings.operations[wms.release]", "another role"),
        ("settings.operations[erp.create_order].method", "PUSH"),
        ("settings.operations[erp.create_order].path", "`}`"),
        ("settings.operations[erp.create_order].body.total", ""),
        ("settings.operations[erp.create_order].body.lines", "expected a jq expression"),
        ("settings.operations[erp.create_order].outcomes[0].class", "refusd"),
        ("settings.operations[erp.create_order].outcomes[1]", "`when` is missing"),
        ("settings.operations[erp.create_order].probe.path", "urii"),
        ("settings.operations[erp.create_order].probe.verdicts[0].verdict", "`there`"),
        ("settings.operations[erp.post_invoice].probe", "say how"),
        ("settings.inbound.verify.secret", "named, not written"),
        ("settings.inbound.messages", "did you mean select"),
        ("settings.extra", "not a setting"),
        ("mappings[erp.cancel_order]", "belongs to no operation"),
    ] {
        assert!(
            told.iter().any(|fault| fault.starts_with(&format!("{path}: ")) && fault.contains(said)),
            "{path} {said}\n{told:#?}"
        );
    }
    let probe = faults.iter().find(|fault| fault.path.ends_with("probe.path")).expect("listed");
    let span = probe.span.clone().expect("a place within the text");
    assert_eq!(&"/x?r={.refrence | @urii}"[span], "@urii");
}

#[test]
fn a_landscape_mapping_sets_fields_on_what_goes_out_and_on_what_comes_in() {
    let yaml = format!(
        "{NOTIFICATION}\nmappings: {{notification.send: {{template: '\"loud_\" + .args.template', data.tone: '\"warm\"', locale: 'null'}}}}"
    );
    let body = body_of(&sent(&*built(&yaml), &call(Operation::Notify, value!({"template": "order_confirmed"}))));
    assert_eq!((body.get("template").as_str(), body.at("data.tone").as_str()), (Some("loud_order_confirmed"), Some("warm")));
    assert_eq!(body.get("locale").as_str(), Some("de_DE"), "null leaves what the connector made");
    let yaml = format!(
        "{WAREHOUSE}\nmappings: {{shipment.notice: {{carrier: '.body.parcel.carrier | ascii_downcase', tracking: 'null'}}}}"
    );
    let notice = built(&yaml).translate("shipment.notice", SHIPPED.as_bytes()).expect("translates");
    assert_eq!((notice.get("carrier").as_str(), notice.get("tracking").as_str()), (Some("dhl"), Some("TRK1")));
}

#[test]
fn a_body_that_cannot_be_made_names_its_field_and_sends_nothing() {
    let yaml = "
connector: http-json
roles: [notification]
settings:
  operations:
    notification.send: {method: POST, path: '/m/{.args.absent}', body: {a: '.args.template.x'}, identity: none, headers: {x-a: '.args.template'}}
";
    let connector = built(yaml);
    let fails = |args: Value| connector.prepare(&call(Operation::Notify, args)).expect_err("nothing to send").to_string();
    assert!(fails(value!({"template": "a"})).contains("notification.send.path"), "{}", fails(value!({"template": "a"})));
    assert!(fails(value!({"template": "a", "absent": "b"})).contains("notification.send.a"));
    assert!(fails(value!({"template": "a\r\nx: y", "absent": "b"})).contains("no line breaks"));
}

/// An ERP that takes an order twice, and says so when it is asked.
const TAKES_TWICE: &str = r#"
connector: http-json
roles: [erp]
settings:
  operations:
    erp.create_order:
      method: POST
      path: /orders
      identity: lookup_only
      evidence: '{order: .record.id}'
      identities: '[{kind: "order", ours: .order.reference, theirs: .record.id}]'
      probe:
        path: /orders?reference={.reference}
        record: .body.data[0]
        verdicts:
          - {when: '(.body.data | length) == 0', verdict: absent}
          - when: (.body.data | length) > 1
            verdict: several
            records: '[.body.data[] | {id, gone: (.state == "cancelled")}]'
          - {when: .status == 200, verdict: complete}
      retract:
        method: POST
        path: /orders/{.copy}/cancellations
        body: {reference: '"\(.reference)/copy/\(.copy)"'}
        outcomes: [{when: '.body.code == "already_cancelled"', class: done}]
"#;

#[test]
fn of_what_is_there_twice_all_but_ours_is_taken_back() {
    let erp = built(TAKES_TWICE);
    let found = |call: &Call, records: Value| {
        let NextProbe::Send(request) = erp.probe(call, b"", &[]) else { panic!("it asks") };
        match erp.probe(call, b"", &[Exchange { request, answer: Ok(respond(200, &value!({"data": records}))) }]) {
            NextProbe::End(probe) => probe,
            NextProbe::Send(request) => panic!("{request:?}"),
        }
    };
    let copies = |call: &Call, records: Value| match found(call, records) {
        Probe::Several { copies, .. } => copies,
        other => panic!("{other:?}"),
    };
    let unnamed = whole_call(Operation::ErpCreateOrder, Value::Null);
    let mut named = unnamed.clone();
    named.identities = value!({"order": {(unnamed.order.to_string().as_str()): "SO-2"}});
    let three = value!([{"id": "SO-1", "state": "open"}, {"id": "SO-2", "state": "open"}, {"id": "SO-3", "state": "cancelled"}]);
    assert_eq!(copies(&unnamed, three.clone()), ["SO-2"], "the first is ours as long as none is known");
    assert_eq!(copies(&named, three), ["SO-1"]);
    let ours_is_gone = value!([{"id": "SO-1", "state": "open"}, {"id": "SO-2", "state": "cancelled"}]);
    assert_eq!(copies(&named, ours_is_gone), ["SO-1"], "that ours was cancelled makes nothing else ours");
    let taken_back = value!([{"id": "SO-1", "state": "cancelled"}, {"id": "SO-2", "state": "open"}]);
    assert!(matches!(found(&named, taken_back), Probe::Complete(_)));
    assert!(matches!(found(&named, value!([{"id": 1}, {"id": "SO-2"}])), Probe::Unclear(_)), "an id is text");
}

#[test]
fn copies_are_taken_back_one_after_the_other_and_what_is_gone_already_is_no_fault() {
    let erp = built(TAKES_TWICE);
    assert!(erp.capability(Operation::ErpCreateOrder).is_some_and(|capability| capability.retracts));
    let call = whole_call(Operation::ErpCreateOrder, Value::Null);
    let copies = ["SO-2".to_owned(), "SO 3".to_owned()];
    let mut exchanges = Vec::new();
    for (path, answer) in [
        ("/orders/SO-2/cancellations", respond(201, &value!({}))),
        ("/orders/SO%203/cancellations", respond(409, &value!({"code": "already_cancelled"}))),
    ] {
        let Next::Send(request) = erp.retract(&call, &copies, &exchanges) else { panic!("one is left") };
        assert_eq!(request.target, path);
        exchanges.push(Exchange { request, answer: Ok(answer) });
    }
    let ended = |exchanges: &[Exchange]| match erp.retract(&call, &copies, exchanges) {
        Next::End(outcome) => outcome.class,
        Next::Send(request) => panic!("{request:?}"),
    };
    assert_eq!(body_of(&exchanges[1].request).get("reference").as_str(), Some(format!("{}/copy/SO 3", call.reference).as_str()));
    assert_eq!(ended(&exchanges), OutcomeClass::Done, "nothing of the answer is read as what an order gives");
    exchanges[0].answer = Ok(respond(422, &value!({"code": "delivered"})));
    assert_eq!(ended(&exchanges[..1]), OutcomeClass::Refused);
}

#[test]
fn what_cannot_name_its_copies_cannot_take_them_back() {
    let yaml = TAKES_TWICE.replace("            records: '[.body.data[] | {id, gone: (.state == \"cancelled\")}]'\n", "");
    let faults = build(&yaml).err().expect("a fault").iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(faults[0].starts_with("settings.operations[erp.create_order].retract: "), "{faults:?}");
    let yaml = TAKES_TWICE.replace("verdict: complete}", "verdict: complete, records: '.body.data'}");
    let faults = build(&yaml).err().expect("a fault").iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(faults[0].contains("verdicts[2].records"), "{faults:?}");
}
