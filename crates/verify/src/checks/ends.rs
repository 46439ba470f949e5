//! What ended orders leave behind (I9).

use super::money::{Held, transactions};
use crate::{
    report::{Tally, Verdict},
    world::{Order, World},
};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// I9: a cancelled order ends at net zero in every system, a closed one with everything shipped also delivered, invoiced and charged;
/// neither leaves anything reserved or authorized.
///
/// How an order ended is the hub's word, or the storefront's for an order the hub does not hold open; the rest is ledgers. Orders with
/// an open exception wait for a person and are left out. Money of a closed order is compared where authorizations cover its total
/// (what is paid by invoice is in no payment ledger).
pub(crate) fn nothing_left_open(world: &World<'_>, notes: &mut Vec<String>) -> Verdict {
    let mut money: BTreeMap<String, Vec<Held<'_>>> = BTreeMap::new();
    for held in transactions(world).into_values() {
        money.entry(held.order.clone()).or_default().push(held);
    }
    let mut tally = Tally::default();
    let mut uncovered = 0_u64;
    for order in &world.orders {
        let held = money.get(order.key).map_or(&[][..], Vec::as_slice);
        match end_of(order) {
            Some(End::Cancelled) => {
                tally.saw();
                reserved(order, &mut tally);
                authorized(order, held, &mut tally);
                undone(order, held, &mut tally);
            }
            Some(End::Closed) => {
                tally.saw();
                reserved(order, &mut tally);
                authorized(order, held, &mut tally);
                goods(order, &mut tally);
                if !charged(world, order, held, &mut tally) {
                    uncovered += 1;
                }
            }
            None => {}
        }
    }
    if uncovered > 0 {
        notes.push(format!(
            "{uncovered} closed orders are not covered by authorizations: what was charged for them is not checked"
        ));
    }
    tally.verdict("no order has ended")
}

enum End {
    Closed,
    Cancelled,
}

fn end_of(order: &Order<'_>) -> Option<End> {
    let told = order.all("status").last().map(|row| row.row.state.as_str());
    match (order.process, told) {
        (Some(_), _) if order.is_parked => None,
        (Some(process), _) => match &*process.status {
            "closed" => Some(End::Closed),
            "cancelled" | "failed" => Some(End::Cancelled),
            _ => None,
        },
        (None, Some("completed")) => Some(End::Closed),
        (None, Some("cancelled")) => Some(End::Cancelled),
        (None, _) => None,
    }
}

/// Every reserved piece was fulfilled or given back.
fn reserved(order: &Order<'_>, tally: &mut Tally) {
    for reservation in order.all("reservation.create") {
        let of = |operation| order.below(reservation, operation).map(|row| row.quantity()).sum::<Decimal>();
        let taken: Decimal = order.lines(reservation, "reservation.line").map(|row| row.quantity()).sum();
        let open = taken - of("fulfilment.line") - of("release.line");
        if open > Decimal::ZERO {
            tally.found(reservation.finding(format!("{open} of reservation {} are still reserved", reservation.reference)));
        }
    }
}

/// Nothing is blocked on the shopper's account.
fn authorized(order: &Order<'_>, held: &[Held<'_>], tally: &mut Tally) {
    for held in held.iter().filter(|held| held.open() > Decimal::ZERO) {
        tally.found(order.finding(format!("{} {} are still authorized", held.open(), held.currency)));
    }
}

/// A cancelled order: ERP order and release cancelled, nothing shipped, no money kept, no tax committed.
fn undone(order: &Order<'_>, held: &[Held<'_>], tally: &mut Tally) {
    for held in held.iter().filter(|held| held.captured > held.refunded) {
        tally.found(order.finding(format!("cancelled, and {} {} were kept", held.captured - held.refunded, held.currency)));
    }
    for sale in order.all("sales_order.create") {
        let ordered: Decimal = order.lines(sale, "sales_order.line").map(|row| row.quantity()).sum();
        let cancelled: Decimal = order.below(sale, "sales_order.cancel.line").map(|row| row.quantity()).sum();
        if ordered > cancelled {
            tally.found(sale.finding(format!(
                "cancelled, and {} pieces of ERP order {} still stand",
                ordered - cancelled,
                sale.reference
            )));
        }
        let sum = |operation| order.below(sale, operation).map(|row| row.amount()).sum::<Decimal>();
        let kept = sum("invoice.create") - sum("credit_note.create");
        if kept > Decimal::ZERO {
            tally.found(sale.finding(format!("cancelled, and {kept} {} stay invoiced", sale.currency)));
        }
    }
    for release in order.all("fulfilment_order.create") {
        let sum = |rows: &mut dyn Iterator<Item = Decimal>| rows.sum::<Decimal>();
        let ordered = sum(&mut order.lines(release, "fulfilment_order.line").map(|row| row.quantity()));
        let gone = sum(&mut order.below(release, "fulfilment_order.cancel.line").map(|row| row.quantity()))
            + sum(&mut order.lines(release, "short_pick.line").map(|row| row.quantity()));
        if ordered > gone {
            tally.found(release.finding(format!(
                "cancelled, and {} pieces of {} are still with the warehouse",
                ordered - gone,
                release.reference
            )));
        }
    }
    let mut taxes: BTreeMap<&str, &str> = BTreeMap::new();
    for row in order.all("tax.commit").chain(order.all("tax.void")) {
        taxes.insert(&row.row.reference, &row.row.operation);
    }
    for (code, _) in taxes.into_iter().filter(|(_, last)| *last == "tax.commit") {
        tally.found(order.finding(format!("cancelled, and tax transaction {code} stays committed")));
    }
}

/// A closed order: what the warehouse shipped, the ERP delivered and the inventory took off are the same pieces.
fn goods(order: &Order<'_>, tally: &mut Tally) {
    // What the storefront did not sell under this line, a part of a bundle say, is booked under another.
    let sold = order.by_line("order.line");
    let mut shipped = order.by_line("shipment.line");
    shipped.retain(|line, _| sold.contains_key(line));
    for (operation, verb) in [("delivery.line", "delivered in the ERP"), ("fulfilment.line", "taken off stock")] {
        if !order.has(operation) {
            continue;
        }
        let booked = order.by_line(operation);
        for (line, pieces) in &shipped {
            let booked = booked.get(line).copied().unwrap_or_default();
            if booked != *pieces {
                tally.found(order.finding(format!("line {line}: {pieces} shipped, {booked} {verb}")));
            }
        }
    }
}

/// A closed order: charged what was invoiced, posted as charged, and if nothing was cancelled or short, what it was booked for. False if
/// the payment ledgers do not cover the order, so that it cannot be told.
fn charged(world: &World<'_>, order: &Order<'_>, held: &[Held<'_>], tally: &mut Tally) -> bool {
    let Some(placed) = order.placed() else { return false };
    let currency = &placed.currency;
    let sum = |part: fn(&Held<'_>) -> Decimal| held.iter().map(part).sum::<Decimal>();
    if sum(|held| held.authorized) < placed.amount() {
        return false;
    }
    let of_erp = |operation| order.all(operation).map(|row| row.amount()).sum::<Decimal>();
    let near = |a: Decimal, b: Decimal| (a - b).abs() <= world.options.total_tolerance;
    let (taken, refunded) = (sum(|held| held.captured), sum(|held| held.refunded));

    let whole =
        !["sales_order.cancel", "fulfilment_order.cancel", "short_pick.line", "release.line"].iter().any(|word| order.has(word));
    // What was cancelled before the ERP heard of it is in its order no more.
    let booked = order.earliest("sales_order.create").map_or(placed.amount(), |sale| sale.amount().min(placed.amount()));
    if whole && !near(taken, booked) {
        tally.found(order.finding(format!("closed whole and charged {taken} {currency}, booked for {booked}")));
        return true;
    }
    // A refund is credited in the ERP, unless it gives back what was never invoiced.
    let (kept, invoiced, credited) = (taken - refunded, of_erp("invoice.create"), of_erp("credit_note.create"));
    if order.has("invoice.create") && !near(kept, invoiced - credited) && !near(kept, invoiced) {
        tally.found(order.finding(format!("closed and keeps {kept} {currency}, invoiced {invoiced}, credited {credited}")));
    }
    let posted = of_erp("payment.create");
    if order.has("payment.create") && !near(posted, taken) {
        tally.found(order.finding(format!("closed and charged {taken} {currency}, {posted} posted in the ERP")));
    }
    true
}
