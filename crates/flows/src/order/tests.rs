//! The order's life in scenes. `scene` plays a text table: what happens | what is newly asked | where the order stands.

mod laws;

use super::*;
use crate::testing::{Script, Shop, World, money, name_of, notice, order, policy, replay};
use crossdock_canonical::{
    Order, Outcome,
    order::{Address, LineKind},
};
use crossdock_value::{Value, value};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn placed(order: &Order) -> World<OrderFlow> {
    placed_in(policy(), order)
}

fn placed_in(policy: Policy, order: &Order) -> World<OrderFlow> {
    let mut world = World::new(policy);
    world.message("order.placed", crate::kit::json(order));
    world
}

fn life(world: &World<OrderFlow>) -> &Life {
    match &world.state {
        State::Placed(life) => life,
        other => panic!("no order was placed: {other:?}"),
    }
}

fn lines_of(text: &str) -> Vec<(&str, i64)> {
    text.split(',')
        .filter_map(|part| part.split_once('='))
        .map(|(line, pieces)| (line, pieces.parse().expect("pieces")))
        .collect()
}

fn cancel_body(text: &str) -> Value {
    if text.is_empty() {
        return value!({});
    }
    let lines: Value = lines_of(text)
        .iter()
        .map(|(line, pieces)| value!({"line": *line, "quantity": {"value": pieces.to_string(), "unit": "EA"}}))
        .collect();
    value!({"lines": lines})
}

/// One thing that happens: `done STEP`, `refuse STEP CODE`, `skip STEP`, `all`, `notice STAGE SHIPMENT[/PARCEL] LINE=N,..`,
/// `cancel [LINE=N,..]`, `hold`, `release`, `fraud DECISION`, `timer NAME`.
fn happen(world: &mut World<OrderFlow>, what: &str) {
    let words: Vec<&str> = what.split_whitespace().collect();
    let name = |word: &str| {
        let (step, intent) = word.split_once(':').unwrap_or((word, ""));
        (step.to_owned(), intent.to_owned())
    };
    match words.as_slice() {
        ["placed"] => {}
        ["all"] => world.run(),
        ["done", word] => {
            let outcome = world
                .answer(&world.find(word).unwrap_or_else(|| panic!("{word} was not asked; {:?}", world.names())).effect.clone());
            let (step, intent) = name(word);
            world.settle(&step, &intent, outcome);
        }
        ["refuse", word, code] => {
            let (step, intent) = name(word);
            world.settle(&step, &intent, Outcome::refused(*code, "no"));
        }
        ["skip", word] => {
            let (step, intent) = name(word);
            world.skip(&step, &intent);
        }
        ["notice", stage, place, lines] => {
            let (shipment, parcel) = place.split_once('/').unwrap_or((place, ""));
            world.message("shipment.notice", notice(stage, shipment, parcel, &lines_of(lines), 1));
        }
        ["cancel", rest @ ..] => {
            let key = format!("key-{}", world.events.len());
            world.command("cancel", cancel_body(rest.first().copied().unwrap_or("")), &key);
        }
        ["fraud", decision] => world.message("fraud.decided", value!({"decision": *decision})),
        ["timer", name] => world.timer(name),
        [command @ ("hold" | "release")] => {
            world.command(command, value!({"reason": "test"}), command);
        }
        other => panic!("{other:?} is no scene"),
    }
}

/// Plays a table. The second column lists effects newly asked for (order does not matter), the third `stage [exceptions]`.
fn scene(mut world: World<OrderFlow>, table: &str) -> World<OrderFlow> {
    let mut known = 0;
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let [when, asked, stands] = columns.as_slice() else { panic!("three columns: {row}") };
        happen(&mut world, when);
        let names = world.names();
        let new: BTreeSet<&str> = names[known..].iter().map(String::as_str).collect();
        known = names.len();
        assert_eq!(new, asked.split_whitespace().collect(), "newly asked after `{when}`");
        let mut standing = vec![world.stage()];
        standing.extend(world.exceptions());
        assert_eq!(standing.join(" "), *stands, "standing after `{when}`");
    }
    world
}

fn small() -> Order {
    order().shipment("me").line("A", 2, "20.00").charge("5.00").build()
}

// ---- the undisturbed life ----------------------------------------------------------------------------------------------------

#[test]
fn shipped_step_names_never_change() {
    let names: Vec<&str> = STEPS.iter().map(|step| step.name()).collect();
    assert_eq!(
        names,
        [
            "take-order",
            "screen-fraud",
            "quote-tax",
            "authorize-payment",
            "reserve-stock",
            "create-erp-order",
            "confirm-order",
            "release-shipment",
            "capture-payment",
            "fulfil-stock",
            "post-delivery",
            "post-invoice",
            "post-payment",
            "tell-shipping",
            "tell-payment",
            "tell-lines",
            "notify-customer",
            "close-payment",
            "commit-tax",
            "complete-order",
            "cancel-shipment",
            "cancel-erp-order",
            "release-stock",
            "void-payment",
            "void-tax",
            "tell-cancelled",
        ]
    );
    for step in STEPS {
        assert_eq!(Step::from_name(step.name()), Some(*step));
    }
}

#[test]
fn an_order_goes_from_placed_to_closed() {
    let world = scene(
        placed(&small()),
        "
        placed                    | take-order                                        | accepted
        done take-order           | screen-fraud                                      | checked
        done screen-fraud         | quote-tax                                         | screened
        done quote-tax            | authorize-payment                                 | taxed
        done authorize-payment    | reserve-stock                                     | authorized
        done reserve-stock        | create-erp-order                                  | reserved
        done create-erp-order     | confirm-order notify-customer:confirmed release-shipment:me | booked
        done release-shipment:me  |                                                   | released
        done confirm-order        | tell-lines:v1                                     | released
        notice shipped me A=2     | capture-payment:me fulfil-stock:me post-delivery:me tell-shipping:shipped notify-customer:shipped/me | shipped
        done capture-payment:me   | tell-payment:paid close-payment                   | shipped
        done close-payment        | commit-tax                                        | shipped
        done post-delivery:me     | post-invoice:me                                   | shipped
        done post-invoice:me      | post-payment:me/p1                                | shipped
        all                       | tell-lines:v2 complete-order                      | closed
        notice delivered me A=2   |                                                   | closed
        ",
    );
    assert_eq!(world.args("capture-payment:me").at("body.amount"), &crate::kit::json(&money("25.00 EUR")));
    assert_eq!(world.args("close-payment").at("body.amount"), &crate::kit::json(&money("25.00 EUR")));
    assert_eq!(world.plan().summary.status, Status::Closed);
    assert!(world.open().is_empty());
}

#[test]
fn an_order_and_its_payment_tie_to_the_cent() {
    let mut shop = Shop::new(policy());
    shop.place(&order().shipment("me").line("A", 3, "10.00").line("B", 1, "5.55").charge("4.95").adjust("-2.22").build());
    shop.run();
    for parcel in 1..=3 {
        shop.ship("me", &format!("p{parcel}"), &[("A", 1)]);
    }
    shop.ship("me", "p4", &[("B", 1)]);
    assert_eq!(shop.order.stage(), "closed");
    assert_eq!(shop.payment.stage(), "closed");
    assert_eq!(shop.taken().into_values().sum::<Decimal>(), money("18.28 EUR").amount);
}

#[test]
fn the_market_says_which_steps_run() {
    let bare = Policy { fraud: None, tax: None, erp: None, fulfilment: None, notification: None, ..policy() };
    let mut bare = bare;
    bare.inventory.authority = crate::policy::StockAuthority::Storefront;
    bare.storefront.hub_state = false;
    let mut world = placed_in(bare, &small());
    world.run();
    assert_eq!(world.stage(), "closed");
    let names = world.names();
    for step in ["screen-fraud", "quote-tax", "reserve-stock", "create-erp-order", "release-shipment:me", "commit-tax"] {
        assert!(!names.contains(&step.to_owned()), "{step} ran: {names:?}");
    }
}

// ---- what keeps it from going on ---------------------------------------------------------------------------------------------

#[test]
fn scenario_21_a_bad_address_is_caught_before_release_mended_by_a_person_and_resumed() {
    let address = Address {
        line1: Some("1 Main Street".into()),
        city: Some("Los Angeles".into()),
        postal_code: Some("90001".into()),
        region: Some("Kalifornien".into()),
        country: Some("US".into()),
        ..Address::default()
    };
    let mut world = placed(&order().shipment_to("me", address).line("A", 1, "20.00").build());
    world.run();
    assert_eq!(world.names(), ["take-order"]);
    assert_eq!(world.exceptions(), ["bad_address"]);
    assert!(world.plan().exceptions[0].cause.contains("region"));

    let no_help = world.command("amend", value!({"ship_to": {"region": "XX"}}), "k1");
    assert!(matches!(no_help, Some(crate::Answer::Refused { code, .. }) if code == "no_help"));
    assert_eq!(world.command("amend", value!({"ship_to": {"region": "CA"}}), "k2"), Some(crate::Answer::Taken));
    assert_eq!(world.exceptions(), Vec::<String>::new());
    world.run();
    assert_eq!(world.stage(), "released");
}

#[test]
fn an_amendment_changes_the_document_it_is_about() {
    let document = crate::kit::json(&small());
    let after = amended(&document, &value!({"shipment": "me", "ship_to": {"region": "BE"}}));
    assert_eq!(after.at("shipments.0.ship_to.region").as_str(), Some("BE"));
    assert_eq!(after.at("shipments.0.ship_to.city").as_str(), Some("Berlin"));
    assert_eq!(amended(&document, &value!({"shipment": "other", "ship_to": {"region": "BE"}})), document);
}

#[test]
fn sums_that_do_not_tie_are_held_with_both_shown_and_can_be_corrected_or_accepted() {
    let mut wrong = small();
    wrong.totals.grand = money("24.00 EUR");
    let world = placed(&wrong);
    assert_eq!(world.exceptions(), ["bad_totals"]);
    let cause = &world.plan().exceptions[0].cause;
    assert!(cause.contains("24.00 EUR") && cause.contains("25.00 EUR"), "{cause}");

    let mut corrected = world.clone();
    assert_eq!(corrected.command("amend", value!({"order": crate::kit::json(&small())}), "k"), Some(crate::Answer::Taken));
    corrected.run();
    assert_eq!(corrected.stage(), "released");
    // The storefront goes on showing the old document; that is no news.
    corrected.message("order.observed", crate::kit::json(&wrong));
    assert_eq!(corrected.exceptions(), Vec::<String>::new());

    let mut accepted = world;
    accepted.command("amend", value!({"accept_totals": true}), "k");
    assert_eq!(accepted.exceptions(), Vec::<String>::new());
}

#[test]
fn a_document_that_is_no_order_waits_for_a_whole_one() {
    let mut world: World<OrderFlow> = World::new(policy());
    let mut broken = crate::kit::json(&small());
    broken.set("customer.guest", "Jane Doe");
    world.message("order.placed", broken);
    assert_eq!(world.exceptions(), ["bad_order"]);
    let cause = &world.plan().exceptions[0].cause;
    assert!(!cause.contains("Jane"), "{cause}");
    assert_eq!(world.command("amend", value!({"order": crate::kit::json(&small())}), "k"), Some(crate::Answer::Taken));
    assert_eq!(world.open(), ["take-order"]);
}

#[test]
fn a_fraud_review_waits_for_a_decision_and_a_rejection_gives_everything_back() {
    let review = || placed(&small()).script("screen-fraud", Script::Done(value!({"decision": "review"})));
    let mut approved = review();
    approved.run();
    assert_eq!(approved.exceptions(), ["fraud_review"]);
    assert_eq!(approved.plan().timers.len(), 1);
    approved.timer("fraud-review");
    assert!(approved.plan().exceptions[0].cause.contains("longer than"));
    approved.command("decide_fraud", value!({"decision": "approve"}), "k");
    approved.run();
    assert_eq!(approved.stage(), "released");

    let mut rejected = review();
    rejected.run();
    rejected.message("fraud.decided", value!({"decision": "reject"}));
    rejected.run();
    assert_eq!(rejected.stage(), "cancelled");
    // The storefront's authorization is voided although this hub never verified it.
    assert!(rejected.is_done("void-payment") && rejected.is_done("tell-cancelled"));
}

#[test]
fn scenario_10_differences_beyond_tolerance_are_held_with_both_sums_until_released() {
    let mut world = placed(&small()).script("quote-tax", Script::Done(value!({"tax": {"amount": "3.00", "currency": "EUR"}})));
    world.run();
    assert_eq!(world.exceptions(), ["tax_difference"]);
    world.set_script("create-erp-order", Script::Done(value!({"total": {"amount": "25.03", "currency": "EUR"}})));
    world.command("release", value!({"reason": "ok"}), "k1");
    world.run();
    assert_eq!(world.exceptions(), ["erp_difference"]);
    assert!(world.plan().exceptions[0].cause.contains("25.03 EUR"));
    assert!(!world.names().contains(&"release-shipment:me".to_owned()));
    world.command("release", value!({"reason": "ok"}), "k2");
    world.run();
    assert_eq!(world.stage(), "released");
}

#[test]
fn scenario_10_a_difference_within_tolerance_goes_through() {
    let mut world =
        placed(&small()).script("create-erp-order", Script::Done(value!({"total": {"amount": "25.02", "currency": "EUR"}})));
    world.run();
    assert_eq!(world.stage(), "released");
}

#[test]
fn scenario_30_an_echo_of_our_own_writes_is_no_news() {
    let mut world = placed(&small());
    world.run();
    let events = world.events.len();
    let mut echo = small();
    echo.custom.insert("c_hubState".into(), crossdock_canonical::order::Attribute(value!({"version": 1})));
    echo.payments[0].transaction = Some("filled in later".into());
    world.message("order.observed", crate::kit::json(&echo));
    world.message("order.placed", crate::kit::json(&echo));
    assert_eq!(world.events.len(), events);

    echo.lines[0].quantity = crossdock_canonical::Quantity::pieces(1);
    world.message("order.observed", crate::kit::json(&echo));
    world.message("order.observed", crate::kit::json(&echo));
    assert_eq!(world.exceptions(), ["order_changed"]);
    assert_eq!(world.events.len(), events + 1);
}

#[test]
fn a_held_order_starts_nothing_new_and_goes_on_when_released() {
    scene(
        placed(&small()),
        "
        done take-order           | take-order screen-fraud | checked
        hold                      |                         | checked
        done screen-fraud         |                         | screened
        release                   | quote-tax               | screened
        ",
    );
}

// ---- goods -------------------------------------------------------------------------------------------------------------------

#[test]
fn scenario_12_a_partial_shipment_is_state_per_line_and_the_order_closes_when_its_lines_do() {
    let mut world = placed(&order().shipment("me").line("A", 2, "20.00").line("B", 1, "7.00").build());
    world.run();
    happen(&mut world, "notice shipped me/p1 A=1");
    world.run();
    assert_eq!(world.stage(), "part_shipped");
    assert_eq!(world.args("tell-shipping:part_shipped").get("status").as_str(), Some("part_shipped"));
    assert!(world.find("close-payment").is_none() && world.find("complete-order").is_none());
    assert_eq!(world.args("post-delivery:me/p1").at("lines.0.quantity.value").as_str(), Some("1"));
    happen(&mut world, "notice shipped me/p2 A=1,B=1");
    world.run();
    assert_eq!(world.stage(), "closed");
    assert_eq!(world.args("capture-payment:me/p1").at("body.final").as_bool(), Some(false));
    assert_eq!(world.args("capture-payment:me/p2").at("body.final").as_bool(), Some(true));
}

#[test]
fn scenario_23_digital_lines_and_gift_cards_are_fulfilled_at_once_and_block_nothing() {
    let mixed = order().shipment("me").line("A", 1, "20.00").line_of(LineKind::Digital, "D", 1, "10.00").line_of(
        LineKind::GiftCard,
        "G",
        1,
        "50.00",
    );
    let mut document = mixed.build();
    document.lines[2].sku = None;
    let mut world = placed(&document).script("release-shipment", Script::Silent);
    world.run();
    assert!(world.is_done("capture-payment:direct") && world.is_done("post-invoice:direct"));
    assert_eq!(world.args("release-shipment:me").get("lines").as_arr().map(<[_]>::len), Some(1));
    assert_eq!(world.args("reserve-stock").get("lines").as_arr().map(<[_]>::len), Some(1));
    assert!(world.find("fulfil-stock:direct").is_none());

    let mut digital = placed(&order().line_of(LineKind::Digital, "D", 1, "10.00").build());
    digital.run();
    assert_eq!(digital.stage(), "closed");
}

#[test]
fn a_pickup_goes_to_the_store_that_serves_it_and_shipments_split_by_location() {
    let document =
        order().pickup("pick", "store-7").line("A", 1, "1.00").shipment("me").line("B", 1, "1.00").line("C", 1, "1.00").build();
    let split = value!({"lines": [{"line": "B", "location": "north"}, {"line": "C", "location": "south"}]});
    let mut world = placed(&document).script("reserve-stock", Script::Done(split));
    world.run();
    let target = |name: &str| world.find(name).map(|asked| asked.effect.target.clone());
    assert_eq!(target("release-shipment:pick"), Some(crate::Target::System("store-7-pos".into())));
    assert_eq!(target("release-shipment:me-1"), Some(crate::Target::System("wms".into())));
    assert_eq!(world.args("release-shipment:me-2").at("lines.0.location").as_str(), Some("south"));
}

#[test]
fn scenario_06_a_silent_warehouse_is_flagged_naming_the_hop_and_its_notice_closes_the_flag() {
    let mut world = placed(&small());
    world.run();
    assert_eq!(world.plan().timers[0].name, "ship/me");
    happen(&mut world, "timer ship/me");
    assert_eq!(world.exceptions(), ["overdue"]);
    let cause = &world.plan().exceptions[0].cause;
    assert!(cause.contains("wms") && cause.contains("me"), "{cause}");
    happen(&mut world, "notice shipped me A=2");
    assert_eq!(world.exceptions(), Vec::<String>::new());
}

#[test]
fn goods_the_warehouse_does_not_have_are_cancelled_or_parked_by_policy() {
    let mut world = placed(&small());
    world.run();
    happen(&mut world, "notice short me A=1");
    world.run();
    assert!(world.is_done("cancel-erp-order:c1") && world.is_done("release-stock:c1"));
    assert!(world.find("cancel-shipment:c1/me").is_none(), "the warehouse said so itself");
    happen(&mut world, "notice shipped me A=1");
    world.run();
    assert_eq!(world.stage(), "closed");
    assert_eq!(world.args("close-payment").at("body.amount.amount").as_str(), Some("15.00"));

    let mut parked = policy();
    parked.refusals.short = crate::policy::Refusal::Park;
    let mut world = placed_in(parked, &small());
    world.run();
    happen(&mut world, "notice short me A=1");
    assert_eq!(world.exceptions(), ["short"]);
}

#[test]
fn scenario_04_repeated_late_and_reordered_notices_change_nothing_twice() {
    let mut world = placed(&small());
    world.run();
    for what in ["notice shipped me/p1 A=2", "notice picked me A=2", "notice shipped me/p1 A=2", "notice accepted me A=2"] {
        happen(&mut world, what);
    }
    world.run();
    assert_eq!(life(&world).dispatches.len(), 1);
    assert_eq!(world.stage(), "closed");
}

// ---- the way back ------------------------------------------------------------------------------------------------------------

#[test]
fn scenario_14_cancellation_races_the_pick_wave_and_has_one_winner() {
    let released = || {
        let mut world = placed(&small());
        world.run();
        world
    };
    // The warehouse accepts: the cancellation wins.
    let mut won = scene(
        released(),
        "
        placed | take-order screen-fraud quote-tax authorize-payment reserve-stock create-erp-order confirm-order notify-customer:confirmed release-shipment:me tell-lines:v1 | released
        cancel                    | cancel-shipment:c1/me | released
        done cancel-shipment:c1/me | cancel-erp-order:c1  | cancelling
        done cancel-erp-order:c1  | release-stock:c1      | cancelling
        done release-stock:c1     | void-payment          | cancelling
        done void-payment         | void-tax              | cancelling
        done void-tax             | tell-cancelled notify-customer:cancelled | cancelling
        all                       |                       | cancelled
        notice shipped me A=2     |                       | cancelled shipped_after_cancel
        ",
    );
    assert!(won.find("capture-payment:me").is_none());
    won.command("acknowledge", value!({}), "k");
    assert_eq!(won.exceptions(), Vec::<String>::new());

    // The wave has begun: the cancellation is too late, recorded, and the goods go on.
    let mut lost = released();
    happen(&mut lost, "cancel");
    happen(&mut lost, "refuse cancel-shipment:c1/me already_picked");
    let ended = lost.events.iter().find_map(|event| match event {
        Event::CancellationEnded { cancelled, too_late, .. } => Some((cancelled.len(), too_late.len())),
        _ => None,
    });
    assert_eq!(ended, Some((0, 1)));
    assert_eq!(lost.exceptions(), Vec::<String>::new());
    assert!(lost.plan().replies.iter().any(|reply| reply.outcome.code == "too_late"));
    happen(&mut lost, "notice shipped me A=2");
    lost.run();
    assert_eq!(lost.stage(), "closed");

    // The goods left while the warehouse was being asked: too late, whatever it answers.
    let mut crossed = released();
    happen(&mut crossed, "cancel");
    happen(&mut crossed, "notice shipped me A=2");
    happen(&mut crossed, "done cancel-shipment:c1/me");
    crossed.run();
    assert_eq!(crossed.stage(), "closed");
    assert!(crossed.find("void-payment").is_none() && crossed.find("cancel-erp-order:c1").is_none());
}

/// The engine asks the storefront whether it was confirmed, after a restart too.
#[test]
fn what_was_under_way_when_an_order_was_cancelled_keeps_its_arguments() {
    let mut world = placed(&small()).script("confirm-order", Script::Silent).script("notify-customer:confirmed", Script::Silent);
    world.run();
    world.command("cancel", value!({}), "k");
    world.run();
    assert!(world.is_done("void-payment"), "{:?}", world.names());
    for (step, intent, args) in [
        ("confirm-order", "", value!({"status": "confirmed"})),
        ("notify-customer", "confirmed", value!({"template": "order_confirmed"})),
    ] {
        assert!(
            !world.plan().effects.iter().any(|effect| effect.step == step && effect.intent == intent),
            "{step} is not wanted"
        );
        let before = OrderFlow::before_called_off(&world.state, step, intent).expect("it was under way");
        let plan = OrderFlow::decide(&before, &policy(), OrderFlow::LOGIC, world.now);
        let again = plan.effects.into_iter().find(|effect| effect.step == step && effect.intent == intent);
        assert_eq!(again.map(|effect| effect.args), Some(args), "{step}");
    }
}

#[test]
fn a_cancellation_waits_for_what_it_would_have_to_undo() {
    scene(
        placed(&small()),
        "
        done take-order           | take-order screen-fraud | checked
        done screen-fraud         | quote-tax               | screened
        done quote-tax            | authorize-payment       | taxed
        done authorize-payment    | reserve-stock           | authorized
        done reserve-stock        | create-erp-order        | reserved
        cancel                    |                         | cancelling
        done create-erp-order     | cancel-erp-order:c1     | cancelling
        done cancel-erp-order:c1  | release-stock:c1        | cancelling
        all                       | void-payment void-tax tell-cancelled notify-customer:cancelled | cancelled
        ",
    );
}

#[test]
fn cancelling_a_line_goes_through_every_system_that_knows_it_and_the_rest_ships() {
    let document =
        order().shipment("one").line("A", 1, "10.00").charge("3.00").shipment("two").line("B", 2, "8.00").charge("4.00").build();
    let mut shop = Shop::new(policy());
    shop.place(&document);
    shop.run();
    shop.order.command("cancel", cancel_body("B=1"), "k1");
    shop.run();
    assert_eq!(shop.order.args("cancel-shipment:c1/two").at("lines.0.quantity.value").as_str(), Some("1"));
    assert_eq!(shop.order.args("cancel-erp-order:c1").get("whole").as_bool(), Some(false));
    assert!(shop.order.is_done("release-stock:c1") && shop.order.find("void-payment").is_none());
    shop.ship("one", "", &[("A", 1)]);
    shop.order.command("cancel", cancel_body("B=1"), "k2");
    shop.run();
    assert_eq!(shop.order.stage(), "closed");
    // The second shipment never left, so neither did its charge.
    assert_eq!(shop.taken().into_values().sum::<Decimal>(), money("13.00 EUR").amount);
}

#[test]
fn a_line_cancelled_before_the_erp_heard_of_it_is_never_told_to_it() {
    let mut world = placed(&order().shipment("me").line("A", 1, "10.00").line("B", 1, "8.00").build())
        .script("reserve-stock", Script::Silent);
    world.run();
    happen(&mut world, "cancel B=1");
    world.set_script("reserve-stock", Script::Done(Value::Null));
    world.run();
    assert_eq!(world.args("create-erp-order").get("lines").as_arr().map(<[_]>::len), Some(1));
    assert_eq!(world.args("create-erp-order").at("total.amount").as_str(), Some("10.00"));
    assert!(world.is_done("release-stock:c1") && world.find("cancel-erp-order:c1").is_none());
    assert_eq!(world.stage(), "released");
}

#[test]
fn compensation_that_is_refused_waits_for_a_person_and_goes_on_when_skipped() {
    let mut world = placed(&small()).script("cancel-erp-order", Script::Refused("delivered"));
    world.run();
    happen(&mut world, "cancel");
    world.run();
    assert_eq!(world.exceptions(), ["compensation_refused"]);
    assert!(world.find("void-payment").is_none());
    happen(&mut world, "skip cancel-erp-order:c1");
    world.run();
    assert_eq!(world.stage(), "cancelled");
}

#[test]
fn commands_that_make_no_sense_are_refused_with_a_reason() {
    let code = |world: &mut World<OrderFlow>, name: &str, body: Value, key: &str| match world.command(name, body, key) {
        Some(crate::Answer::Refused { code, .. }) => code,
        other => panic!("{name} was not refused: {other:?}"),
    };
    let mut world = placed(&small());
    assert_eq!(code(&mut world, "release", value!({}), "1"), "not_held");
    assert_eq!(code(&mut world, "decide_fraud", value!({"decision": "approve"}), "2"), "not_in_review");
    assert_eq!(code(&mut world, "cancel", cancel_body("Z=1"), "3"), "unknown_line");
    assert_eq!(code(&mut world, "cancel", cancel_body("A=3"), "4"), "bad_quantity");
    assert_eq!(code(&mut world, "sing", value!({}), "5"), "unknown_command");
    world.run();
    assert_eq!(code(&mut world, "amend", value!({"ship_to": {"city": "Bonn"}}), "6"), "too_late");
    assert_eq!(world.command("cancel", value!({}), "7"), Some(crate::Answer::Taken));
    assert_eq!(world.command("cancel", value!({}), "7"), Some(crate::Answer::Taken), "the same key is the same command");
    assert_eq!(code(&mut world, "cancel", value!({}), "8"), "already_requested");
    world.run();
    assert_eq!(code(&mut world, "cancel", value!({}), "9"), "nothing_to_cancel");
    assert_eq!(code(&mut world, "hold", value!({}), "10"), "ended");
}

#[test]
fn a_cancellation_in_the_storefront_that_comes_too_late_is_shown_to_a_person() {
    let mut world = placed(&small());
    world.run();
    happen(&mut world, "notice shipped me A=2");
    for _ in 0..2 {
        world.message("order.cancel_requested", value!({}));
    }
    assert_eq!(world.exceptions(), ["cancelled_too_late"]);
    world.command("acknowledge", value!({}), "k");
    world.run();
    assert_eq!(world.stage(), "closed");

    let mut in_time = placed(&small());
    in_time.message("order.cancel_requested", value!({"reason": "customer"}));
    in_time.run();
    assert_eq!(in_time.stage(), "cancelled");
}

#[test]
fn an_order_too_faulty_to_count_can_still_be_given_up() {
    for spoil in [
        |order: &mut Order| order.lines.clear(),
        |order: &mut Order| order.lines[0].quantity = crossdock_canonical::Quantity::pieces(0),
    ] {
        let mut document = small();
        spoil(&mut document);
        let mut world = placed(&document);
        world.run();
        assert_eq!(world.exceptions(), ["bad_totals"]);
        happen(&mut world, "cancel");
        world.run();
        assert_eq!(world.stage(), "cancelled");
        assert!(world.is_done("void-payment"));
    }
}

#[test]
fn a_stored_life_stays_small_and_names_nobody() {
    let mut world = placed(&small());
    world.run();
    happen(&mut world, "notice shipped me/p1 A=2");
    world.run();
    let state = serde_json::to_string(&world.state).expect("a state can be written");
    let journal: usize =
        world.events.iter().map(|event| serde_json::to_string(event).expect("an event can be written").len()).sum();
    assert!(state.len() < 3_000 && journal < 6_000, "state {} bytes, journal {journal} bytes", state.len());
    for personal in ["A Person", "person@example.com", "Main Street"] {
        assert!(!state.contains(personal) && !format!("{:?}", world.events).contains(personal), "{personal}");
    }
}

/// Steps of the way forward with an intent they have in `small()`, and whether a refusal alone already cancels.
const FORWARD: &[(&str, bool)] = &[
    ("take-order", false),
    ("screen-fraud", false),
    ("quote-tax", false),
    ("authorize-payment", true),
    ("reserve-stock", true),
    ("create-erp-order", false),
    ("confirm-order", false),
    ("release-shipment", false),
];

#[test]
fn refused_at_any_step_then_cancelled_everything_done_is_undone_exactly_once() {
    for (step, cancels) in FORWARD {
        let mut world = placed(&small()).script(step, Script::Refused("no"));
        world.run();
        if !cancels {
            assert!(world.exceptions().contains(&"refused".to_owned()), "{step}: {:?}", world.exceptions());
            happen(&mut world, "cancel");
            world.run();
        }
        assert_eq!(world.stage(), "cancelled", "{step} refused");
        assert_eq!(world.exceptions(), Vec::<String>::new(), "{step} refused");
        let done = |step: Step| {
            world.asked.iter().any(|asked| asked.effect.step == step.name() && world.is_done(&name_of(&asked.effect)))
        };
        for (forward, undo) in
            STEPS.iter().filter_map(|step| Some((*step, step.undo()?))).filter(|(_, undo)| *undo != Step::VoidPayment)
        {
            assert_eq!(done(forward), done(undo), "{step} refused: {} and {}", forward.name(), undo.name());
        }
        // A refused authorization undid itself; a storefront's own is voided.
        assert_eq!(world.is_done("void-payment"), *step != "authorize-payment", "{step} refused");
        let names = world.names();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{step} refused: nothing twice");
    }
}

#[test]
fn every_outcome_heard_twice_is_heard_once() {
    let mut world = placed(&small());
    loop {
        let Some(effect) = world.asked.iter().find(|asked| asked.ended.is_none()).map(|asked| asked.effect.clone()) else {
            if life(&world).dispatches.is_empty() {
                happen(&mut world, "notice shipped me A=2");
                continue;
            }
            break;
        };
        let outcome = world.answer(&effect);
        world.settle(effect.step, &effect.intent, outcome.clone());
        let events = world.events.len();
        world.settle(effect.step, &effect.intent, outcome);
        world.hear(&Input::Settled {
            step: effect.step.into(),
            intent: effect.intent.clone(),
            outcome: Outcome::refused("late", ""),
        });
        assert_eq!(world.events.len(), events, "{} was heard twice", effect.step);
    }
    assert_eq!(world.stage(), "closed");
}

#[test]
fn a_late_success_on_a_cancelled_order_is_undone_too() {
    let mut world = placed(&small()).script("reserve-stock", Script::Refused("no_stock")).script("void-payment", Script::Silent);
    world.run();
    // A person had the refused reservation retried, and it went through after all.
    world.settle("reserve-stock", "", Outcome::done(Value::Null));
    world.set_script("void-payment", Script::Done(Value::Null));
    world.run();
    assert!(world.is_done("release-stock:c1"));
    assert_eq!(world.stage(), "cancelled");
}

/// Lives recorded when logic 1 was shipped, line by line what was heard and what was asked then. A change that breaks this breaks
/// processes in flight: it needs a new `LOGIC`, and the old arm stays. The files are never changed.
#[test]
fn scenario_31_recorded_lives_of_logic_1_still_ask_what_they_asked() {
    let closed = replay::<OrderFlow>(&policy(), include_str!("recorded/closed.logic-1.jsonl"));
    assert!(matches!(closed, State::Placed(life) if life.end == Some(End::Closed)));
    let cancelled = replay::<OrderFlow>(&policy(), include_str!("recorded/cancelled.logic-1.jsonl"));
    assert!(matches!(cancelled, State::Placed(life) if life.end == Some(End::Cancelled)));
}
