//! The contract's rules, role by role, through the wire format.

use rust_decimal::Decimal;

use super::Identity;
use crate::faults::{Faults, Rates};
use crate::json::Json;
use crate::{Config, Request, SYSTEMS, World};

struct Caller {
    world: World,
    now: i64,
}

impl Caller {
    fn new(config: Config) -> Self {
        Caller { world: World::new(1, config), now: 0 }
    }

    fn call(&mut self, system: &str, method: &str, path: &str, body: &str) -> (u16, Json) {
        self.send(system, Request::new(method, path, body))
    }

    fn send(&mut self, system: &str, request: Request) -> (u16, Json) {
        let request = request.header("x-api-key", "crossdock-sim");
        let response = self.world.handle(system, &request, self.now).unwrap().response.expect("no fault cuts this call");
        (response.status, Json::parse(&response.body).unwrap_or(Json::Null))
    }

    /// The status and the error code, or the state.
    fn outcome(&mut self, system: &str, method: &str, path: &str, body: &str) -> (u16, String) {
        let (status, json) = self.call(system, method, path, body);
        let code = json.get("error").map_or(json.text("state"), |e| e.text("code")).to_owned();
        (status, code)
    }

    fn rows(&self, system: &str, operation: &str) -> usize {
        self.world.ledger(system).unwrap().rows().iter().filter(|r| r.operation == operation).count()
    }

    fn faults(&mut self, system: &str, change: impl FnOnce(&mut Rates)) {
        let mut faults = Faults::default();
        change(&mut faults.rates);
        self.world.set_faults(system, faults, self.now);
    }
}

/// A body with the common members and more.
fn body(reference: &str, more: &str) -> String {
    format!(r#"{{"external_reference":"{reference}","channel":"sfcc","site":"RefArch-DE","order":"00000001",{more}}}"#)
}

const SALE: &str = r#""currency":"EUR","total":"30.00","lines":[{"line":"1","sku":"100101-S","quantity":2,"amount":"20.00"},
    {"line":"2","sku":"GIFT-CARD","quantity":"1","amount":5}],"charges":[{"code":"shipping","amount":"5.00"}]"#;

const PICK: &str = r#""location":"DC-EU","ship_to":{"name":"S","street":"A 1","city":"Berlin","postal_code":"10115","country":"DE"},
    "lines":[{"line":"1","sku":"100101-S","quantity":2},{"line":"2","sku":"100104-OS","quantity":1}]"#;

#[test]
fn a_repeated_reference_does_what_the_identity_mode_says() {
    let with = |mode| {
        let identity = [("erp".to_owned(), mode)].into_iter().collect();
        Caller::new(Config { identity, ..Config::default() })
    };
    let mut unique = with(Identity::UniqueReference);
    assert_eq!(unique.call("erp", "POST", "/sales-orders", &body("A", SALE)).0, 201);
    let (status, answer) = unique.call("erp", "POST", "/sales-orders", &body("A", SALE));
    assert_eq!((status, answer.get("error").unwrap().text("existing_id")), (409, "SO-1"));
    assert_eq!(unique.rows("erp", "sales_order.create"), 1);

    let mut lookup = with(Identity::LookupOnly);
    for _ in 0..2 {
        assert_eq!(lookup.call("erp", "POST", "/sales-orders", &body("A", SALE)).0, 201);
    }
    assert_eq!(lookup.rows("erp", "sales_order.create"), 2, "this one really makes it twice");
    let (_, found) = lookup.call("erp", "GET", "/sales-orders?external_reference=A", "");
    assert_eq!(found.list("data").len(), 2);

    let mut keyed = with(Identity::NativeKey);
    assert_eq!(keyed.outcome("erp", "POST", "/sales-orders", &body("A", SALE)), (400, "key_required".into()));
    let mut send = |key: &str, reference: &str| {
        let request = Request::new("POST", "/sales-orders", body(reference, SALE)).header("idempotency-key", key);
        let (status, json) = keyed.send("erp", request);
        (status, json.text("id").to_owned())
    };
    assert_eq!(send("k1", "A"), (201, "SO-1".into()));
    assert_eq!(send("k1", "A"), (201, "SO-1".into()));
    assert_eq!(send("k1", "B").0, 409);
    assert_eq!(send("k2", "A"), (201, "SO-2".into()));
    assert_eq!(keyed.rows("erp", "sales_order.create"), 2);
}

#[test]
fn the_erp_refuses_what_it_cannot_book_and_leaves_no_row() {
    let mut caller = Caller::new(Config::default());
    let address = |region: &str| {
        format!(
            r#""ship_to":{{"name":"S","street":"A 1","city":"X","postal_code":"1","region":"{region}","country":"US"}},{SALE}"#
        )
    };
    for (case, more, expected) in [
        ("unknown sku", SALE.replace("100101-S", "NOPE"), (422, "unknown_sku")),
        ("total", SALE.replace("30.00", "30.01"), (422, "total_mismatch")),
        ("scale", SALE.replace("30.00", "30.001"), (422, "amount_scale")),
        ("yen with decimals", SALE.replace("EUR", "JPY").replace("\"20.00\"", "20.5"), (422, "amount_scale")),
        ("line twice", SALE.replace("\"line\":\"2\"", "\"line\":\"1\""), (400, "bad_request")),
        ("region in words", address("California"), (422, "malformed_address")),
        ("no lines", r#""currency":"EUR","total":0"#.into(), (400, "bad_request")),
    ] {
        let outcome = caller.outcome("erp", "POST", "/sales-orders", &body("A", &more));
        assert_eq!(outcome, (expected.0, expected.1.to_owned()), "{case}");
    }
    assert_eq!(caller.outcome("erp", "POST", "/sales-orders", &body("A", &address("CA"))), (201, "open".into()));
    assert_eq!(caller.rows("erp", "sales_order.create"), 1);
    let (status, _) = caller.send("erp", Request::new("GET", "/sales-orders/SO-1", "").header("X-Api-Key", "wrong"));
    assert_eq!(status, 401, "the first key counts");
}

#[test]
fn an_erp_order_is_delivered_invoiced_and_cancelled_within_its_limits() {
    let mut caller = Caller::new(Config::default());
    caller.call("erp", "POST", "/sales-orders", &body("A", SALE));
    let path = |kind: &str| format!("/sales-orders/SO-1/{kind}");
    for (kind, reference, more, expected) in [
        ("deliveries", "D1", r#""lines":[{"line":"1","quantity":1}]"#, (201, "posted")),
        ("deliveries", "D1", r#""lines":[{"line":"1","quantity":1}]"#, (409, "duplicate_reference")),
        ("deliveries", "D2", r#""lines":[{"line":"1","quantity":2}]"#, (409, "over_delivery")),
        ("cancellations", "C1", r#""lines":[{"line":"1","quantity":2}]"#, (409, "already_delivered")),
        ("cancellations", "C2", r#""reason":"rest""#, (201, "cancelled")),
        ("cancellations", "C3", r#""reason":"again""#, (409, "already_delivered")),
        ("invoices", "I1", r#""currency":"EUR","amount":"12.50""#, (201, "posted")),
        ("invoices", "I2", r#""currency":"EUR","amount":"17.51""#, (409, "over_invoice")),
        ("invoices", "I3", r#""currency":"USD","amount":"1.00""#, (422, "currency_mismatch")),
        ("payments", "P1", r#""currency":"EUR","amount":"12.50","provider_reference":"pi_1""#, (201, "posted")),
        ("credit-notes", "N1", r#""currency":"EUR","amount":"12.51""#, (409, "over_credit")),
        ("credit-notes", "N2", r#""currency":"EUR","amount":"2.50""#, (201, "posted")),
    ] {
        let outcome = caller.outcome("erp", "POST", &path(kind), &body(reference, more));
        assert_eq!(outcome, (expected.0, expected.1.to_owned()), "{kind} {reference}");
    }
    let (_, order) = caller.call("erp", "GET", "/sales-orders/SO-1", "");
    assert_eq!(order.text("state"), "delivered", "one delivered, the rest cancelled");
    let line = &order.list("lines")[0];
    assert_eq!((line.text("ordered"), line.text("cancelled"), line.text("delivered")), ("2", "1", "1"));
    assert_eq!(order.list("payments")[0].text("provider_reference"), "pi_1");
    let (_, found) = caller.call("erp", "GET", "/sales-orders/SO-1/deliveries?external_reference=D1", "");
    assert_eq!(found.list("data")[0].text("id"), "DN-1");
}

#[test]
fn scenario_14_cancellation_races_the_pick_wave_and_has_one_winner() {
    let mut ends = [0, 0];
    for pause in (0..3_000).step_by(100) {
        let mut caller = Caller::new(Config::default());
        caller.call("warehouse", "POST", "/fulfilment-orders", &body("F", PICK));
        caller.now = pause;
        let outcome = caller.outcome("warehouse", "POST", "/fulfilment-orders/FO-1/cancellations", &body("C", r#""reason":"x""#));
        caller.now = 60_000;
        let events: Vec<String> =
            caller.world.due(caller.now).iter().map(|o| Json::parse(&o.body).unwrap().text("type").to_owned()).collect();
        let (_, order) = caller.call("warehouse", "GET", "/fulfilment-orders/FO-1", "");
        match outcome.0 {
            201 => {
                ends[0] += 1;
                assert_eq!((order.text("state"), events), ("cancelled", vec!["fulfilment.cancelled".to_owned()]));
                assert_eq!(caller.rows("warehouse", "shipment.create"), 0);
            }
            _ => {
                ends[1] += 1;
                assert_eq!(outcome, (409, "already_picked".to_owned()));
                assert!(order.text("state") == "shipped" && events.contains(&"fulfilment.shipped".to_owned()));
                assert_eq!(caller.rows("warehouse", "fulfilment_order.cancel"), 0);
            }
        }
    }
    assert!(ends[0] > 5 && ends[1] > 5, "{ends:?}");
}

#[test]
fn every_ordered_piece_ends_shipped_short_or_cancelled_in_numbered_events() {
    let mut config = Config::default();
    (config.warehouse.split_rate, config.warehouse.short_pick_rate) = (0.5, 0.2);
    let mut caller = Caller::new(config);
    for i in 0..200 {
        caller.call("warehouse", "POST", "/fulfilment-orders", &body(&format!("F{i}"), PICK));
    }
    caller.call(
        "warehouse",
        "POST",
        "/fulfilment-orders/FO-1/cancellations",
        &body("C", r#""lines":[{"line":"1","quantity":1}]"#),
    );
    let mut last = std::collections::HashMap::<String, (Decimal, bool)>::new();
    for outgoing in caller.world.due(1_000_000) {
        let event = Json::parse(&outgoing.body).unwrap();
        let (sequence, ended) = last.entry(event.text("external_reference").to_owned()).or_default();
        *sequence += Decimal::ONE;
        assert_eq!(event.decimal("sequence"), Some(*sequence));
        *ended |= event.get("final").and_then(Json::as_bool) == Some(true);
    }
    assert!(last.len() == 200 && last.values().all(|(_, ended)| *ended), "each order says when nothing more comes");
    let mut parcels = [0; 3];
    for i in 1..=200 {
        let (_, order) = caller.call("warehouse", "GET", &format!("/fulfilment-orders/FO-{i}"), "");
        parcels[order.list("parcels").len()] += 1;
        for line in order.list("lines") {
            let of = |name| line.decimal(name).unwrap();
            assert_eq!(of("ordered"), of("shipped") + of("short") + of("cancelled"), "{}", line.render());
        }
    }
    assert!(parcels.iter().all(|n| *n > 0), "none, one and two parcels all occur: {parcels:?}");
    let (_, events) = caller.call("warehouse", "GET", "/events?after=3&limit=2", "");
    assert_eq!(events.list("data")[0].decimal("position"), Some(Decimal::from(4)));
}

#[test]
fn a_reservation_holds_all_lines_or_none_and_never_goes_below_zero() {
    let mut caller = Caller::new(Config { stock: 10, ..Config::default() });
    let lines = |quantity: u32| {
        let line = |id| format!(r#"{{"line":"{id}","sku":"100101-S","location":"DC-EU","quantity":{quantity}}}"#);
        format!(r#"{{"channel":"c","site":"s","order":"o","lines":[{},{}]}}"#, line(1), line(2))
    };
    let mut taken = 0;
    // Two lines of one SKU: the batch is added up, so the third reservation of 2 x 2 finds only 2 left.
    for i in 0..5 {
        let (status, answer) = caller.call("inventory", "PUT", &format!("/reservations/R{i}"), &lines(2));
        if status == 201 {
            taken += 1;
        } else {
            let shortage = &answer.get("error").unwrap().list("shortages")[0];
            assert_eq!((shortage.text("requested"), shortage.text("available")), ("4", "2"));
        }
    }
    assert_eq!(taken, 2);
    for (method, path, sent, expected) in [
        ("PUT", "/reservations/R0", lines(2), (200, "reserved")),
        ("PUT", "/reservations/R0", lines(1), (409, "reservation_differs")),
        ("POST", "/reservations/R0/fulfilments", fulfil("X1", 3), (201, "fulfilled")),
        ("POST", "/reservations/R0/fulfilments", fulfil("X1", 1), (409, "duplicate_reference")),
        ("POST", "/reservations/R0/fulfilments", fulfil("X2", 2), (409, "over_fulfilment")),
        ("DELETE", "/reservations/R0", String::new(), (200, "released")),
        ("DELETE", "/reservations/R0", String::new(), (200, "released")),
        ("POST", "/reservations/R0/fulfilments", fulfil("X3", 1), (409, "reservation_closed")),
        ("PUT", "/reservations/R0", lines(2), (409, "reservation_closed")),
        ("POST", "/reservations/R1/releases", fulfil("L1", 1), (201, "released")),
        ("POST", "/reservations/R1/releases", fulfil("L1", 1), (409, "duplicate_reference")),
        ("POST", "/reservations/R1/releases", fulfil("L2", 4), (409, "over_release")),
        ("POST", "/reservations/R1/fulfilments", fulfil("X4", 3), (201, "fulfilled")),
        ("DELETE", "/reservations/R1", String::new(), (409, "already_fulfilled")),
        ("DELETE", "/reservations/R9", String::new(), (404, "not_found")),
    ] {
        let outcome = caller.outcome("inventory", method, path, &sent);
        assert_eq!(outcome, (expected.0, expected.1.to_owned()), "{method} {path} {sent}");
    }
    let (_, stock) = caller.call("inventory", "GET", "/stock?sku=100101-S&location=DC-EU", "");
    let level = &stock.list("data")[0];
    assert_eq!((level.text("on_hand"), level.text("reserved"), level.text("available")), ("4", "0", "4"));
    assert_eq!(caller.rows("inventory", "reservation.release"), 2, "a repeated release is no second effect");
}

fn fulfil(reference: &str, quantity: u32) -> String {
    body(reference, &format!(r#""lines":[{{"sku":"100101-S","location":"DC-EU","quantity":"{quantity}"}}]"#))
}

#[test]
fn scenario_8_a_thousand_buyers_of_ten_units_make_ten_reservations() {
    let mut caller = Caller::new(Config { stock: 10, ..Config::default() });
    let sent = r#"{"channel":"c","site":"s","order":"o","lines":[{"sku":"100104-OS","location":"DC-US","quantity":1}]}"#;
    let taken = (0..1_000).filter(|i| caller.call("inventory", "PUT", &format!("/reservations/R{i}"), sent).0 == 201).count();
    assert_eq!(taken, 10);
}

#[test]
fn the_mail_tag_decides_a_screening_and_reviews_are_decided_once() {
    let mut caller = Caller::new(Config::default());
    let screen =
        |tag: &str| body(&format!("S{tag}"), &format!(r#""amount":1,"currency":"EUR","email":"shopper.1{tag}@example.com""#));
    for (tag, decision) in
        [("", "approve"), ("+reject", "reject"), ("+review", "review"), ("+declined", "review"), ("+hold", "review")]
    {
        let (status, answer) = caller.call("fraud", "POST", "/screenings", &screen(tag));
        assert_eq!((status, answer.text("decision")), (201, decision), "{tag}");
    }
    let decided: Vec<(String, String)> = caller
        .world
        .due(100_000)
        .iter()
        .map(|o| Json::parse(&o.body).unwrap())
        .map(|e| (e.text("external_reference").to_owned(), e.text("decision").to_owned()))
        .collect();
    assert_eq!(decided.len(), 2, "the held one stays silent");
    assert!(
        decided.contains(&("S+review".into(), "approve".into())) && decided.contains(&("S+declined".into(), "reject".into()))
    );
    let (status, again) = caller.call("fraud", "POST", "/screenings", &screen("+review"));
    assert_eq!((status, again.text("decision"), again.text("state")), (200, "approve", "decided"));
    assert_eq!(caller.rows("fraud", "screening.create"), 5);
}

#[test]
fn tax_transactions_commit_and_void_once() {
    let mut caller = Caller::new(Config::default());
    let create = r#"{"code":"T1","channel":"c","site":"s","order":"o","currency":"EUR","total":"11.90","total_tax":"1.90"}"#;
    for (path, sent, expected) in [
        ("/transactions", create, (201, "saved")),
        ("/transactions", create, (409, "duplicate_reference")),
        ("/transactions/T1/commit", "{}", (200, "committed")),
        ("/transactions/T1/commit", "{}", (200, "committed")),
        ("/transactions/T1/void", "{}", (200, "voided")),
        ("/transactions/T1/commit", "{}", (409, "transaction_voided")),
        ("/transactions/T2/void", "{}", (404, "not_found")),
    ] {
        assert_eq!(caller.outcome("tax", "POST", path, sent), (expected.0, expected.1.to_owned()), "{path}");
    }
    assert_eq!((caller.rows("tax", "tax.commit"), caller.rows("tax", "tax.void")), (1, 1));
    let quote = r#"{"currency":"EUR","country":"DE","taxation":"gross","lines":[{"line":"1","amount":"11.90"}]}"#;
    let (_, quoted) = caller.call("tax", "POST", "/quotes", quote);
    assert_eq!(quoted.text("total_tax"), "1.90");
}

#[test]
fn a_gift_card_never_gives_more_than_it_holds() {
    let mut caller = Caller::new(Config::default());
    caller.world.giftcard.act(0, |office, context| office.role.load_card("gc_1", Decimal::new(2500, 2), "EUR", context));
    let authorise = |amount: &str| format!(r#""card":"gc_1","amount":"{amount}","currency":"EUR""#);
    let amount = |amount: &str| format!(r#""amount":"{amount}""#);
    for (path, reference, more, expected) in [
        ("/authorisations", "A1", authorise("20.00"), (201, "authorised")),
        ("/authorisations", "A2", authorise("5.01"), (402, "insufficient_balance")),
        ("/authorisations", "A3", authorise("1.00").replace("gc_1", "gc_2"), (404, "unknown_card")),
        ("/authorisations", "A4", authorise("1.00").replace("EUR", "USD"), (422, "currency_mismatch")),
        ("/authorisations/GA-1/captures", "C1", amount("12.00"), (201, "captured")),
        ("/authorisations/GA-1/captures", "C1", amount("12.00"), (409, "duplicate_reference")),
        ("/authorisations/GA-1/captures", "C2", amount("8.01"), (409, "over_capture")),
        ("/authorisations/GA-1/refunds", "R1", amount("12.01"), (409, "over_refund")),
        ("/authorisations/GA-1/voids", "V1", r#""reason":"rest""#.into(), (201, "voided")),
        ("/authorisations/GA-1/voids", "V2", r#""reason":"rest""#.into(), (409, "already_voided")),
        ("/authorisations/GA-1/captures", "C3", amount("1.00"), (409, "already_voided")),
        ("/authorisations/GA-1/refunds", "R2", amount("2.00"), (201, "refunded")),
    ] {
        assert_eq!(
            caller.outcome("giftcard", "POST", path, &body(reference, &more)),
            (expected.0, expected.1.to_owned()),
            "{path} {reference}"
        );
    }
    let (_, card) = caller.call("giftcard", "GET", "/cards/gc_1", "");
    assert_eq!(card.text("balance"), "15.00", "25 - 12 captured + 2 refunded");
}

#[test]
fn faults_apply_late_or_in_part_and_say_so() {
    let mut caller = Caller::new(Config::default());
    caller.faults("erp", |rates| (rates.accept_then_apply_later_rate, rates.apply_later_ms) = (1.0, 500));
    assert_eq!(caller.outcome("erp", "POST", "/sales-orders", &body("A", SALE)), (202, "accepted".into()));
    caller.faults("erp", |rates| rates.partial_success_rate = 1.0);
    let lookup = "/sales-orders?external_reference=A";
    assert_eq!(caller.call("erp", "GET", lookup, "").1.list("data").len(), 0);
    caller.now = 500;
    assert_eq!(caller.call("erp", "GET", lookup, "").1.list("data").len(), 1);
    let cancel = r#""lines":[{"line":"1","quantity":2},{"line":"2","quantity":1}]"#;
    let (status, answer) = caller.call("erp", "POST", "/sales-orders/SO-1/cancellations", &body("C1", cancel));
    let states: Vec<_> = answer.list("results").iter().map(|r| r.text("state")).collect();
    assert_eq!((status, states), (201, vec!["applied", "failed"]));
    let rest = r#""lines":[{"line":"2","quantity":1}]"#;
    let (_, answer) = caller.call("erp", "POST", "/sales-orders/SO-1/cancellations", &body("C2", rest));
    assert_eq!(answer.text("sales_order_state"), "cancelled");
    let counts = caller.world.fault_counts();
    assert_eq!((counts["erp"]["accepted_then_applied_later"], counts["erp"]["partial_success"]), (1, 1));
}

#[test]
fn every_injected_failure_has_the_contracts_form() {
    let mut caller = Caller::new(Config::default());
    type Case = (fn(&mut Rates), u16, &'static str);
    let cases: [Case; 4] = [
        (|r| r.error_rate = 1.0, 500, "internal"),
        (|r| r.throttle_rate = 1.0, 429, "throttled"),
        (|r| r.unauthorized_rate = 1.0, 401, "unauthorized"),
        (|r| r.apply_then_error_rate = 1.0, 500, "internal"),
    ];
    for (set, status, code) in cases {
        caller.faults("notification", set);
        let sent = body("M1", r#""template":"shipped","recipient":"a@example.com""#);
        assert_eq!(caller.outcome("notification", "POST", "/messages", &sent), (status, code.to_owned()));
    }
    assert_eq!(caller.rows("notification", "message.send"), 1, "only the last one was applied");
    assert!(SYSTEMS.iter().all(|s| caller.world.station(s).is_some()));
}
