//! The provider's documented rules: states, limits, keys, events.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::{Config, Stripe};
use crate::faults::{Faults, Rates};
use crate::json::Json;
use crate::ledger::Scope;
use crate::outbox::{Signature, hmac_hex};
use crate::simulator::Context;
use crate::{Request, Response, Simulator, Station};

struct Client {
    payment: Simulator<Stripe>,
    now: i64,
}

impl Client {
    fn new(config: Config) -> Self {
        let signature = Signature::Timestamped { secret: config.webhook_secret.clone() };
        Client { payment: Simulator::new("payment", 1, signature, Stripe::new(config)), now: 1_000_000 }
    }

    fn send(&mut self, method: &str, path: &str, key: &str, body: &str) -> Response {
        let request = Request::new(method, path, body).header("authorization", "Bearer sk_test_crossdock");
        let request = if key.is_empty() { request } else { request.header("Idempotency-Key", key) };
        self.payment.handle(&request, self.now).response.expect("no fault cuts this call")
    }

    fn call(&mut self, method: &str, path: &str, key: &str, body: &str) -> (u16, Json) {
        let response = self.send(method, path, key, body);
        (response.status, Json::parse(&response.body).unwrap())
    }

    fn authorise(&mut self, amount: i64, currency: &str, method: &str) -> String {
        let body = format!(
            "amount={amount}&currency={currency}&capture_method=manual&confirm=true&payment_method={method}&metadata[order]=O1&metadata[site]=S"
        );
        let (status, intent) = self.call("POST", "/v1/payment_intents", "", &body);
        assert_eq!((status, intent.text("status")), (200, "requires_capture"));
        intent.text("id").to_owned()
    }

    fn rows(&self, operation: &str) -> Vec<String> {
        let rows = self.payment.ledger().rows().iter().filter(|r| r.operation == operation);
        rows.map(|r| format!("{} {}", r.amount.unwrap(), r.currency)).collect()
    }

    fn faults(&mut self, rates: Rates) {
        self.payment.set_faults(Faults { rates, ..Faults::default() }, self.now);
    }
}

fn code(answer: &(u16, Json)) -> (u16, &str) {
    let error = answer.1.get("error");
    (answer.0, error.map_or(answer.1.text("status"), |e| if e.text("code").is_empty() { e.text("type") } else { e.text("code") }))
}

#[test]
fn an_ordinary_partial_capture_releases_the_rest() {
    let mut client = Client::new(Config::default());
    let id = client.authorise(5_000, "eur", "pm_card_visa");
    let capture = format!("/v1/payment_intents/{id}/capture");
    assert_eq!(code(&client.call("POST", &capture, "", "amount_to_capture=5001")), (400, "amount_too_large"));
    assert_eq!(
        code(&client.call("POST", &capture, "", "amount_to_capture=1000&final_capture=false")),
        (400, "parameter_invalid")
    );
    let (_, intent) = client.call("POST", &capture, "", "amount_to_capture=3000");
    assert_eq!(intent.text("status"), "succeeded");
    assert_eq!(
        (intent.decimal("amount_received"), intent.decimal("amount_capturable")),
        (Some(3000.into()), Some(Decimal::ZERO))
    );
    assert_eq!(code(&client.call("POST", &capture, "", "amount_to_capture=1")), (400, "payment_intent_unexpected_state"));
    assert_eq!((client.rows("capture"), client.rows("release")), (vec!["30.00 EUR".into()], vec!["20.00 EUR".into()]));
}

#[test]
fn multicapture_leaves_the_rest_until_the_final_capture() {
    let mut client = Client::new(Config { multicapture: true, ..Config::default() });
    let id = client.authorise(5_000, "eur", "pm_card_visa");
    let capture = format!("/v1/payment_intents/{id}/capture");
    let (_, intent) = client.call("POST", &capture, "", "amount_to_capture=3000&final_capture=false");
    assert_eq!((intent.text("status"), intent.decimal("amount_capturable")), ("requires_capture", Some(2000.into())));
    let (_, intent) = client.call("POST", &capture, "", "amount_to_capture=1500");
    assert_eq!((intent.text("status"), intent.decimal("amount_received")), ("succeeded", Some(4500.into())));
    assert_eq!(client.rows("capture").len(), 2);
}

#[test]
fn refunds_never_exceed_what_was_captured() {
    let mut client = Client::new(Config::default());
    let id = client.authorise(1_000, "eur", "pm_card_visa");
    let refund = |amount: i64| format!("payment_intent={id}&amount={amount}&metadata[ref]=R{amount}");
    assert_eq!(client.call("POST", "/v1/refunds", "", &refund(1)).0, 400, "nothing is captured yet");
    client.call("POST", &format!("/v1/payment_intents/{id}/capture"), "", "amount_to_capture=800");
    for (amount, expected) in [
        (500, (200, "succeeded")),
        (301, (400, "amount_too_large")),
        (300, (200, "succeeded")),
        (1, (400, "charge_already_refunded")),
    ] {
        assert_eq!(code(&client.call("POST", "/v1/refunds", "", &refund(amount))), expected, "{amount}");
    }
    let (_, list) = client.call("GET", &format!("/v1/refunds?payment_intent={id}"), "", "");
    let references: Vec<_> = list.list("data").iter().map(|r| r.get("metadata").unwrap().text("ref").to_owned()).collect();
    assert_eq!(references, ["R300", "R500"], "newest first");
}

#[test]
fn a_refund_may_be_pending_or_fail_after_it_succeeded() {
    for (method, first, then, kinds) in [
        ("pm_card_pendingRefund", "pending", "succeeded", vec!["charge.refunded", "refund.updated"]),
        ("pm_card_refundFail", "succeeded", "failed", vec!["charge.refunded", "refund.updated", "refund.failed"]),
    ] {
        let mut client = Client::new(Config { event_after_ms: (0, 0), ..Config::default() });
        let id = client.authorise(1_000, "eur", method);
        client.call("POST", &format!("/v1/payment_intents/{id}/capture"), "", "");
        client.payment.due(client.now);
        let (_, refund) = client.call("POST", "/v1/refunds", "", &format!("payment_intent={id}"));
        assert_eq!(refund.text("status"), first);
        client.now += 10_000;
        let sent: Vec<_> =
            client.payment.due(client.now).iter().map(|o| Json::parse(&o.body).unwrap().text("type").to_owned()).collect();
        assert_eq!(sent, kinds);
        let (_, refund) = client.call("GET", &format!("/v1/refunds/{}", refund.text("id")), "", "");
        assert_eq!(refund.text("status"), then);
        let again = client.call("POST", "/v1/refunds", "", &format!("payment_intent={id}")).0;
        assert_eq!(again, if then == "failed" { 200 } else { 400 }, "a failed refund can be made again");
    }
}

#[test]
fn declined_cards_answer_402_and_hold_nothing() {
    let mut client = Client::new(Config::default());
    let body = "amount=100&currency=usd&capture_method=manual&confirm=true&payment_method=pm_card_chargeDeclined";
    let (status, answer) = client.call("POST", "/v1/payment_intents", "k", body);
    let error = answer.get("error").unwrap();
    assert_eq!((status, error.text("code"), error.text("decline_code")), (402, "card_declined", "generic_decline"));
    let id = error.get("payment_intent").unwrap().text("id").to_owned();
    assert!(client.rows("authorise").is_empty());
    let (status, intent) = client.call("POST", &format!("/v1/payment_intents/{id}/confirm"), "", "payment_method=pm_card_visa");
    assert_eq!((status, intent.text("status")), (200, "requires_capture"), "another card may be tried");
}

#[test]
fn cancelling_releases_and_expiry_cancels_by_itself() {
    let mut client = Client::new(Config::default());
    let id = client.authorise(900, "jpy", "pm_card_visa");
    let cancel = format!("/v1/payment_intents/{id}/cancel");
    let (_, intent) = client.call("POST", &cancel, "", "cancellation_reason=requested_by_customer");
    assert_eq!(intent.text("status"), "canceled");
    assert_eq!(code(&client.call("POST", &cancel, "", "")), (400, "payment_intent_unexpected_state"));
    let capture = client.call("POST", &format!("/v1/payment_intents/{id}/capture"), "", "");
    assert_eq!(code(&capture), (400, "payment_intent_unexpected_state"));
    assert_eq!(client.rows("void"), ["900 JPY"], "no times 100");

    let id = client.authorise(1_234, "kwd", "pm_card_visa");
    client.now += 7 * 86_400_000;
    let (_, intent) = client.call("GET", &format!("/v1/payment_intents/{id}"), "", "");
    assert_eq!((intent.text("status"), intent.text("cancellation_reason")), ("canceled", "automatic"));
    assert_eq!(client.rows("void")[1], "1.234 KWD");
    client.payment.due(i64::MAX);
    assert_eq!(client.payment.next_due(), None, "nothing is left to happen by itself");
}

#[test]
fn a_key_gives_the_first_answer_again_and_nothing_else() {
    let mut client = Client::new(Config::default());
    let body = "amount=100&currency=eur&capture_method=manual&confirm=true&payment_method=pm_card_visa";
    let first = client.send("POST", "/v1/payment_intents", "k1", body);
    let again = client.send("POST", "/v1/payment_intents", "k1", body);
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), (None, Some("true")));
    assert_eq!(code(&client.call("POST", "/v1/payment_intents", "k1", &body.replace("100", "101"))), (400, "idempotency_error"));
    assert_eq!(code(&client.call("POST", "/v1/refunds", "k1", body)), (400, "idempotency_error"));
    assert_eq!(client.rows("authorise").len(), 1);
    // A validation failure is not stored: the corrected call may use the key.
    assert_eq!(client.call("POST", "/v1/payment_intents", "k2", "amount=0&currency=eur").0, 400);
    assert_eq!(client.call("POST", "/v1/payment_intents", "k2", body).0, 200);
    // After its lifetime a key is a new operation.
    client.now += 86_400_000;
    assert_eq!(client.call("POST", "/v1/payment_intents", "k1", body).0, 200);
    assert_eq!(client.rows("authorise").len(), 3);
}

#[test]
fn a_stored_500_never_heals_under_its_key_applied_or_not() {
    for (rates, captured) in
        [(Rates { error_rate: 1.0, ..Rates::default() }, 0), (Rates { apply_then_error_rate: 1.0, ..Rates::default() }, 1)]
    {
        let mut client = Client::new(Config::default());
        let id = client.authorise(100, "eur", "pm_card_visa");
        let capture = format!("/v1/payment_intents/{id}/capture");
        client.faults(rates);
        assert_eq!(client.call("POST", &capture, "k", "").0, 500);
        client.faults(Rates::default());
        for _ in 0..3 {
            assert_eq!(client.call("POST", &capture, "k", "").0, 500);
        }
        assert_eq!(client.rows("capture").len(), captured);
        let (_, intent) = client.call("GET", &format!("/v1/payment_intents/{id}"), "", "");
        assert_eq!(intent.text("status"), if captured == 1 { "succeeded" } else { "requires_capture" });
    }
}

#[test]
fn a_dropped_answer_is_found_again_under_the_key() {
    let mut client = Client::new(Config::default());
    let id = client.authorise(100, "eur", "pm_card_visa");
    client.faults(Rates { apply_then_drop_rate: 1.0, ..Rates::default() });
    let request = Request::new("POST", format!("/v1/payment_intents/{id}/capture"), "")
        .header("authorization", "Bearer sk_test_crossdock")
        .header("idempotency-key", "k");
    assert_eq!(client.payment.handle(&request, client.now).response, None);
    client.faults(Rates::default());
    let answer = client.payment.handle(&request, client.now).response.unwrap();
    assert_eq!((answer.status, answer.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!(client.rows("capture").len(), 1);
}

#[test]
fn a_key_in_use_is_409_until_the_first_answer_has_left() {
    let mut client = Client::new(Config::default());
    client.faults(Rates { delay_ms: 500, ..Rates::default() });
    let body = "amount=100&currency=eur";
    assert_eq!(client.call("POST", "/v1/payment_intents", "k", body).0, 200);
    client.now += 499;
    assert_eq!(code(&client.call("POST", "/v1/payment_intents", "k", body)), (409, "idempotency_key_in_use"));
    client.now += 1;
    assert_eq!(client.call("POST", "/v1/payment_intents", "k", body).0, 200);
}

#[test]
fn a_search_finds_by_metadata_after_its_lag() {
    let mut client = Client::new(Config::default());
    let id = client.authorise(100, "eur", "pm_card_visa");
    let query = "/v1/payment_intents/search?query=metadata%5B%27order%27%5D%3A%27O1%27%20AND%20status%3A%27requires_capture%27";
    let found = |client: &mut Client| {
        client.call("GET", query, "", "").1.list("data").iter().map(|i| i.text("id").to_owned()).collect::<Vec<_>>()
    };
    assert!(found(&mut client).is_empty(), "not visible yet");
    client.now += 1_000;
    assert_eq!(found(&mut client), [id]);
    assert_eq!(client.call("GET", "/v1/payment_intents/search?query=amount%3A100", "", "").0, 400);
}

#[test]
fn seeded_authorisations_are_found_by_id_and_captured_like_any_other() {
    let mut client = Client::new(Config::default());
    let scope = Scope { channel: Arc::from("sfcc"), site: Arc::from("S"), order: Arc::from("O9") };
    let seed = |stripe: &mut Stripe, context: &mut Context<'_>| stripe.seed_intent(&scope, Decimal::new(1990, 2), "EUR", context);
    let id = client.payment.act(1_000_000, seed).unwrap();
    assert_eq!(id, super::intent_id("S", "O9"));
    assert!(client.payment.act(1_000_000, seed).is_err(), "once an order");
    let (_, intent) = client.call("GET", &format!("/v1/payment_intents/{id}"), "", "");
    assert_eq!((intent.decimal("amount_capturable"), intent.text("currency")), (Some(1990.into()), "eur"));
    assert_eq!(client.call("POST", &format!("/v1/payment_intents/{id}/capture"), "", "").0, 200);
    let row = client.payment.ledger().rows().iter().find(|r| r.operation == "capture").unwrap();
    assert_eq!((&*row.scope.order, row.parent.as_str()), ("O9", id.as_str()));
}

#[test]
fn events_are_signed_and_name_the_key_of_their_cause() {
    let mut client = Client::new(Config { event_after_ms: (0, 0), ..Config::default() });
    let body = "amount=100&currency=eur&capture_method=manual&confirm=true&payment_method=pm_card_visa";
    client.call("POST", "/v1/payment_intents", "k1", body);
    let sent = client.payment.due(client.now);
    assert_eq!((sent.len(), sent[0].path.as_str()), (1, "/inbound/v1/payment"));
    let event = Json::parse(&sent[0].body).unwrap();
    assert_eq!(event.text("type"), "payment_intent.amount_capturable_updated");
    assert_eq!(event.get("request").unwrap().text("idempotency_key"), "k1");
    let signature = &sent[0].headers.iter().find(|(k, _)| k == "stripe-signature").unwrap().1;
    let expected = hmac_hex("whsec_crossdock_sim", &[b"1000.", &sent[0].body]);
    assert_eq!(*signature, format!("t=1000,v1={expected}"));
    let (_, events) = client.call("GET", "/v1/events", "", "");
    assert_eq!(events.list("data")[0].text("id"), event.text("id"));
}

#[test]
fn unknown_parameters_and_keys_are_refused() {
    let mut client = Client::new(Config::default());
    assert_eq!(
        code(&client.call("POST", "/v1/payment_intents", "", "amount=1&currency=eur&colour=red")),
        (400, "parameter_unknown")
    );
    assert_eq!(code(&client.call("POST", "/v1/payment_intents", "", r#"{"amount":1}"#)), (400, "parameter_invalid"));
    assert_eq!(code(&client.call("GET", "/v1/payment_intents/pi_none", "", "")), (404, "resource_missing"));
    let request = Request::new("GET", "/v1/payment_intents", "").header("authorization", "Bearer sk_live_x");
    assert_eq!(client.payment.handle(&request, 0).response.unwrap().status, 401);
}
