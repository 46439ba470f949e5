//! What holds of every order whatever it hears: properties over random lives.

use super::*;

/// What each line looks like to the outside, whatever led there.
fn picture(world: &World<OrderFlow>) -> Vec<(String, &'static str, Decimal, Decimal)> {
    let life = life(world);
    life.sold
        .lines
        .iter()
        .map(|line| (line.id.to_string(), life.line_stage(line).as_str(), life.shipped(&line.id), life.cancelled(&line.id)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_the_notices_of_a_shipment_ends_in_the_same_lines(
        order_of in Just((0_usize..9).collect::<Vec<_>>()).prop_shuffle(),
        repeated in prop::collection::vec(0_usize..9, 0..4),
    ) {
        let notices = [
            notice("accepted", "me", "", &[("A", 3), ("B", 2)], 1),
            notice("picked", "me", "", &[("A", 3), ("B", 1)], 2),
            notice("short", "me", "", &[("B", 1)], 3),
            notice("packed", "me", "", &[("A", 3)], 4),
            notice("shipped", "me", "p1", &[("A", 1)], 5),
            notice("shipped", "me", "p2", &[("A", 2), ("B", 1)], 6),
            notice("delivered", "me", "p1", &[("A", 1)], 7),
            notice("delivered", "me", "p2", &[("A", 2), ("B", 1)], 8),
            notice("shipped", "me", "p2", &[("A", 2), ("B", 1)], 9),
        ];
        let document = order().shipment("me").line("A", 3, "10.00").line("B", 2, "9.99").build();
        let mut world = placed(&document).script("close-payment", Script::Silent);
        world.run();
        let mut ranks = Vec::new();
        for at in order_of.into_iter().chain(repeated) {
            world.message("shipment.notice", notices[at].clone());
            world.run();
            // Nothing ever moves back.
            let rank: Vec<_> = life(&world).sold.lines.iter().map(|line| life(&world).line_stage(line)).collect();
            if let Some(before) = ranks.last() {
                let back = rank.iter().zip(before).any(|(now, before): (&lines::LineStage, &lines::LineStage)| now < before);
                prop_assert!(!back, "{before:?} became {rank:?}");
            }
            ranks.push(rank);
        }
        let two = Decimal::from(2);
        prop_assert_eq!(picture(&world), vec![
            ("A".to_owned(), "delivered", Decimal::from(3), Decimal::ZERO),
            ("B".to_owned(), "delivered", Decimal::ONE, two - Decimal::ONE),
        ]);
        let due = world.args("close-payment").at("body.amount.amount").as_str().map(str::to_owned);
        prop_assert_eq!(due.as_deref(), Some("15.00"));
    }

    /// Whatever happens in whatever order: names keep their arguments (checked by the driver), money never exceeds the total, and
    /// when all is answered the order has ended or waits for somebody it names.
    #[test]
    fn random_lives_keep_the_laws(moves in prop::collection::vec((0_u8..12, 0_usize..6, 1_i64..3), 1..40)) {
        let document = order().shipment("one").line("A", 2, "10.01").charge("3.00").line_of(LineKind::Digital, "D", 1, "2.00")
            .shipment("two").line("B", 3, "7.00").charge("1.99").adjust("-1.00").build();
        let mut world = placed(&document);
        for (kind, which, pieces) in moves {
            let open: Vec<_> = world.asked.iter().filter(|asked| asked.ended.is_none()).map(|asked| asked.effect.clone()).collect();
            let (shipment, line) = if which % 2 == 0 { ("one", "A") } else { ("two", "B") };
            match kind {
                0..=5 => if let Some(effect) = open.get(which % open.len().max(1)) {
                    let outcome = world.answer(effect);
                    world.settle(effect.step, &effect.intent, outcome);
                },
                6 => if let Some(effect) = open.get(which % open.len().max(1)) {
                    let code = if effect.step == "cancel-shipment" { "already_picked" } else { "no" };
                    world.settle(effect.step, &effect.intent, Outcome::refused(code, ""));
                },
                7 => { world.command("cancel", cancel_body(&format!("{line}={pieces}")), &format!("k{}", world.events.len())); }
                8 => world.message("shipment.notice", notice("shipped", shipment, &format!("p{which}"), &[(line, pieces)], 1)),
                9 => world.message("shipment.notice", notice(["short", "picked", "delivered"][which % 3], shipment, "p1", &[(line, pieces)], 2)),
                10 => { world.command(if which % 2 == 0 { "hold" } else { "release" }, value!({}), "h"); }
                _ => if which == 0 { world.command("cancel", value!({}), &format!("w{}", world.events.len())); },
            }
            let named = world.plan().effects;
            for asked in world.asked.iter().filter(|asked| asked.ended.is_none()) {
                let (step, intent) = (asked.effect.step, &asked.effect.intent);
                let stopped = |name: &Name| name.step.name() == step && name.intent == *intent;
                if named.iter().any(|e| e.step == step && e.intent == *intent) || !life(&world).under_way.iter().any(stopped) {
                    continue;
                }
                // Stopped and wanted no more, yet it may be applied: it is asked after as it was asked for, or not at all.
                let before = OrderFlow::before_called_off(&world.state, step, intent);
                let plan = before.map(|state| OrderFlow::decide(&state, &policy(), OrderFlow::LOGIC, world.now));
                if let Some(again) = plan.and_then(|plan| plan.effects.into_iter().find(|e| e.step == step && e.intent == *intent)) {
                    prop_assert_eq!(&again.args, &asked.effect.args, "{} {}", step, intent);
                }
            }
            let life = life(&world);
            prop_assert!(life.due().amount <= life.sold.total.amount, "due {} of {}", life.due(), life.sold.total);
            for line in &life.sold.lines {
                prop_assert!(life.shipped(&line.id) + life.cancelled(&line.id) <= line.quantity.value, "line {} counted twice", line.id);
            }
        }
        world.command("release", value!({}), "last");
        world.run();
        let summary = world.plan().summary;
        prop_assert!(summary.status.is_final() || !summary.waiting_for.is_empty(), "{summary:?}");
    }

    /// Two processes, any tenders, cancellations and notices at any moment: in the end the books tie. Money taken is what left is
    /// worth, nothing stays authorized on a cancelled order, every reserved piece is fulfilled or given back once.
    #[test]
    fn in_the_end_money_goods_and_books_tie(
        tenders in prop::sample::select(vec![
            vec![("CREDIT_CARD", "54.00")], vec![("SINGLE", "54.00")], vec![("SALE", "54.00")], vec![("INVOICE", "54.00")],
            vec![("CREDIT_CARD", "30.00"), ("GIFT_CERTIFICATE", "24.00")], vec![("SINGLE", "34.00"), ("SALE", "20.00")],
        ]),
        capture in prop::sample::select(vec![
            crate::policy::CaptureWhen::Shipment, crate::policy::CaptureWhen::Completion, crate::policy::CaptureWhen::Accept,
        ]),
        moves in prop::collection::vec((0_u8..9, 0_usize..4, 1_i64..3), 1..25),
    ) {
        let mut terms = policy();
        terms.payment.capture = capture;
        let mut builder = order().shipment("one").line("A", 2, "20.00").charge("3.00").line_of(LineKind::Digital, "D", 1, "4.00")
            .shipment("two").line("B", 3, "27.00").charge("2.00").adjust("-2.00");
        for (method, amount) in tenders {
            builder = builder.pay(method, amount);
        }
        let mut shop = Shop::new(terms);
        shop.place(&builder.build());
        for (kind, which, pieces) in moves {
            let (shipment, line) = if which % 2 == 0 { ("one", "A") } else { ("two", "B") };
            let next = shop.order.asked.iter().find(|asked| asked.ended.is_none()).map(|asked| asked.effect.clone());
            match (kind, next) {
                (0..=2, Some(effect)) if matches!(effect.target, crate::Target::System(_)) => {
                    let outcome = match effect.step {
                        "cancel-shipment" if which == 0 => Outcome::refused("already_picked", ""),
                        _ => shop.order.answer(&effect),
                    };
                    shop.order.settle(effect.step, &effect.intent, outcome);
                }
                (0..=3, _) => shop.run(),
                (4, _) => { shop.order.command("cancel", cancel_body(&format!("{line}={pieces}")), &format!("k{}", shop.order.events.len())); }
                (5, _) if which == 0 => { shop.order.command("cancel", value!({}), &format!("w{}", shop.order.events.len())); }
                (6..=7, _) if shop.order.is_done(&format!("release-shipment:{shipment}")) => {
                    shop.order.message("shipment.notice", notice("shipped", shipment, &format!("p{which}{pieces}"), &[(line, pieces)], 1));
                }
                (8, _) if shop.order.is_done(&format!("release-shipment:{shipment}")) => {
                    shop.order.message("shipment.notice", notice("short", shipment, "", &[(line, 1)], 1));
                }
                _ => {}
            }
        }
        shop.run();
        for (shipment, line, pieces) in [("one", "A", 2), ("two", "B", 3)] {
            shop.ship(shipment, "", &[(line, pieces)]);
        }
        let order = shop.order.plan().summary;
// An order cancelled before it came to paying has no payment process at all.
        let paid = shop.payment.state == crate::payment::State::Idle || shop.payment.plan().summary.status.is_final();
        prop_assert!(order.status.is_final() && paid, "{order:?} {:?}", shop.payment.plan().summary);
        let life = life(&shop.order);
        let on_account: Decimal = life.sold.tenders.iter().filter(|t| t.method == "INVOICE").map(|t| t.amount.amount).sum();
        let sale: Decimal = life.sold.tenders.iter().filter(|t| t.method == "SALE").map(|t| t.amount.amount).sum();
        let sale = if shop.payment.asked.iter().any(|a| a.effect.step == "authorize-tender" && a.effect.args.get("sale").as_bool() == Some(true)) { sale } else { Decimal::ZERO };
        let taken: Decimal = shop.taken().into_values().sum::<Decimal>() + sale;
        prop_assert_eq!(if on_account.is_zero() { taken } else { life.due().amount }, life.due().amount);
        // Stock: what was reserved was fulfilled or given back, once.
        let pieces = |step: &str, line: &str| -> Decimal {
            let done = shop.order.asked.iter().filter(|asked| asked.effect.step == step && asked.ended.is_some());
            let entries = done.flat_map(|asked| asked.effect.args.get("lines").as_arr().unwrap_or_default().to_vec());
            entries.filter(|e| e.get("line").as_str() == Some(line)).map(|e| e.at("quantity.value").as_str().expect("text").parse::<Decimal>().expect("pieces")).sum()
        };
        for line in ["A", "B"] {
            prop_assert_eq!(pieces("reserve-stock", line), pieces("fulfil-stock", line) + pieces("release-stock", line), "{}", line);
        }
        // A cancelled order leaves no authorization behind.
        if order.status == Status::Cancelled {
            let granted = shop.payment.asked.iter().filter(|a| matches!(a.effect.step, "verify-tender" | "authorize-tender") && a.ended.is_some()).count();
            let undone = shop.payment.asked.iter().filter(|a| matches!(a.effect.step, "void-tender" | "refund-tender") && a.ended.is_some()).count();
            prop_assert!(undone >= granted, "{granted} authorized, {undone} given back");
            prop_assert!(taken.is_zero());
        }
    }

    #[test]
    fn apply_is_total(seed in prop::collection::vec(0_usize..1_000, 1..20)) {
        // Events of one life folded into another: whatever does not fit leaves it readable.
        let mut full = placed(&small());
        full.run();
        happen(&mut full, "cancel A=1");
        full.run();
        happen(&mut full, "notice shipped me A=1");
        full.run();
        let mut state = State::default();
        for at in seed {
            state = OrderFlow::apply(state, &full.events[at % full.events.len()], full.now);
            let _ = OrderFlow::decide(&state, &full.policy, 1, full.now);
        }
    }
}
