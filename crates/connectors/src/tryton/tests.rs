//! The scripts against a stand-in for Tryton that keeps sales, parties, shipments, invoices and payments; and the plan's arithmetic.

use super::plan;
use super::wire;
use crate::testing::{body_of, built, call, money, respond, whole_call};
use crossdock_canonical::{Operation, OutcomeClass, Timestamp};
use crossdock_connect::classify::Nature;
use crossdock_connect::conformance::{Case, World, check, check_unsupported};
use crossdock_connect::http::{Request, Response};
use crossdock_connect::{Call, Exchange, Next, NextProbe, Probe};
use crossdock_value::{Decimal, Map, Value, value};
use std::collections::BTreeMap;
use std::io::Write as _;

const SYSTEM: &str = "
connector: tryton
roles: [erp]
auth: {user: hub, password: 'env:PASSWORD'}
settings:
  database: hubtest
  company: 1
  unit: 1
  currencies: {EUR: 1}
  payment_journals: {EUR: 4}
  countries: {DE: 1}
  taxes: {'0.19': 7, '0.07': 8, '0': 9}
  products: {100101-M: 11, SHIPPING: 12, ROUNDING: 13, GIFT-CARD: 14}
  locations: {DC-EU: {warehouse: 5}, ST-BER: {warehouse: 6, address: 60}}
  web_shops: {RefArch-DE: {id: 1, warehouse: 5}}
";

/// Models and their records; buttons move states as Tryton's do.
#[derive(Default)]
struct Erp {
    models: BTreeMap<String, Vec<Value>>,
    counted: &'static str,
    applied: usize,
    refuses: bool,
    /// `confirm` answers nothing and the work behind it fails once.
    confirm_fails: bool,
    /// Another delivery writes the shipment between our look at it and our write.
    claimed_meanwhile: bool,
    /// Another parcel posts the invoice between our look at it and our button.
    posted_meanwhile: bool,
    packs: bool,
}

fn user_error(text: &str) -> Value {
    value!({"id": 1, "error": ["UserError", [text, "", null]]})
}

impl Erp {
    fn new(counted: &'static str) -> Self {
        let mut erp = Self { counted, ..Self::default() };
        for (id, code) in [(21, "100201"), (22, "100900"), (23, "100113-OS"), (24, "100114-OS")] {
            erp.models.entry("product.product".into()).or_default().push(value!({"id": id, "code": code}));
        }
        erp
    }

    /// One with the order's sale in process already.
    fn with_sale(counted: &'static str) -> Self {
        let mut erp = Self::new(counted);
        let sale = value!({"id": 1, "web_shop": 1, "web_id": "sfcc/RefArch-DE/00000410", "number": "S1", "state": "processing", "party": 3,
            "shipments": [1], "invoices": [1], "shipment_state": "waiting", "invoice_state": "pending"});
        erp.models.insert("sale.sale".into(), vec![sale]);
        let lines = value!([
            {"id": 1, "sale": 1, "description": "line-set", "quantity": 1},
            {"id": 2, "sale": 1, "description": "line-set", "quantity": 4, "quantity_to_ship": 4},
        ]);
        erp.models.insert("sale.line".into(), lines.as_arr().expect("lines").to_vec());
        erp.models.insert("stock.move".into(), vec![value!({"id": 1, "quantity": 4, "origin": "sale.line,2"})]);
        let shipment = value!({"id": 1, "number": "D1", "state": "waiting", "reference": null, "outgoing_moves": [1]});
        erp.models.insert("stock.shipment.out".into(), vec![shipment]);
        let total = value!({"__class__": "Decimal", "decimal": "265.67"});
        let invoice = value!({"id": 1, "number": null, "state": "draft", "total_amount": total, "lines_to_pay": [9]});
        erp.models.insert("account.invoice".into(), vec![invoice]);
        erp
    }

    fn rows(&mut self, model: &str) -> &mut Vec<Value> {
        self.models.entry(model.to_owned()).or_default()
    }

    fn count(&mut self, what: &str) {
        self.applied += usize::from(self.counted == what);
    }

    fn call(&mut self, method: &str, params: &[Value]) -> Value {
        let result = |result: Value| value!({"id": 1, "result": result});
        let Some((model, verb)) = method.strip_prefix("model.").and_then(|rest| rest.rsplit_once('.')) else {
            return self.wizard(method, params);
        };
        match verb {
            "search_read" => {
                let wanted = |record: &Value| {
                    params[0].as_arr().expect("a domain").iter().all(|clause| {
                        let (field, operator, value) = (clause.at("0"), clause.at("1").as_str(), clause.at("2"));
                        let held = record.get(field.as_str().expect("a field"));
                        match operator {
                            Some("in") => value.as_arr().is_some_and(|items| items.contains(held)),
                            _ => held == value,
                        }
                    })
                };
                let found: Value = self.rows(model).iter().filter(|record| wanted(record)).cloned().collect();
                result(found)
            }
            "read" => {
                let ids = params[0].clone();
                let found: Value = ids
                    .as_arr()
                    .expect("ids")
                    .iter()
                    .filter_map(|id| self.rows(model).iter().find(|record| record.get("id") == id).cloned())
                    .collect();
                result(found)
            }
            "create" if self.refuses => user_error("A rule forbids it"),
            "create" => {
                let mut record = params[0].at("0").clone();
                let unique = |field: &str| record.get(field).clone();
                let (web_id, code) = (unique("web_id"), unique("code"));
                let taken = |other: &Value| {
                    (!web_id.is_null() && other.get("web_id") == &web_id) || (!code.is_null() && other.get("code") == &code)
                };
                if self.rows(model).iter().any(taken) {
                    return user_error("The web ID on the sale must be unique per shop.");
                }
                let id = self.rows(model).len() as i64 + 1;
                record.insert("id", id);
                record.insert("state", "draft");
                record.insert("number", format!("N{id}"));
                self.rows(model).push(record);
                self.count(model);
                result(value!([id]))
            }
            "write" => {
                let id = params[0].at("0").clone();
                let values = params[1].clone();
                let seen = params[2].get("_timestamp").get(&format!("{model},{id}")).clone();
                let claimed = std::mem::take(&mut self.claimed_meanwhile);
                let Some(record) = self.rows(model).iter_mut().find(|record| record.get("id") == &id) else {
                    return user_error("gone");
                };
                if claimed {
                    record.insert("reference", "another");
                    record.insert("_timestamp", "2.0");
                }
                if !seen.is_null() && &seen != record.get("_timestamp") {
                    return value!({"id": 1, "error": ["ConcurrencyException", "Records were modified in the meanwhile"]});
                }
                for (key, value) in values.as_obj().expect("values").iter() {
                    record.insert(key.clone(), value.clone());
                }
                self.write_moves(values.get("outgoing_moves"));
                result(Value::Null)
            }
            button => self.press(model, &params[0].at("0").clone(), button),
        }
    }

    /// `["write", [ids], values]` and `["delete", [ids]]` on the moves of a shipment.
    fn write_moves(&mut self, commands: &Value) {
        for command in commands.as_arr().unwrap_or_default() {
            let ids = command.at("1").as_arr().expect("ids").to_vec();
            if command.at("0").as_str() == Some("delete") {
                self.rows("stock.move").retain(|record| !ids.contains(record.get("id")));
            } else {
                for record in self.rows("stock.move").iter_mut().filter(|record| ids.contains(record.get("id"))) {
                    record.insert("quantity", command.at("2.quantity").clone());
                }
            }
        }
        if !commands.is_null() {
            let ids: Value = self.rows("stock.move").iter().map(|record| record.get("id").clone()).collect();
            self.rows("stock.shipment.out")[0].insert("outgoing_moves", ids);
        }
    }

    fn press(&mut self, model: &str, id: &Value, button: &str) -> Value {
        if self.refuses {
            return user_error("A rule forbids it");
        }
        let confirm_fails = std::mem::take(&mut self.confirm_fails);
        let posted_meanwhile = button == "post" && std::mem::take(&mut self.posted_meanwhile);
        let Some(record) = self.rows(model).iter_mut().find(|record| record.get("id") == id) else { return user_error("gone") };
        if posted_meanwhile {
            record.insert("state", "posted");
        }
        let state = record.get("state").as_str().unwrap_or("").to_owned();
        let next = match (state.as_str(), button) {
            ("draft", "quote") => {
                let (untaxed, tax) = totals(record);
                for (field, amount) in [("untaxed_amount", untaxed), ("tax_amount", tax), ("total_amount", untaxed + tax)] {
                    record.insert(field, wire::decimal(amount));
                }
                "quotation"
            }
            ("quotation", "confirm") if confirm_fails => "confirmed",
            ("quotation", "confirm") | ("confirmed", "process") => "processing",
            ("draft" | "quotation" | "waiting" | "assigned", "cancel") => "cancelled",
            ("waiting", "assign_try") => "assigned",
            ("waiting", "draft") => "draft",
            ("draft", "wait") => "waiting",
            ("assigned", "pick") => "picked",
            ("picked", "pack") => "packed",
            ("packed", "ship") => "shipped",
            ("shipped", "do") => "done",
            ("draft", "post") => "posted",
            ("draft", "submit") => "submitted",
            ("submitted", "approve") => "approved",
            ("processing", "succeed") => "succeeded",
            _ => return user_error("You can not call it"),
        };
        record.insert("state", next);
        if next == "posted" {
            record.insert("number", "INV-1");
        }
        if button == "succeed" {
            record.insert("clearing_move", 6);
        }
        self.count(next);
        value!({"id": 1, "result": null})
    }

    fn wizard(&mut self, method: &str, params: &[Value]) -> Value {
        let name = method.strip_prefix("wizard.").expect("a wizard");
        if name == "account.payment.process.execute" {
            let id = params.last().expect("a context").get("active_id").clone();
            for payment in self.rows("account.payment").iter_mut().filter(|payment| payment.get("id") == &id) {
                payment.insert("state", "processing");
            }
        }
        if name == "account.move.reconcile_lines.execute" {
            let ids = params.last().expect("a context").get("active_ids").as_arr().expect("ids").to_vec();
            for line in self.rows("account.move.line").iter_mut().filter(|line| ids.contains(line.get("id"))) {
                line.insert("reconciliation", 1);
            }
        }
        value!({"id": 1, "result": [3, "start", "end"]})
    }
}

/// What Tryton computes: each line rounded, the tax of the prices as they are rounded once for each rate.
fn totals(sale: &Value) -> (Decimal, Decimal) {
    let mut rates: BTreeMap<i64, Decimal> = BTreeMap::new();
    let mut untaxed = Decimal::ZERO;
    for line in sale.at("lines.0.1").as_arr().expect("lines") {
        let price = wire::read_decimal(line.get("unit_price")).expect("a price");
        let amount = price * line.get("quantity").as_decimal().expect("a quantity");
        untaxed += amount.round_dp(2);
        if let Some(tax) = line.at("taxes.0.1.0").as_i64() {
            *rates.entry(tax).or_default() += amount;
        }
    }
    let rate = |tax: &i64| match tax {
        7 => Decimal::new(19, 2),
        8 => Decimal::new(7, 2),
        _ => Decimal::ZERO,
    };
    (untaxed, rates.iter().map(|(tax, base)| (*base * rate(tax)).round_dp(2)).sum())
}

impl World for Erp {
    fn answer(&mut self, request: &Request) -> Response {
        let body = body_of(request);
        let params = body.get("params").as_arr().expect("params").to_vec();
        let method = body.get("method").as_str().expect("a method").to_owned();
        if method == "common.db.login" {
            return respond(200, &value!({"id": 0, "result": [4, "340168da", null]}));
        }
        if request.find_header("authorization") != Some("Session aHViOjQ6MzQwMTY4ZGE=") {
            return Response::new(401, []);
        }
        assert_eq!(params.last().expect("a context").get("company").as_i64(), Some(1));
        let mut response = respond(200, &self.call(&method, &params));
        if self.packs {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packed.write_all(&response.body).expect("packs");
            response.body = packed.finish().expect("packs").into();
        }
        response
    }

    fn applied(&self) -> usize {
        self.applied
    }
}

fn create_call() -> Call {
    whole_call(Operation::ErpCreateOrder, value!({"total": (money("265.67", "EUR"))}))
}

fn run(erp: &mut Erp, call: &Call) -> crossdock_canonical::Outcome {
    let connector = built(SYSTEM);
    let prepared = connector.prepare(call).unwrap_or_else(|error| panic!("{error}"));
    let login = connector.token_request().expect("a session");
    let token = connector.token(&erp.answer(&login)).expect("a session");
    let mut exchanges = Vec::new();
    loop {
        match connector.next(call, &prepared.bytes, &exchanges) {
            Next::End(outcome) => return outcome,
            Next::Send(request) => {
                let mut sent = request.clone();
                connector.authorize(&mut sent, Some(&token));
                exchanges.push(Exchange { request, answer: Ok(erp.answer(&sent)) });
            }
        }
        assert!(exchanges.len() < 60, "the script does not end");
    }
}

#[test]
fn every_script_keeps_the_promises_of_a_connector() {
    let connector = built(SYSTEM);
    let eur = |amount: &str| money(amount, "EUR");
    let paid = |kind: &str| value!({"payment": "pay-card", "amount": (eur("240.67")), "kind": kind, "transaction": "pi_1"});
    type Make = Box<dyn Fn(bool) -> Erp>;
    let with_invoice = |refuses: bool| {
        let mut erp = Erp::with_sale("account.payment");
        erp.rows("account.invoice")[0].insert("state", "posted");
        Erp { refuses, ..erp }
    };
    let cases: Vec<(Call, Make)> = vec![
        (create_call(), Box::new(|refuses| Erp { refuses, ..Erp::new("sale.sale") })),
        (
            call(Operation::ErpCancelOrder, value!({"whole": true})),
            Box::new(|refuses| {
                let mut erp = Erp::with_sale("cancelled");
                let sale = &mut erp.rows("sale.sale")[0];
                sale.insert("state", "quotation");
                sale.insert("shipments", value!([]));
                sale.insert("invoices", value!([]));
                Erp { refuses, ..erp }
            }),
        ),
        (
            call(Operation::ErpPostDelivery, value!({"shipment": "me", "tracking": "TRK1"})),
            Box::new(|refuses| Erp { refuses, ..Erp::with_sale("done") }),
        ),
        (
            call(Operation::ErpPostInvoice, value!({"shipment": "me", "amount": (eur("265.67"))})),
            Box::new(|refuses| Erp { refuses, ..Erp::with_sale("posted") }),
        ),
        (call(Operation::ErpPostPayment, paid("capture")), Box::new(with_invoice)),
    ];
    for (call, make) in &cases {
        let case = Case {
            call: call.clone(),
            world: Box::new(|| Box::new(make(false))),
            refusing: Some(Box::new(|| Box::new(make(true)))),
            reads_only: false,
            resumes: true,
        };
        check(&*connector, &case);
    }
    check_unsupported(&*connector, &create_call());
}

#[test]
fn totals_and_tax_are_the_storefronts_to_the_cent() {
    let mut erp = Erp { packs: true, ..Erp::new("sale.sale") };
    let outcome = run(&mut erp, &create_call());
    assert_eq!(outcome.class, OutcomeClass::Done, "{outcome:?}");
    assert_eq!(
        (outcome.evidence.at("total.amount").as_str(), outcome.evidence.at("tax.amount").as_str()),
        (Some("265.67"), Some("34.43"))
    );
    let lines = erp.rows("sale.sale")[0].at("lines.0.1").clone();
    let quantities: Vec<String> = lines.as_arr().expect("lines").iter().map(|line| line.get("quantity").to_string()).collect();
    assert_eq!(quantities[..3], ["2.0", "1.0", "1.0"], "quantities are floats by their text");
    assert!(
        lines.as_arr().expect("lines").iter().any(|line| line.get("product").as_i64() == Some(23)),
        "a bundle's parts are shipped"
    );
}

#[test]
fn a_confirm_whose_work_failed_is_processed_again() {
    let mut erp = Erp { confirm_fails: true, ..Erp::new("processing") };
    assert_eq!(run(&mut erp, &create_call()).class, OutcomeClass::Done);
    assert_eq!(erp.rows("sale.sale")[0].get("state").as_str(), Some("processing"));
}

#[test]
fn a_total_that_differs_is_not_confirmed() {
    let mut call = create_call();
    call.args = value!({"total": (money("199.00", "EUR"))});
    let mut erp = Erp::new("processing");
    let outcome = run(&mut erp, &call);
    assert_eq!((outcome.class, outcome.code.as_str(), erp.applied), (OutcomeClass::Refused, "total_differs", 0));
    assert_eq!(outcome.evidence.at("total.currency").as_str(), Some("EUR"));
}

#[test]
fn a_delivery_moves_what_left_and_no_more() {
    let delivered = |lines: Value| {
        let mut erp = Erp::with_sale("done");
        erp.rows("sale.line").push(value!({"id": 3, "sale": 1, "description": "line-sweater", "quantity": 2}));
        erp.rows("stock.move").push(value!({"id": 2, "quantity": 2, "origin": "sale.line,3"}));
        erp.rows("stock.shipment.out")[0].insert("outgoing_moves", value!([1, 2]));
        let outcome = run(&mut erp, &call(Operation::ErpPostDelivery, value!({"shipment": "me/P1", "lines": lines})));
        assert_eq!(outcome.class, OutcomeClass::Done, "{outcome:?}");
        let moved: Vec<_> = erp
            .rows("stock.move")
            .iter()
            .map(|record| (record.get("id").to_string(), record.get("quantity").to_string()))
            .collect();
        (outcome.evidence.get("delivery").to_string(), moved)
    };
    let of = |line: &str, pieces: &str| value!({"line": line, "quantity": {"value": pieces, "unit": "EA"}});
    let owned =
        |moves: &[(&str, &str)]| moves.iter().map(|(id, pieces)| ((*id).to_owned(), (*pieces).to_owned())).collect::<Vec<_>>();
    assert_eq!(delivered(value!([(of("line-sweater", "1"))])), (r#""D1""#.to_owned(), owned(&[("2", "1.0")])));
    assert_eq!(
        delivered(value!([(of("line-sweater", "2")), (of("line-set", "1"))])),
        (r#""D1""#.to_owned(), owned(&[("1", "4"), ("2", "2")]))
    );
    // A download has no shipment; the goods stay where they are.
    assert_eq!(delivered(value!([(of("line-download", "1"))])), ("null".to_owned(), owned(&[("1", "4"), ("2", "2")])));
}

#[test]
fn what_is_delivered_without_a_shipment_is_not_missed() {
    let connector = built(SYSTEM);
    for (line, found) in [("line-download", "complete"), ("line-set", "absent")] {
        let mut erp = Erp::with_sale("done");
        erp.rows("sale.line").push(value!({"id": 3, "sale": 1, "description": "line-download", "quantity": 1}));
        let lines = value!([{"line": line, "quantity": {"value": "1", "unit": "EA"}}]);
        let call = call(Operation::ErpPostDelivery, value!({"shipment": "direct", "lines": lines}));
        let prepared = connector.prepare(&call).unwrap_or_else(|error| panic!("{error}"));
        let mut exchanges = Vec::new();
        let probe = loop {
            match connector.probe(&call, &prepared.bytes, &exchanges) {
                NextProbe::End(probe) => break probe,
                NextProbe::Send(request) => {
                    let body = body_of(&request);
                    let method = body.get("method").as_str().expect("a method").to_owned();
                    let answer = erp.call(&method, body.get("params").as_arr().expect("params"));
                    exchanges.push(Exchange { request, answer: Ok(respond(200, &answer)) });
                }
            }
        };
        let told = match probe {
            Probe::Complete(_) => "complete",
            Probe::Absent => "absent",
            other => panic!("{other:?}"),
        };
        assert_eq!(told, found, "{line}");
    }
}

#[test]
fn two_parcels_told_at_once_do_not_share_a_shipment() {
    let deliver =
        |erp: &mut Erp, lines: Value| run(erp, &call(Operation::ErpPostDelivery, value!({"shipment": "me", "lines": lines})));
    let set = value!([{"line": "line-set", "quantity": {"value": "1", "unit": "EA"}}]);
    let held = || {
        let mut erp = Erp::with_sale("done");
        erp.rows("stock.shipment.out")[0].insert("_timestamp", "1.0");
        erp
    };
    let mut erp = Erp { claimed_meanwhile: true, ..held() };
    let outcome = deliver(&mut erp, set.clone());
    assert_eq!((outcome.class, outcome.code.as_str(), erp.applied), (OutcomeClass::Retry, "modified_meanwhile", 0));
    // The next attempt finds it taken and waits for what is left of the sale.
    let outcome = deliver(&mut erp, set);
    assert_eq!((outcome.class, outcome.code.as_str(), erp.applied), (OutcomeClass::Retry, "delivery_under_way", 0));
    assert_eq!(erp.rows("stock.shipment.out")[0].get("reference").as_str(), Some("another"));
    // A download has nothing to wait for.
    let download = value!([{"line": "line-download", "quantity": {"value": "1", "unit": "EA"}}]);
    assert_eq!(deliver(&mut erp, download).class, OutcomeClass::Done);
}

#[test]
fn an_invoice_that_another_parcel_posted_meanwhile_is_posted() {
    let mut erp = Erp { posted_meanwhile: true, ..Erp::with_sale("posted") };
    let outcome = run(&mut erp, &call(Operation::ErpPostInvoice, value!({"shipment": "me"})));
    assert_eq!((outcome.class, erp.applied), (OutcomeClass::Done, 0));
}

#[test]
fn the_last_of_several_payments_reconciles_the_invoice() {
    let decimal = |amount: &str| wire::decimal(amount.parse().expect("an amount"));
    for (earlier, reconciled) in [("25.00", true), ("20.00", false)] {
        let mut erp = Erp::with_sale("succeeded");
        erp.rows("account.invoice")[0].insert("state", "posted");
        let line = |id: i64, of: i64, debit: &str, credit: &str| value!({"id": id, "move": of, "account": 2, "debit": (decimal(debit)), "credit": (decimal(credit)), "reconciliation": null});
        let lines = [line(9, 4, "265.67", "0"), line(10, 5, "0", earlier), line(11, 6, "0", "240.67")];
        erp.models.insert("account.move.line".into(), lines.into());
        let first = value!({"id": 1, "state": "succeeded", "line": 9, "amount": (decimal(earlier)), "clearing_move": 5, "reference": "first"});
        erp.models.insert("account.payment".into(), vec![first]);
        let args = value!({"payment": "pay-card", "amount": (money("240.67", "EUR")), "kind": "capture"});
        assert_eq!(run(&mut erp, &call(Operation::ErpPostPayment, args)).class, OutcomeClass::Done);
        let all = erp.rows("account.move.line").iter().all(|line| !line.get("reconciliation").is_null());
        assert_eq!(all, reconciled, "{earlier} were paid before");
    }
}

#[test]
fn what_has_left_or_is_booked_is_not_cancelled() {
    for (model, state, code) in
        [("stock.shipment.out", "done", "already_delivered"), ("account.invoice", "posted", "already_invoiced")]
    {
        let mut erp = Erp::with_sale("cancelled");
        erp.rows(model)[0].insert("state", state);
        let outcome = run(&mut erp, &call(Operation::ErpCancelOrder, value!({"whole": true})));
        assert_eq!((outcome.class, outcome.code.as_str(), erp.applied), (OutcomeClass::Refused, code, 0));
    }
}

#[test]
fn errors_in_a_200_have_their_classes() {
    use OutcomeClass::*;
    let read = |status: u16, body: &str| match wire::read(&Response::new(status, body.as_bytes()), Nature::Change) {
        wire::Answer::Ended(outcome) => (outcome.class, outcome.code),
        other => panic!("{other:?}"),
    };
    for (status, body, class, code) in [
        (
            200,
            r#"{"id":1,"error":["ConcurrencyException","Records were modified in the meanwhile"]}"#,
            Retry,
            "modified_meanwhile",
        ),
        (200, r#"{"id":1,"error":["'nope'",""]}"#, Misconfigured, "server_error"),
        (200, r#"{"id":1,"err"#, Unknown, "unreadable_answer"),
        (401, "", Retry, "token_expired"),
        (403, "<html>", Misconfigured, "http_403"),
        (422, "<html>", Misconfigured, "http_422"),
        (429, "<html>", Retry, "http_429"),
        (503, "<html>", Retry, "http_503"),
        (504, "<html>", Unknown, "http_504"),
    ] {
        assert_eq!(read(status, body), (class, code.to_owned()), "{status} {body}");
    }
    let warning =
        wire::read(&Response::new(200, *br#"{"id":1,"error":["UserWarning",["abc.invoice_taxes","m",""]]}"#), Nature::Change);
    assert_eq!(warning, wire::Answer::UserWarning("abc.invoice_taxes".into(), "m".into()));
    // Some releases call a plain body gzip; the bytes tell.
    assert_eq!(wire::plain(b"{}").expect("plain").as_ref(), b"{}");
    assert!(wire::plain(&[0x1f, 0x8b, 1, 2]).is_err());
}

#[test]
fn values_are_written_as_tryton_reads_them() {
    assert_eq!(wire::date(Timestamp::parse("2026-11-24T23:59:59Z").expect("an instant")).at("day").as_i64(), Some(24));
    for (given, written) in [("2", "2.0"), ("2.00", "2.0"), ("1.250", "1.25"), ("100", "100.0")] {
        assert_eq!(wire::quantity(given.parse().expect("a number")).to_string(), written);
    }
    assert_eq!(wire::decimal("20.00".parse().expect("a number")).get("decimal").as_str(), Some("20.00"));
}

#[test]
fn a_rate_or_a_site_without_its_id_stops_the_system_and_not_one_order() {
    let connector = built(SYSTEM);
    let mut strange = create_call();
    strange.document.set("lines.0.tax_rate", "0.21");
    assert!(
        connector.prepare(&strange).expect_err("no such tax").to_string().contains("`settings.taxes` has no tax of rate 0.21")
    );
    let mut strange = create_call();
    strange.document.set("site", "RefArch-FR");
    assert!(connector.prepare(&strange).expect_err("no such shop").to_string().contains("RefArch-FR"));
    assert_eq!(plan::read_number(&Value::from(Map::new())), None);
}
