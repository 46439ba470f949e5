//! Spoils the town one thing at a time: each fault must be found, and named by its invariant and no other.

use crate::town::{CANCELLED, CLOSED, REVIEWED, Town, YEN, count_events, dec};
use crossdock_canonical::{Operation, Timestamp};
use crossdock_store::{AuditVerdict, EffectState, ExceptionRow};
use crossdock_verify::{Invariant, Ledgers, Row, Verdict, verify};
use rust_decimal::Decimal;

/// What is done to the town, and which invariants must say so.
type Case = (&'static str, fn(&mut Town), &'static [Invariant]);

use Invariant::{I1, I2, I3, I4, I5, I6, I7, I8, I9, I10, I12, I14};

const CASES: &[Case] = &[
    // I1, I14: orders
    (
        "a placed order the hub never took",
        |t| t.row("storefront", "order.placed", "sfcc/DE/9", |r| r.amount = dec("5.00")),
        &[I1],
    ),
    ("an order answered 2xx that the hub does not know", |t| t.row("storefront", "order.accepted", "sfcc/DE/9", |_| ()), &[I1]),
    ("an order nobody placed", |t| t.begin("sfcc/DE/9", "order", "closed"), &[I14]),
    ("the same number placed twice", |t| t.copy("storefront", REVIEWED, "order.placed", |_| ()), &[I14]),
    ("the same message folded twice", fold_twice, &[I14]),
    ("a review that nobody was told of", |t| t.process(REVIEWED, "order").exceptions.clear(), &[I1, I12]),
    // I2: the ERP
    (
        "a second ERP order under the same reference",
        |t| t.copy("erp", YEN, "sales_order.create", |r| r.reference = "SO-9".into()),
        &[I2],
    ),
    ("a second ERP order under another key", second_sale, &[I2]),
    ("a closed order without an ERP order", remove_sale, &[I2]),
    ("an ERP order over another amount", |t| t.edit("erp", CLOSED, "sales_order.create", |r| r.amount = dec("120.01")), &[I2]),
    ("yen times a hundred in the ERP", |t| t.edit("erp", YEN, "sales_order.create", times_hundred), &[I2]),
    ("an ERP order in another currency", |t| t.edit("erp", CLOSED, "sales_order.create", |r| r.currency = "USD".into()), &[I2]),
    // I3: captures
    ("the same capture applied twice", |t| t.copy("payment", CLOSED, "capture", |r| r.reference = "pi_1/2".into()), &[I3, I9]),
    ("a capture above its authorization", |t| t.edit("payment", CLOSED, "capture", |r| r.amount = dec("120.01")), &[I3, I9]),
    ("yen times a hundred captured", |t| t.edit("giftcard", YEN, "capture", times_hundred), &[I3, I9]),
    ("yen with cents", |t| t.edit("giftcard", YEN, "capture", |r| r.amount = dec("1199.50")), &[I3, I9]),
    ("a capture in another currency", |t| t.edit("payment", CLOSED, "capture", |r| r.currency = "USD".into()), &[I3, I9]),
    ("a capture of what was never authorized", |t| t.edit("payment", CLOSED, "capture", |r| r.parent = "pi_9".into()), &[I3, I9]),
    ("a void after the capture", void_after_capture, &[I3]),
    ("one parcel captured by two intents", capture_for_one_parcel_twice, &[I3, I9]),
    ("an order charged on two authorizations", charged_on_two, &[I3, I9]),
    // I4: refunds
    ("a refund above what was captured", |t| t.edit("giftcard", YEN, "refund", |r| r.amount = dec("1201")), &[I4, I9]),
    ("the same refund applied twice", |t| t.copy("giftcard", YEN, "refund", |r| r.reference = "GR-2".into()), &[I4, I9]),
    ("a refund in another currency", |t| t.edit("giftcard", YEN, "refund", |r| r.currency = "EUR".into()), &[I4]),
    ("a line refunded for more than it cost", refund_line, &[I4]),
    ("credited above what was invoiced", |t| t.edit("erp", YEN, "credit_note.create", |r| r.amount = dec("1201")), &[I4, I9]),
    // I5: stock
    ("a reservation released twice", release_twice, &[I5]),
    (
        "more pieces fulfilled than were reserved",
        |t| t.edit("inventory", CLOSED, "fulfilment.line", |r| r.quantity = dec("3")),
        &[I5, I9],
    ),
    ("promised beyond what is on hand", |t| t.ledgers.get_mut("inventory").expect("it")[0].quantity = dec("1"), &[I5]),
    // I6: order of effects
    ("exported before the hub accepted it", |t| t.process(REVIEWED, "order").opened_at = Timestamp(i64::MAX), &[I6]),
    ("exported after the ERP order", |t| t.delay("storefront", CLOSED, "export_status"), &[I6]),
    ("confirmed before the ERP order", |t| t.delay("erp", CLOSED, "sales_order.create"), &[I6]),
    ("shipped without release", |t| t.edit("warehouse", CLOSED, "shipment.create", |r| r.parent = "FO-9".into()), &[I6]),
    ("more shipped than released", |t| t.edit("warehouse", CLOSED, "shipment.line", |r| r.quantity = dec("3")), &[I6, I9]),
    ("shipped after it was recalled", |t| t.copy("warehouse", CLOSED, "shipment.line", shipped_of_cancelled), &[I6]),
    ("captured before anything shipped", |t| t.delay("warehouse", CLOSED, "shipment.create"), &[I6]),
    ("delivered before it shipped", |t| t.delay("warehouse", CLOSED, "shipment.line"), &[I6]),
    ("a late status moves the order back", late_status, &[I6]),
    // I7: intents and effects
    ("an effect without an intent", |t| t.copy("notification", CLOSED, "message.send", |r| r.key = "stranger".into()), &[I7]),
    ("a capture without an intent", forget_capture, &[I7]),
    ("an effect applied twice for one intent", |t| t.copy("notification", CLOSED, "message.send", |_| ()), &[I7]),
    ("two generations applied of one intent", two_generations, &[I7]),
    ("the same delivery posted twice", deliver_twice, &[I7, I9]),
    ("done in the hub, nothing in the system", |t| t.remove("notification", CLOSED, "message.send"), &[I7]),
    ("a status never told", |t| t.remove("storefront", CLOSED, "payment_status"), &[I7]),
    ("sent before its intent was committed", |t| t.edit("notification", CLOSED, "message.send", |r| r.at = 1), &[I7]),
    // I8, I10: the journal
    ("an audit row edited", |t| t.hub.audit = AuditVerdict::Broken { partition: 3, offset: 7, reason: "edited".into() }, &[I8]),
    ("a state that is not what the journal folds to", |t| t.process(CLOSED, "order").state = b"3".as_slice().into(), &[I8]),
    (
        "a payment state that is not what the journal folds to",
        |t| t.process(YEN, "payment").state = b"0".as_slice().into(),
        &[I8],
    ),
    ("a journal record that cannot be read", |t| t.process(YEN, "order").history[0].unreadable = Some("cut".into()), &[I8]),
    ("a journal row taken out", take_out_a_row, &[I10]),
    ("a transition on a version already taken", |t| t.process(CLOSED, "order").history[3].version = 3, &[I10]),
    ("a transition dated before the one it follows", |t| t.process(CLOSED, "order").history[1].at = Timestamp(0), &[I10]),
    // I9: what ended orders leave
    ("a reservation left after the cancellation", keep_reservation, &[I9]),
    ("an authorization left after the cancellation", keep_authorization, &[I9]),
    ("an ERP order left after the cancellation", |t| t.remove("erp", CANCELLED, "sales_order.cancel.line"), &[I9]),
    ("a release left after the cancellation", |t| t.remove("warehouse", CANCELLED, "fulfilment_order.cancel.line"), &[I9]),
    ("a closed order that was charged too little", |t| t.edit("payment", CLOSED, "capture", |r| r.amount = dec("110.00")), &[I9]),
    (
        "a closed order invoiced for less than it was charged",
        |t| t.edit("erp", CLOSED, "invoice.create", |r| r.amount = dec("110.00")),
        &[I9],
    ),
    ("a capture never posted in the ERP", |t| t.edit("erp", CLOSED, "payment.create", |r| r.amount = dec("12.00")), &[I9]),
    ("pieces shipped and not delivered in the ERP", |t| t.edit("erp", CLOSED, "delivery.line", |r| r.quantity = dec("1")), &[I9]),
    // I12: silence
    ("a payment that waits past its deadline", |t| t.process(CLOSED, "payment").effects[0].state = EffectState::Unknown, &[I12]),
    ("an effect parked and no exception", |t| t.process(YEN, "order").effects[0].state = EffectState::Parked, &[I12]),
    ("a message nobody folded", |t| t.hub.inbox_depth = 1, &[I12]),
    // The evidence
    ("a ledger row taken out", gap, &[Invariant::Ledgers]),
];

fn times_hundred(row: &mut crossdock_verify::Row) {
    row.amount = row.amount.map(|amount| amount * Decimal::ONE_HUNDRED);
}

/// The older of two calls of the hub came in last.
fn late_status(town: &mut Town) {
    town.copy("storefront", CLOSED, "shipping_status", |row| assert_eq!(row.state, "part_shipped"));
    let rows = town.ledgers.get_mut("storefront").expect("it");
    let first = rows.iter().position(|row| row.operation == "shipping_status").expect("it was told");
    rows.remove(first);
}

fn fold_twice(town: &mut Town) {
    let order = town.process(CLOSED, "order");
    let told = order.history.iter().find_map(|t| t.folded.clone()).expect("a notice was folded");
    order.history.last_mut().expect("it has a history").folded = Some(told);
}

fn second_sale(town: &mut Town) {
    town.copy("erp", CLOSED, "sales_order.create", |row| (row.key, row.reference) = ("another".into(), "SO-9".into()));
}

fn remove_sale(town: &mut Town) {
    town.remove("erp", YEN, "sales_order.create");
    town.remove("erp", YEN, "sales_order.line");
}

/// With an intent of its own: the fault is that it was meant at all.
fn void_after_capture(town: &mut Town) {
    let key = town.effect(CLOSED, "payment", "void-tender", "p1", Operation::PaymentVoid, "payment");
    town.row("payment", "void", CLOSED, |row| {
        (row.key, row.reference, row.parent) = (key, "pi_1".into(), "pi_1".into());
        (row.amount, row.currency) = (dec("120.00"), "EUR".into());
    });
}

/// One parcel, two intents, one authorization that has room for both.
fn capture_for_one_parcel_twice(town: &mut Town) {
    town.edit("payment", CLOSED, "authorise", |row| row.amount = dec("240.00"));
    let key = town.effect(CLOSED, "payment", "capture-again", "PC-1", Operation::PaymentCapture, "payment");
    town.copy("payment", CLOSED, "capture", |row| (row.key, row.reference) = (key, "pi_1/2".into()));
}

/// Both authorizations are the storefront's, each captured within itself: only the sum is wrong.
fn charged_on_two(town: &mut Town) {
    town.copy("storefront", CLOSED, "order.tender", |row| row.parent = "pi_1b".into());
    town.copy("payment", CLOSED, "authorise", |row| row.reference = "pi_1b".into());
    town.copy("payment", CLOSED, "capture", |row| row.parent = "pi_1b".into());
}

fn refund_line(town: &mut Town) {
    town.edit("storefront", YEN, "order.line", |row| row.amount = dec("100"));
    town.edit("giftcard", YEN, "refund", |row| row.line = "L1".into());
}

fn release_twice(town: &mut Town) {
    town.copy("inventory", CANCELLED, "reservation.release", |_| ());
    town.copy("inventory", CANCELLED, "release.line", |_| ());
}

fn shipped_of_cancelled(row: &mut crossdock_verify::Row) {
    (row.order, row.parent, row.reference) = ("2".into(), "FO-2".into(), "PC-9".into());
    row.quantity = dec("1");
}

fn forget_capture(town: &mut Town) {
    let payment = town.process(CLOSED, "payment");
    payment.effects.clear();
    payment.history[0].intents.clear();
}

/// The first generation was applied and taken for absent; the second has another key.
fn two_generations(town: &mut Town) {
    let order = town.process(CLOSED, "order");
    let no = order.effects.iter().find(|effect| &*effect.step == "notify-customer").expect("it was notified").no;
    order.history.last_mut().expect("it has a history").intents.push((no, "second generation".into()));
    town.copy("notification", CLOSED, "message.send", |row| row.key = "second generation".into());
}

fn deliver_twice(town: &mut Town) {
    town.copy("erp", CLOSED, "delivery.create", |row| row.reference = "DN-9".into());
    town.copy("erp", CLOSED, "delivery.line", |row| row.reference = "DN-9".into());
}

fn keep_reservation(town: &mut Town) {
    town.remove("inventory", CANCELLED, "release.line");
}

/// The provider gave back only a part.
fn keep_authorization(town: &mut Town) {
    town.edit("payment", CANCELLED, "void", |row| row.amount = dec("59.99"));
}

fn take_out_a_row(town: &mut Town) {
    town.hub.offsets.remove(0);
}

fn gap(town: &mut Town) {
    for rows in town.ledgers.values_mut() {
        (1..).zip(rows).for_each(|(seq, row)| row.seq = seq);
    }
    town.renumber = false;
    let rows = town.ledgers.get_mut("fraud").expect("it");
    let (mut first, mut second) = (rows[0].clone(), rows[0].clone());
    (first.operation, first.seq) = ("screening.decide".into(), 2);
    (second.operation, second.seq) = ("screening.decide".into(), 4);
    rows.extend([first, second]);
}

#[test]
fn a_world_in_which_everything_is_right_is_clean_on_every_invariant() {
    let report = Town::new().verify();
    let claimed: Vec<Invariant> = Invariant::ALL.into_iter().filter(|id| id.is_claimed()).collect();
    assert!(report.is_clean_on(&claimed) && !report.is_clean_on(&Invariant::ALL), "{report}");
    assert_eq!((report.word(), report.exit_code()), ("clean", 0));
    let json = report.to_json();
    assert_eq!((json["verdict"].as_str(), json["counts"]["orders placed"].as_u64()), (Some("clean"), Some(4)));
}

#[test]
fn each_doctored_ledger_is_found_and_named_by_its_invariant() {
    let mut wrong = Vec::new();
    for (name, doctor, expected) in CASES {
        let mut town = Town::new();
        doctor(&mut town);
        let report = town.verify();
        let found: Vec<Invariant> = report.violated().collect();
        if found != *expected {
            wrong.push(format!("{name}: expected {expected:?}, found {found:?}\n{report}"));
        }
        assert_eq!(report.exit_code(), 1, "{name}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_invariant_has_a_doctored_ledger() {
    for invariant in Invariant::ALL.into_iter().filter(|id| id.is_claimed()) {
        assert!(CASES.iter().any(|(_, _, expected)| expected[0] == invariant), "{invariant:?}");
    }
}

#[test]
fn what_cannot_be_checked_is_never_ok() {
    let town = Town::new();
    let nothing = verify(&Ledgers::new(), None, None, &town.options());
    assert!(nothing.invariants.iter().all(|(_, verdict)| matches!(verdict, Verdict::NotChecked { .. })), "{nothing}");
    assert_eq!((nothing.word(), nothing.exit_code()), ("not checked", 1));

    let alone = verify(&town.ledgers(), None, Some(&count_events), &town.options());
    for (invariant, verdict) in &alone.invariants {
        let needs_the_hub = [I1, I7, I8, I10, I12, I14].contains(invariant) || !invariant.is_claimed();
        assert_eq!(matches!(verdict, Verdict::NotChecked { .. }), needs_the_hub, "{invariant:?} {alone}");
    }

    let silent = verify(&Ledgers::new(), Some(&town.hub), Some(&count_events), &town.options());
    for invariant in [I2, I3, I4, I5, I6, I14] {
        assert!(matches!(silent.verdict(invariant), Some(Verdict::NotChecked { .. })), "{invariant:?} {silent}");
    }
    assert!(silent.notes.iter().any(|note| note.starts_with("no ledger of erp")), "{silent}");
}

#[test]
fn a_basket_that_never_became_an_order_is_not_missed() {
    let mut town = Town::new();
    for (number, state) in [("sfcc/DE/7", "created"), ("sfcc/DE/8", "failed")] {
        town.row("storefront", "order.placed", number, |row| (row.amount, row.state) = (dec("5.00"), state.into()));
    }
    assert_eq!(town.verify().word(), "clean");
    town.row("storefront", "status", "sfcc/DE/7", |row| (row.state, row.key) = ("new".into(), "".into()));
    assert!(town.verify().violated().any(|id| id == I1));
}

#[test]
fn an_order_whose_payment_waits_for_a_person_is_parked() {
    let mut town = Town::new();
    let exceptions = std::mem::take(&mut town.process(REVIEWED, "order").exceptions);
    town.begin(REVIEWED, "payment", "open");
    town.process(REVIEWED, "payment").exceptions = exceptions;
    assert_eq!(town.verify().word(), "clean");
}

#[test]
fn a_market_that_captures_at_accept_may_capture_before_it_ships() {
    let mut town = Town::new();
    town.delay("warehouse", CLOSED, "shipment.create");
    let options = crossdock_verify::Options { captures_at_accept: ["sfcc/DE".to_owned()].into(), ..town.options() };
    let report = verify(&town.ledgers(), Some(&town.hub), Some(&count_events), &options);
    assert_eq!(report.word(), "clean", "{report}");
}

#[test]
fn a_copy_is_let_pass_where_repeats_cannot_be_refused_and_the_hub_has_found_it() {
    let mut town = Town::new();
    town.copy("notification", CLOSED, "message.send", |_| ());
    let options = crossdock_verify::Options { take_repeats: ["notification".to_owned()].into(), ..town.options() };
    let check = |town: &Town| verify(&town.ledgers(), Some(&town.hub), Some(&count_events), &options);
    assert_eq!(check(&town).violated().collect::<Vec<_>>(), [I7], "nobody knows of it");
    let process = town.process(CLOSED, "order");
    let effect = process.effects.iter().find(|effect| effect.system.as_str() == "notification").expect("it was notified");
    let exception = ExceptionRow {
        class: "applied_twice".into(),
        step: effect.step.clone(),
        intent: effect.intent.clone(),
        system: "notification".into(),
        cause: "".into(),
        suggestion: "".into(),
        since: effect.made_at,
        payload: None,
    };
    process.exceptions.push(("effect/1".into(), exception));
    assert_eq!(check(&town).word(), "clean");
    assert_eq!(town.verify().violated().collect::<Vec<_>>(), [I7], "another system would have refused it");
}

#[test]
fn a_second_erp_order_counts_until_it_is_cancelled_whole_as_the_copy_that_it_is() {
    let with = |cancelled: &dyn Fn(&Row) -> Option<Row>| {
        let mut town = Town::new();
        let lines: Vec<Row> = town.rows("erp", YEN, "sales_order.line").map(|line| line.clone()).collect();
        town.copy("erp", YEN, "sales_order.create", |row| row.reference = "SO-9".into());
        let ledger = town.ledgers.get_mut("erp").expect("there is an ERP");
        ledger.extend(lines.iter().map(|line| Row { reference: "SO-9".into(), ..line.clone() }));
        ledger.extend(lines.iter().filter_map(cancelled));
        town
    };
    let cancelled = |line: &Row| Row {
        operation: "sales_order.cancel.line".into(),
        reference: "SC-9".into(),
        parent: "SO-9".into(),
        ..line.clone()
    };
    let options = crossdock_verify::Options { take_repeats: ["erp".to_owned()].into(), ..Town::new().options() };
    let violated = |town: &Town| {
        let report = verify(&town.ledgers(), Some(&town.hub), Some(&count_events), &options);
        report.violated().collect::<Vec<_>>()
    };
    let back = with(&|line| Some(cancelled(line)));
    assert_eq!(violated(&back), []);
    assert!(back.verify().violated().any(|found| found == I2), "another ERP would have refused it");
    assert!(violated(&with(&|_| None)).contains(&I2), "it stands");
    let half = with(&|line| Some(Row { quantity: dec("0.5"), ..cancelled(line) }));
    assert!(violated(&half).contains(&I2), "some of it stands");
    let by_somebody = with(&|line| Some(Row { key: "another".into(), ..cancelled(line) }));
    assert!(violated(&by_somebody).contains(&I2), "nobody knew that it was a copy");
}

#[test]
fn clocks_may_differ_by_what_is_allowed() {
    let mut town = Town::new();
    for rows in town.ledgers.get_mut("warehouse").into_iter().flatten() {
        rows.at += 400;
    }
    assert_eq!(town.verify().violated().collect::<Vec<_>>(), [I6]);
    let options = crossdock_verify::Options { clock_skew: crossdock_canonical::Duration(1_000), ..town.options() };
    let report = verify(&town.ledgers(), Some(&town.hub), Some(&count_events), &options);
    assert_eq!(report.word(), "clean", "{report}");
}

#[test]
fn a_payment_system_that_keeps_one_reference_or_only_our_key_is_understood() {
    let mut town = Town::new();
    for row in town.ledgers.get_mut("giftcard").into_iter().flatten() {
        (row.order, row.channel, row.site) = (YEN.into(), String::new(), String::new());
    }
    let notes = town.ledgers.get_mut("notification").expect("it");
    notes.iter_mut().for_each(|row| (row.order, row.channel, row.site) = Default::default());
    let report = town.verify();
    assert_eq!(report.word(), "clean", "{report}");
}

#[test]
fn a_word_nobody_knows_is_noted() {
    let mut town = Town::new();
    town.row("erp", "order.melt", CLOSED, |_| ());
    let report = town.verify();
    assert_eq!(report.word(), "clean");
    assert!(report.notes.iter().any(|note| note.contains("`order.melt` of erp")), "{report}");
}

#[test]
fn a_status_set_again_and_a_part_applied_later_are_no_faults() {
    let mut town = Town::new();
    town.copy("storefront", CLOSED, "shipping_status", |row| row.state = "shipped".into());
    town.copy("storefront", CANCELLED, "export_status", |_| ());
    // The ERP delivered one piece of two lines at first: each line is in one of the two deliveries.
    town.copy("erp", CLOSED, "delivery.create", |row| row.reference = "DN-9".into());
    town.copy("erp", CLOSED, "delivery.line", |row| (row.reference, row.line) = ("DN-9".into(), "L2".into()));
    let report = town.verify();
    assert_eq!(report.word(), "clean", "{report}");
}

#[test]
fn an_audit_shorter_than_its_checkpoint_is_found() {
    let town = Town::new();
    for (rows, head, whole) in [(39, "older", true), (40, "6b86b273", true), (40, "another", false), (41, "newer", false)] {
        let options = crossdock_verify::Options { checkpoint: Some((rows, head.into())), ..town.options() };
        let report = verify(&town.ledgers(), Some(&town.hub), Some(&count_events), &options);
        let found: Vec<Invariant> = report.violated().collect();
        assert_eq!(found.is_empty(), whole, "{rows} {head}: {report}");
    }
}

#[test]
fn orders_on_their_way_are_given_their_time() {
    let mut town = Town::new();
    town.row("storefront", "order.placed", "sfcc/DE/9", |row| row.amount = dec("5.00"));
    town.process(REVIEWED, "order").exceptions.clear();
    let patient = crossdock_verify::Options { settle: crossdock_canonical::Duration::hours(1), ..town.options() };
    let report = verify(&town.ledgers(), Some(&town.hub), Some(&count_events), &patient);
    assert_eq!(report.word(), "clean", "{report}");
}
