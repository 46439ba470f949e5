//! The account in scenes, alone and with its order; the rules over random sequences.

use super::*;
use crate::testing::{Script, Shop, World, money, order, order_in, policy, replay};
use crate::{Answer, order::OrderFlow, policy::CaptureWhen};
use crossdock_canonical::{Duration, Operation as Op, Outcome, OutcomeClass};
use crossdock_value::{Value, value};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// `CREDIT_CARD 100.00, GIFT_CERTIFICATE 20.00` as the body of `authorize`.
fn tenders(text: &str) -> Value {
    let mut builder = order();
    for part in text.split(", ") {
        let (method, amount) = part.split_once(' ').expect("a method and an amount");
        builder = builder.pay(method, amount);
    }
    let sold = crate::order::Sold::of(&builder.line("A", 1, "0").build());
    value!({"currency": "EUR", "tenders": crate::kit::json(&sold.tenders)})
}

fn account(text: &str) -> World<PaymentFlow> {
    account_in(policy(), text)
}

/// An account whose tenders are authorized, or being so.
fn account_in(policy: Policy, text: &str) -> World<PaymentFlow> {
    let mut world = World::new(policy);
    world.command("authorize", tenders(text), "auth");
    world
}

fn give(world: &mut World<PaymentFlow>, command: &str, amount: &str, key: &str) -> Option<Answer> {
    let body = value!({"amount": {"amount": amount, "currency": "EUR"}, "shipment": key, "reason": "test"});
    world.command(command, body, key)
}

fn reply(world: &World<PaymentFlow>, key: &str) -> Option<Outcome> {
    world.plan().replies.into_iter().find(|reply| reply.to == key).map(|reply| reply.outcome)
}

fn refused(answer: Option<Answer>) -> (String, String) {
    match answer {
        Some(Answer::Refused { code, text }) => (code, text),
        other => panic!("not refused: {other:?}"),
    }
}

/// What the providers' books say, from the effects in the order they ended *done*: by payment.
#[derive(Debug, Default, Clone, PartialEq)]
struct Book {
    authorized: Decimal,
    captured: Decimal,
    refunded: Decimal,
    /// The rest that was let go after captures.
    released: Decimal,
    voided: bool,
}

fn books(world: &World<PaymentFlow>) -> BTreeMap<String, Book> {
    let mut books: BTreeMap<String, Book> = BTreeMap::new();
    let sale = |payment: &str| match &world.state {
        State::Open(account) => account.tenders.iter().any(|t| t.payment == payment && t.terms.is_some_and(|terms| terms.sale)),
        State::Idle => false,
    };
    for asked in &world.asked {
        if asked.ended.as_ref().is_none_or(|outcome| outcome.class != OutcomeClass::Done) {
            continue;
        }
        let payment = asked.effect.args.get("payment").as_str().expect("a payment").to_owned();
        let amount: Money = crossdock_value::from_value(asked.effect.args.get("amount")).expect("an amount");
        let is_sale = sale(&payment);
        let book = books.entry(payment).or_default();
        match asked.effect.operation {
            Op::PaymentAuthorize | Op::PaymentVerify => {
                book.authorized = book.captured + amount.amount;
                if is_sale {
                    book.captured = amount.amount;
                }
            }
            Op::PaymentCapture => book.captured += amount.amount,
            Op::PaymentRefund => book.refunded += amount.amount,
            Op::PaymentVoid => {
                // A void after captures is of the rest, and says so.
                if asked.effect.args.get("rest").as_bool() == Some(true) {
                    book.released += amount.amount;
                } else {
                    assert!(book.captured.is_zero(), "a void after a capture");
                }
                book.voided = true;
            }
            other => panic!("{other} is no money"),
        }
        assert!(book.captured + book.released <= book.authorized, "{book:?}");
        assert!(book.refunded <= book.captured, "{book:?}");
    }
    books
}

#[test]
fn shipped_step_names_never_change() {
    let names: Vec<&str> = STEPS.iter().map(|step| step.name()).collect();
    assert_eq!(
        names,
        ["verify-tender", "authorize-tender", "reauthorize-tender", "capture-tender", "void-tender", "refund-tender"]
    );
}

// ---- authorizing -------------------------------------------------------------------------------------------------------------

#[test]
fn tenders_are_authorized_in_turn_gift_card_first() {
    let mut world = account("CREDIT_CARD 80.00, GIFT_CERTIFICATE 20.00");
    assert_eq!(world.open(), ["authorize-tender:p2"]);
    assert_eq!(world.args("authorize-tender:p2").get("token").as_str(), Some("token"));
    world.settle("authorize-tender", "p2", world.answer(&world.asked[0].effect.clone()));
    assert_eq!(world.open(), ["verify-tender:p1"]);
    assert_eq!(world.args("verify-tender:p1").get("transaction").as_str(), Some("shop-p1"));
    assert_eq!(reply(&world, "auth"), None);
    world.run();
    let done = reply(&world, "auth").expect("answered");
    assert_eq!(done.evidence.at("authorized.amount").as_str(), Some("100.00"));
    assert_eq!(world.stage(), "authorized");
}

#[test]
fn scenario_02_gift_card_taken_card_refused_gives_the_gift_card_back_and_releases_nothing() {
    let mut shop = Shop::new(policy());
    shop.payment.set_script("verify-tender", Script::Refused("card_declined"));
    shop.place(
        &order().shipment("me").line("A", 1, "50.00").pay("CREDIT_CARD", "30.00").pay("GIFT_CERTIFICATE", "20.00").build(),
    );
    shop.run();
    assert!(shop.payment.is_done("void-tender:p2"), "the gift card is given back");
    assert!(shop.payment.find("void-tender:p1").is_none(), "the refused card has nothing to void");
    assert_eq!(shop.payment.stage(), "failed");
    assert_eq!(shop.order.stage(), "cancelled");
    assert!(shop.order.find("release-shipment:me").is_none() && shop.order.find("reserve-stock").is_none());
    assert_eq!(shop.taken().len(), 0);
    let outcome = shop.order.find("authorize-payment").and_then(|asked| asked.ended.clone()).expect("answered");
    assert_eq!(outcome.code, "card_declined");
}

#[test]
fn whichever_tender_is_refused_the_others_are_given_back_once() {
    for bad in 1..=3 {
        let mut world = account("GIFT_CERTIFICATE 10.00, SALE 20.00, CREDIT_CARD 30.00");
        let step = ["authorize-tender:p1", "authorize-tender:p2", "verify-tender:p3"][bad - 1];
        world.set_script(step, Script::Refused("no"));
        world.run();
        assert_eq!(world.stage(), "failed", "{step}");
        assert_eq!(reply(&world, "auth").map(|outcome| outcome.code), Some("no".into()));
        assert_eq!(world.is_done("void-tender:p1"), bad > 1, "{step}");
        assert_eq!(world.is_done("refund-tender:p2/void"), bad > 2, "{step}: a sale is paid back");
        // Never looked at, but the storefront says it is authorized.
        assert_eq!(world.is_done("void-tender:p3"), bad < 3, "{step}");
        books(&world);
    }
}

#[test]
fn less_than_asked_is_not_an_authorization() {
    let little = value!({"amount": {"amount": "29.99", "currency": "EUR"}, "transaction": "t"});
    let mut world = account("CREDIT_CARD 30.00").script("verify-tender", Script::Done(little));
    world.run();
    assert_eq!(reply(&world, "auth").map(|outcome| outcome.code), Some("authorized_too_little".into()));
    assert!(world.is_done("void-tender:p1"));
}

#[test]
fn authorizing_can_be_tried_again_after_it_failed_under_new_names() {
    let mut world = account("CREDIT_CARD 30.00").script("verify-tender", Script::Refused("no"));
    world.run();
    world.command("authorize", tenders("CREDIT_CARD 30.00"), "again");
    assert_eq!(world.open(), ["verify-tender:p1~2"]);
    world.set_script("verify-tender", Script::Done(Value::Null));
    world.run();
    assert!(reply(&world, "again").is_some_and(|outcome| outcome.class == OutcomeClass::Done));
}

#[test]
fn a_void_before_authorizing_gives_back_what_the_storefront_authorized() {
    let mut world: World<PaymentFlow> = World::new(policy());
    world.command("void", tenders("CREDIT_CARD 80.00, GIFT_CERTIFICATE 20.00"), "v");
    world.run();
    assert_eq!(world.names(), ["void-tender:p1"], "the gift card was never taken");
    assert!(reply(&world, "v").is_some_and(|outcome| outcome.class == OutcomeClass::Done));
    assert_eq!(world.stage(), "voided");
}

#[test]
fn a_void_while_authorizing_waits_for_the_open_tender() {
    let mut world = account("CREDIT_CARD 80.00, GIFT_CERTIFICATE 20.00");
    world.command("void", value!({}), "v");
    assert_eq!(world.open(), ["authorize-tender:p2"]);
    world.run();
    assert!(world.is_done("void-tender:p2") && world.find("verify-tender:p1").is_none());
    assert_eq!(reply(&world, "auth").map(|outcome| outcome.code), Some("voided".into()));
}

// ---- capturing ---------------------------------------------------------------------------------------------------------------

#[test]
fn captures_stay_within_the_authorization_to_the_cent() {
    let mut world = account("CREDIT_CARD 100.00");
    world.run();
    assert_eq!(give(&mut world, "capture", "60.00", "s1"), Some(Answer::Taken));
    let (code, text) = refused(give(&mut world, "capture", "40.01", "s2"));
    assert_eq!(code, "capture_over_authorized");
    assert!(text.contains("40.01") && text.contains("100.00") && text.contains("60.00"), "{text}");
    assert_eq!(reply(&world, "s2").map(|outcome| outcome.code), Some("capture_over_authorized".into()));
    assert_eq!(give(&mut world, "capture", "40.00", "s3"), Some(Answer::Taken));
    refused(give(&mut world, "capture", "0.01", "s4"));
    world.run();
    assert_eq!(books(&world)["p1"].captured, money("100.00 EUR").amount);
}

#[test]
fn one_shipment_is_captured_once_however_often_it_is_asked_for() {
    let mut world = account("CREDIT_CARD 100.00");
    world.run();
    let body = value!({"amount": {"amount": "60.00", "currency": "EUR"}, "shipment": "s1"});
    world.command("capture", body.clone(), "k1");
    world.command("capture", body.clone(), "k1");
    world.command("capture", body, "k2");
    world.run();
    assert_eq!(books(&world)["p1"].captured, money("60.00 EUR").amount);
    assert!(reply(&world, "k1").is_some() && reply(&world, "k2").is_some());
}

#[test]
fn a_tender_that_can_be_captured_once_adds_up_and_is_captured_at_close() {
    let mut world = account("SINGLE 100.00");
    world.run();
    give(&mut world, "capture", "30.00", "s1");
    give(&mut world, "capture", "20.00", "s2");
    world.run();
    assert_eq!(reply(&world, "s2").expect("answered").evidence.at("deferred.amount").as_str(), Some("20.00"));
    assert!(world.find("capture-tender:p1/s1").is_none());
    give(&mut world, "close", "50.00", "c");
    world.run();
    assert_eq!(world.args("capture-tender:p1/close").get("final").as_bool(), Some(true));
    assert_eq!(books(&world)["p1"].captured, money("50.00 EUR").amount);
    assert_eq!(reply(&world, "c").expect("answered").evidence.at("captured.0.amount.amount").as_str(), Some("50.00"));
    assert_eq!(world.stage(), "closed");
}

fn three_shipments(method: &str) -> crossdock_canonical::Order {
    let shipment = |builder: crate::testing::OrderBuilder, n: i32| {
        builder.shipment(&format!("s{n}")).line(&format!("L{n}"), 1, "10.01").charge("2.00")
    };
    let builder = shipment(shipment(shipment(order(), 1), 2), 3).pay(method, "36.03");
    builder.build()
}

fn cancel_line(shop: &mut Shop, line: &str) {
    shop.order.command("cancel", value!({"lines": [{"line": line}]}), "cancel");
    shop.run();
}

#[test]
fn scenario_13_split_capture_with_the_last_line_cancelled_is_right_to_the_cent_and_never_double() {
    for (method, captures) in [("CREDIT_CARD", 2), ("SINGLE", 1)] {
        let mut shop = Shop::new(policy());
        shop.place(&three_shipments(method));
        shop.run();
        shop.ship("s1", "", &[("L1", 1)]);
        shop.ship("s2", "", &[("L2", 1)]);
        cancel_line(&mut shop, "L3");
        assert_eq!((shop.order.stage(), shop.payment.stage()), ("closed".into(), "closed".into()), "{method}");
        // The third shipment never left: neither its line nor its shipping fee is taken.
        assert_eq!(books(&shop.payment)["p1"].captured, money("24.02 EUR").amount, "{method}");
        assert_eq!(shop.payment.names().iter().filter(|name| name.starts_with("capture-tender")).count(), captures, "{method}");
        assert!(shop.order.names().iter().any(|name| name.starts_with("post-payment")));
    }
}

#[test]
fn scenario_13_an_authorization_about_to_expire_is_renewed_captured_or_held() {
    // Captured for what has shipped, the rest is a person's.
    let mut shop = Shop::new(policy());
    shop.place(&three_shipments("SINGLE"));
    shop.run();
    shop.ship("s1", "", &[("L1", 1)]);
    let due = shop.payment.plan().timers[0].due;
    assert!(due < shop.payment.now + Duration::days(7) && due > shop.payment.now + Duration::days(5));
    shop.payment.timer("expiry/p1");
    shop.payment.run();
    assert_eq!(books(&shop.payment)["p1"].captured, money("12.01 EUR").amount);
    shop.ship("s2", "", &[("L2", 1)]);
    cancel_line(&mut shop, "L3");
    assert_eq!(shop.payment.exceptions(), ["auth_lost"], "24.02 are owed, 12.01 can be captured no more");
    assert_eq!(books(&shop.payment)["p1"].captured, money("12.01 EUR").amount, "never a second capture");
    give(&mut shop.payment, "close", "12.01", "person");
    shop.run();
    assert_eq!((shop.order.stage(), shop.payment.stage()), ("closed".into(), "closed".into()));

    // Held: nothing has shipped, a person is told in time.
    let mut world = account("CREDIT_CARD 30.00");
    world.run();
    world.timer("expiry/p1");
    assert_eq!(world.exceptions(), ["auth_expiring"]);
    assert!(world.plan().exceptions[0].cause.contains("30.00 EUR"));

    // Renewed, where the provider can.
    let mut terms = policy();
    terms.payment.methods.get_mut("SINGLE").expect("a method").reauthorize = true;
    let mut world = account_in(terms, "SINGLE 30.00");
    world.run();
    world.timer("expiry/p1");
    assert_eq!(world.args("reauthorize-tender:p1/1").get("replaces").as_str(), Some("auth-p1"));
    world.pass(Duration::days(6));
    world.run();
    assert_eq!(world.exceptions(), Vec::<String>::new());
    assert!(world.plan().timers[0].due > world.now + Duration::days(5));
    give(&mut world, "close", "30.00", "c");
    world.run();
    assert_eq!(books(&world)["p1"].captured, money("30.00 EUR").amount);
}

/// The last capture gives the rest back: before an earlier one, it would take that one's money away.
#[test]
fn the_last_capture_waits_for_those_before_it() {
    let mut world = account("CREDIT_CARD 30.00").script("capture-tender:p1/s1", Script::Silent);
    world.run();
    give(&mut world, "capture", "10.00", "s1");
    world.run();
    let last = value!({"amount": {"amount": "20.00", "currency": "EUR"}, "shipment": "s2", "final": true});
    world.command("capture", last, "s2");
    world.run();
    assert_eq!(world.names(), ["verify-tender:p1", "capture-tender:p1/s1"], "it overtook one whose end is open");
    assert_eq!(reply(&world, "s2"), None, "what is not taken yet is not answered");
    world.settle("capture-tender", "p1/s1", Outcome::done(Value::Null));
    world.run();
    assert_eq!(world.names().last().map(String::as_str), Some("capture-tender:p1/s2"));
    assert_eq!(books(&world)["p1"].captured, money("30.00 EUR").amount);
}

#[test]
fn a_capture_the_provider_refuses_is_a_persons_and_the_reply_waits() {
    let mut world = account("CREDIT_CARD 30.00").script("capture-tender", Script::Refused("insufficient"));
    world.run();
    give(&mut world, "capture", "30.00", "s1");
    world.run();
    assert_eq!(world.exceptions(), ["capture_refused"]);
    assert_eq!(reply(&world, "s1"), None);
    // Retried by a person.
    world.settle("capture-tender", "p1/s1", Outcome::done(Value::Null));
    assert_eq!(world.exceptions(), Vec::<String>::new());
    assert!(reply(&world, "s1").is_some());
}

#[test]
fn what_no_part_capture_has_let_go_of_is_released_when_the_account_is_closed() {
    // Captured, the last of them as final or not; then settled at what was captured.
    for (captures, expected) in [
        (vec![("10.00", false)], vec!["void-tender:p1"]),
        (vec![("10.00", false), ("5.00", false)], vec!["void-tender:p1"]),
        (vec![("10.00", false), ("5.00", true)], vec![]),
        (vec![("30.00", false)], vec![]),
    ] {
        let mut world = account("CREDIT_CARD 30.00");
        world.run();
        let mut owed = Decimal::ZERO;
        for (nth, (amount, last)) in captures.iter().enumerate() {
            owed += amount.parse::<Decimal>().expect("an amount");
            let body = value!({"shipment": (format!("s{nth}").as_str()), "amount": {"amount": *amount, "currency": "EUR"}, "final": *last});
            world.command("capture", body, &format!("s{nth}"));
            world.run();
        }
        give(&mut world, "close", &owed.to_string(), "c");
        world.run();
        let voids: Vec<String> = world.names().into_iter().filter(|name| name.starts_with("void")).collect();
        assert_eq!(voids, expected, "{captures:?}");
        let books = books(&world);
        let book = &books["p1"];
        assert!(book.voided || book.captured == book.authorized || captures.last().is_some_and(|(_, last)| *last), "{book:?}");
        assert_eq!((world.stage(), reply(&world, "c").is_some()), ("closed".into(), true), "{captures:?}");
    }
}

#[test]
fn sales_are_taken_at_once_and_paid_back_where_not_owed() {
    let mut world = account("SALE 30.00");
    world.run();
    assert_eq!(reply(&world, "auth").expect("answered").evidence.at("captured.0.amount.amount").as_str(), Some("30.00"));
    give(&mut world, "capture", "10.00", "s1");
    give(&mut world, "close", "10.00", "c");
    world.run();
    assert_eq!(world.names(), ["authorize-tender:p1", "refund-tender:p1/close"]);
    assert_eq!(books(&world)["p1"].refunded, money("20.00 EUR").amount);

    let mut at_accept = policy();
    at_accept.payment.capture = CaptureWhen::Accept;
    let mut world = account_in(at_accept, "CREDIT_CARD 30.00");
    world.run();
    assert_eq!(reply(&world, "auth").expect("answered").evidence.at("captured.0.amount.amount").as_str(), Some("30.00"));
    world.command("void", value!({}), "v");
    world.run();
    assert!(
        world.find("void-tender:p1").is_none() && world.is_done("refund-tender:p1/void"),
        "captured money is paid back, not voided"
    );
}

#[test]
fn a_market_may_capture_once_when_every_line_is_decided() {
    let mut terms = policy();
    terms.payment.capture = CaptureWhen::Completion;
    let mut shop = Shop::new(terms);
    shop.place(&three_shipments("CREDIT_CARD"));
    shop.run();
    for n in 1..=3 {
        assert!(!shop.payment.names().iter().any(|name| name.starts_with("capture-tender")));
        shop.ship(&format!("s{n}"), "", &[(&format!("L{n}"), 1)]);
    }
    assert_eq!(shop.payment.args("capture-tender:p1/close").at("amount.amount").as_str(), Some("36.03"));
    assert!(shop.order.is_done("post-payment:close/p1"));
    assert_eq!((shop.order.stage(), shop.payment.stage()), ("closed".into(), "closed".into()));
}

#[test]
fn whoever_asks_gets_an_answer_even_when_nothing_was_authorized_or_the_tenders_are_wrong() {
    let mut world: World<PaymentFlow> = World::new(policy());
    assert_eq!(refused(give(&mut world, "capture", "1.00", "s1")).0, "not_authorized");
    assert_eq!(reply(&world, "s1").map(|outcome| outcome.code), Some("not_authorized".into()));
    let mut twice = tenders("CREDIT_CARD 30.00");
    let tender = twice.at("tenders.0").clone();
    twice.insert("tenders", Value::from(vec![tender.clone(), tender]));
    assert_eq!(refused(world.command("authorize", twice, "a1")).0, "bad_tenders");
    assert_eq!(reply(&world, "a1").map(|outcome| outcome.code), Some("bad_tenders".into()));
    // The right tenders still find their way.
    world.command("authorize", tenders("CREDIT_CARD 30.00"), "a2");
    world.run();
    assert!(reply(&world, "a2").is_some_and(|outcome| outcome.class == OutcomeClass::Done));
}

#[test]
fn nobody_is_asked_about_a_tender_on_invoice() {
    let mut shop = Shop::new(policy());
    shop.place(&order().shipment("me").line("A", 1, "20.00").pay("INVOICE", "20.00").build());
    shop.run();
    shop.ship("me", "", &[("A", 1)]);
    assert_eq!((shop.order.stage(), shop.payment.stage()), ("closed".into(), "closed".into()));
    assert_eq!(shop.payment.names(), Vec::<String>::new());
}

#[test]
fn a_method_without_a_policy_waits_until_it_has_one() {
    let mut world = account("BARTER 20.00");
    assert_eq!(world.exceptions(), ["misconfigured"]);
    let card = world.policy.payment.methods["CREDIT_CARD"].clone();
    world.policy.payment.methods.insert("BARTER".into(), card);
    world.command("acknowledge", value!({}), "k");
    assert_eq!(world.open(), ["verify-tender:p1"]);
}

#[test]
fn scenario_11_minor_units_follow_the_currency_and_all_sums_are_exact() {
    for (currency, prices, shares) in [
        ("JPY", ["1000", "333"], ["500", "500", "333"]),
        ("KWD", ["1.001", "0.333"], ["0.500", "0.501", "0.333"]),
        ("EUR", ["10.01", "3.33"], ["5.00", "5.01", "3.33"]),
    ] {
        let mut shop = Shop::new(policy());
        shop.place(&order_in(currency).shipment("me").line("A", 2, prices[0]).line("B", 1, prices[1]).build());
        shop.run();
        shop.ship("me", "p1", &[("A", 1)]);
        shop.ship("me", "p2", &[("A", 1)]);
        shop.ship("me", "p3", &[("B", 1)]);
        assert_eq!(shop.order.stage(), "closed", "{currency}");
        for (parcel, share) in shares.iter().enumerate() {
            let args = shop.payment.args(&format!("capture-tender:p1/me/p{}", parcel + 1));
            let amount: Money = crossdock_value::from_value(args.get("amount")).expect("an amount");
            assert_eq!(amount, money(&format!("{share} {currency}")));
            assert!(amount.to_minor().is_ok(), "{amount} is in minor units");
        }
    }
}

// ---- giving back -------------------------------------------------------------------------------------------------------------

#[test]
fn refunds_are_summed_and_stay_within_what_was_captured() {
    let mut world = account("CREDIT_CARD 80.00, GIFT_CERTIFICATE 20.00");
    world.run();
    refused(give(&mut world, "refund", "0.01", "early"));
    give(&mut world, "capture", "100.00", "s1");
    world.run();
    assert_eq!(give(&mut world, "refund", "85.00", "r1"), Some(Answer::Taken));
    // The card before the gift card; while they are open they count.
    assert_eq!(world.args("refund-tender:p1/r2").at("amount.amount").as_str(), Some("80.00"));
    assert_eq!(world.args("refund-tender:p2/r2").at("amount.amount").as_str(), Some("5.00"));
    let (code, text) = refused(give(&mut world, "refund", "15.01", "r2"));
    assert_eq!(code, "refund_over_captured");
    assert!(text.contains("15.00"), "{text}");
    assert_eq!(give(&mut world, "refund", "15.00", "r3"), Some(Answer::Taken));
    world.run();
    give(&mut world, "close", "100.00", "c");
    world.run();
    let books = books(&world);
    assert_eq!(books["p1"].refunded + books["p2"].refunded, money("100.00 EUR").amount);
    assert_eq!(world.stage(), "closed", "a refund by command is not collected again");
}

#[test]
fn a_void_after_capture_is_impossible() {
    for (method, command) in [("CREDIT_CARD", "capture"), ("SINGLE", "close")] {
        let mut world = account(&format!("{method} 30.00"));
        world.run();
        give(&mut world, command, "10.00", "s1");
        let State::Open(account) = &world.state else { panic!("open") };
        // The capture is still open: that is enough.
        assert_eq!(rules::allow_void(&account.tenders[0]).map_err(|refusal| refusal.code), Err("void_after_capture".into()));
        world.run();
        assert!(world.find("void-tender:p1").is_none(), "{method}");
    }
}

#[test]
fn what_a_part_capture_left_is_released_when_the_payment_is_voided() {
    let mut world = account("CREDIT_CARD 30.00");
    world.run();
    give(&mut world, "capture", "10.00", "s1");
    world.run();
    world.command("void", value!({}), "v");
    world.run();
    let book = &books(&world)["p1"];
    assert_eq!((book.refunded, book.released), (money("10.00 EUR").amount, money("20.00 EUR").amount));
}

#[test]
fn amounts_in_another_currency_are_refused() {
    let mut world = account("CREDIT_CARD 30.00");
    world.run();
    let body = value!({"amount": {"amount": "1.00", "currency": "USD"}, "shipment": "s1"});
    for command in ["capture", "close", "refund"] {
        refused(world.command(command, body.clone(), command));
    }
}

// ---- late news ---------------------------------------------------------------------------------------------------------------

fn news(event: &str, transaction: &str) -> Value {
    value!({"payment": "p1", "transaction": transaction, "event": event, "amount": {"amount": "30.00", "currency": "EUR"}})
}

#[test]
fn late_notices_confirm_or_reverse_and_repeat_without_harm() {
    let accepted = value!({"state": "accepted", "transaction": "cap-1"});
    let mut world = account("CREDIT_CARD 30.00").script("capture-tender", Script::Done(accepted));
    world.run();
    give(&mut world, "capture", "30.00", "s1");
    world.run();
    let state = |world: &World<PaymentFlow>| match &world.state {
        State::Open(account) => account.tenders[0].operations.last().map(|op| op.state),
        State::Idle => None,
    };
    assert_eq!(state(&world), Some(OpState::Accepted));
    for _ in 0..2 {
        world.message("payment.notice", news("captured", "cap-1"));
        assert_eq!(state(&world), Some(OpState::Succeeded));
    }
    world.message("payment.notice", news("failed", "cap-1"));
    assert_eq!(state(&world), Some(OpState::Reversed));
    assert_eq!(world.exceptions(), ["payment_reversed"]);
    let events = world.events.len();
    world.message("payment.notice", news("failed", "cap-1"));
    world.message("payment.notice", news("authorized", "auth-p1"));
    world.message("payment.notice", news("captured", "cap-1"));
    assert_eq!(world.events.len(), events, "old news is no news");
    // A reversed capture may be retried, so it still counts against the authorization.
    refused(give(&mut world, "capture", "0.01", "s2"));
}

#[test]
fn an_authorization_the_provider_lets_go_captures_nothing() {
    let mut world = account("CREDIT_CARD 30.00");
    world.run();
    world.message("payment.notice", news("voided", "auth-p1"));
    assert_eq!(world.exceptions(), ["payment_reversed"]);
    assert_eq!(refused(give(&mut world, "capture", "30.00", "s1")).0, "capture_over_authorized");
}

#[test]
fn news_that_fits_nothing_is_shown_to_a_person() {
    let mut world = account("CREDIT_CARD 30.00");
    world.run();
    world.message("payment.notice", news("refunded", "who-knows"));
    world.message("payment.notice", news("refunded", "who-knows"));
    assert_eq!(world.exceptions(), ["payment_unexpected"]);
    world.command("acknowledge", value!({}), "k");
    assert_eq!(world.exceptions(), Vec::<String>::new());
}

/// See the order's test of the same name.
#[test]
fn recorded_accounts_of_logic_1_still_ask_what_they_asked() {
    let closed = replay::<PaymentFlow>(&policy(), include_str!("recorded/closed.logic-1.jsonl"));
    assert!(matches!(closed, State::Open(account) if matches!(account.phase, Phase::Closed { .. })));
}

// ---- laws --------------------------------------------------------------------------------------------------------------------

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is commanded, answered, refused, reversed or repeated: the providers' books keep the rules (asserted in `books`),
    /// and the driver checks that a name keeps its arguments.
    #[test]
    fn no_sequence_breaks_the_rules_about_money(
        given in prop::sample::select(vec![
            "CREDIT_CARD 30.00", "SINGLE 30.00", "SALE 30.00", "GIFT_CERTIFICATE 10.00, CREDIT_CARD 20.00", "SINGLE 10.00, SALE 10.00, INVOICE 10.00",
        ]),
        accept in any::<bool>(),
        moves in prop::collection::vec((0_u8..11, 0_usize..8, 1_i64..2_000), 1..40),
    ) {
        let mut terms = policy();
        if accept { terms.payment.capture = CaptureWhen::Accept; }
        terms.payment.methods.get_mut("CREDIT_CARD").expect("a method").reauthorize = true;
        let mut world = account_in(terms, given);
        for (kind, which, cents) in moves {
            let open: Vec<_> = world.asked.iter().filter(|asked| asked.ended.is_none()).map(|asked| asked.effect.clone()).collect();
            let any = open.get(which % open.len().max(1)).cloned();
            let amount = Decimal::new(cents, 2).to_string();
            let key = format!("k{}", world.asked.len() * 1000 + world.events.len());
            match (kind, any) {
                (0..=3, Some(effect)) => { let outcome = world.answer(&effect); world.settle(effect.step, &effect.intent, outcome); }
                (4, Some(effect)) => world.settle(effect.step, &effect.intent, Outcome::refused("no", "")),
                (5, _) => { give(&mut world, "capture", &amount, &format!("s{which}")); }
                (6, _) => { give(&mut world, "refund", &amount, &key); }
                (7, _) if which < 2 => { give(&mut world, "close", &amount, &key); }
                (7, _) if which < 4 => { world.command("void", value!({}), &key); }
                (8, _) => world.timer("expiry/p1"),
                (9, _) => {
                    // A refused effect retried by a person.
                    let failed = world.asked.iter().find(|a| a.ended.as_ref().is_some_and(|o| o.class == OutcomeClass::Refused)).cloned();
                    if let Some(asked) = failed { let outcome = world.answer(&asked.effect); world.settle(asked.effect.step, &asked.effect.intent, outcome); }
                }
                (10, _) => world.message("payment.notice", news(["captured", "refunded", "authorized"][which % 3], "auth-p1")),
                _ => {}
            }
            books(&world);
        }
        world.run();
        let after = books(&world);
        let sum: Decimal = after.values().map(|book| book.captured - book.refunded).sum();
        prop_assert!(sum <= money("30.00 EUR").amount);
        let names = world.names();
        prop_assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }
}

#[test]
fn every_end_heard_twice_is_heard_once() {
    let mut world = account("GIFT_CERTIFICATE 10.00, CREDIT_CARD 20.00");
    for command in ["", "capture", "close", "refund"] {
        if !command.is_empty() {
            give(&mut world, command, "30.00", command);
        }
        while let Some(effect) = world.asked.iter().find(|asked| asked.ended.is_none()).map(|asked| asked.effect.clone()) {
            let outcome = world.answer(&effect);
            world.settle(effect.step, &effect.intent, outcome.clone());
            let events = world.events.len();
            world.settle(effect.step, &effect.intent, outcome);
            world.hear(&Input::Settled {
                step: effect.step.into(),
                intent: effect.intent.clone(),
                outcome: Outcome::refused("late", ""),
            });
            assert_eq!(world.events.len(), events);
        }
    }
    let total: Decimal = books(&world).values().map(|book| book.captured - book.refunded).sum();
    assert_eq!(total, Decimal::ZERO);
}

/// The order flow speaks of payment steps only through commands the payment flow knows.
#[test]
fn every_command_of_the_order_is_understood() {
    let mut order_world: World<OrderFlow> = World::new(policy());
    order_world.message("order.placed", crate::kit::json(&order().shipment("me").line("A", 1, "20.00").build()));
    order_world.run();
    order_world.command("cancel", value!({}), "k");
    order_world.run();
    let commands: BTreeSet<String> =
        order_world.asked.iter().filter_map(|asked| asked.effect.args.get("command").as_str().map(str::to_owned)).collect();
    assert_eq!(commands, BTreeSet::from(["authorize".to_owned(), "void".to_owned()]));
}
