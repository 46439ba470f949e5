//! The order of effects on one order (I6).

use crate::{
    report::{Tally, Verdict},
    world::{Entry, Order, World},
};
use crossdock_canonical::{Currency, Operation};
use crossdock_store::EffectState;
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// I6: for each order, no effect comes before what it rests on, and no late event moves a state back.
///
/// Across ledgers by their clocks (within `Options::clock_skew`), within one ledger by its own numbers. An order is not asked about a
/// step its market does not have: what is compared is there on both sides, except that a shipment needs its release and a
/// confirmation its ERP order.
pub(crate) fn in_order(world: &World<'_>) -> Verdict {
    let mut tally = Tally::default();
    for order in world.orders.iter().filter(|order| order.rows.iter().any(|row| !row.operation.starts_with("order."))) {
        tally.saw();
        taken_first(world, order, &mut tally);
        confirmed_after_the_erp(world, order, &mut tally);
        released_after_payment_and_stock(world, order, &mut tally);
        shipped_what_was_released(order, &mut tally);
        delivered_after_shipped(world, order, &mut tally);
        captured_after_shipped(world, order, &mut tally);
        states_only_go_forward(order, &mut tally);
    }
    tally.verdict("no ledger shows an effect on an order")
}

/// What the hub does to other systems for an order, after it said *taken*.
const AFTER_TAKEN: &[&str] = &[
    "confirmation_status",
    "screening.create",
    "tax.create",
    "reservation.create",
    "sales_order.create",
    "fulfilment_order.create",
    "capture",
];

/// `exported` is the first effect after the accept commit: neither before it nor after any other.
fn taken_first(world: &World<'_>, order: &Order<'_>, tally: &mut Tally) {
    let Some(taken) = order.all("export_status").filter(|row| row.state == "exported").min_by_key(|row| row.at) else { return };
    if order.process.is_some_and(|process| world.is_before(taken.at, process.opened_at.0)) {
        tally.found(taken.finding("marked as exported before the hub had accepted it"));
    }
    for operation in AFTER_TAKEN {
        if let Some(row) = order.earliest(operation).filter(|row| world.is_before(row.at, taken.at)) {
            tally.found(row.finding(format!("{operation} before the order was marked as exported")));
        }
    }
}

fn confirmed_after_the_erp(world: &World<'_>, order: &Order<'_>, tally: &mut Tally) {
    let Some(confirmed) = order.all("confirmation_status").filter(|row| row.state == "confirmed").min_by_key(|row| row.at) else {
        return;
    };
    let asked = order.process.into_iter().flat_map(|process| &process.effects).any(|effect| {
        effect.operation == Operation::ErpCreateOrder
            && effect.state != EffectState::Skipped
            && world.ledgers.contains_key(effect.system.as_str())
    });
    match order.earliest("sales_order.create") {
        Some(sale) if world.is_before(confirmed.at, sale.at) => {
            tally.found(confirmed.finding("confirmed to the shopper before the ERP had the order"))
        }
        // A closed order without one is I2's finding.
        None if asked && order.process.is_none_or(|process| &*process.status != "closed") => {
            tally.found(confirmed.finding("confirmed to the shopper, and the ERP never had the order"));
        }
        Some(_) | None => {}
    }
}

fn released_after_payment_and_stock(world: &World<'_>, order: &Order<'_>, tally: &mut Tally) {
    let Some(release) = order.earliest("fulfilment_order.create") else { return };
    for (operation, what) in [
        ("authorise", "its payment was authorized"),
        ("reservation.create", "its stock was reserved"),
        ("sales_order.create", "the ERP had the order"),
    ] {
        if order.earliest(operation).is_some_and(|row| world.is_before(release.at, row.at)) {
            tally.found(release.finding(format!("released to the warehouse before {what}")));
        }
    }
}

/// Each shipment belongs to a release before it; of each line no more is shipped, short and cancelled than was released.
fn shipped_what_was_released(order: &Order<'_>, tally: &mut Tally) {
    for shipment in order.all("shipment.create") {
        let release =
            order.all("fulfilment_order.create").find(|row| row.system == shipment.system && row.reference == shipment.parent);
        if release.is_none_or(|release| release.index > shipment.index) {
            tally.found(shipment.finding("shipped without having been released"));
        }
    }
    for release in order.all("fulfilment_order.create") {
        let mut open: BTreeMap<&str, Decimal> = BTreeMap::new();
        for line in order.lines(release, "fulfilment_order.line") {
            *open.entry(&line.row.line).or_default() += line.quantity();
        }
        let gone = order
            .below(release, "shipment.line")
            .chain(order.below(release, "fulfilment_order.cancel.line"))
            .chain(order.lines(release, "short_pick.line"));
        for line in gone {
            let left = open.entry(&line.row.line).or_default();
            *left -= line.quantity();
            if *left < Decimal::ZERO {
                tally.found(
                    line.finding(format!("{} more of line {} left {} than were released", -*left, line.line, release.reference)),
                );
            }
        }
    }
}

fn delivered_after_shipped(world: &World<'_>, order: &Order<'_>, tally: &mut Tally) {
    let released = order.by_line("fulfilment_order.line");
    let mut lines: BTreeMap<&str, &Entry<'_>> = BTreeMap::new();
    for row in order.all("delivery.line") {
        lines.entry(&row.row.line).or_insert(row);
    }
    for (line, delivery) in lines.into_iter().filter(|(line, _)| released.contains_key(line)) {
        let shipped = order.all("shipment.line").filter(|row| row.line == line).map(|row| row.at).min();
        if shipped.is_none_or(|shipped| world.is_before(delivery.at, shipped)) {
            tally.found(delivery.finding(format!("delivery of line {line} posted before it was shipped")));
        }
    }
}

/// Before the first shipment no more is captured than what no warehouse sees: downloads, gift cards, charges. Markets that capture at
/// accept are named in `Options::captures_at_accept`.
fn captured_after_shipped(world: &World<'_>, order: &Order<'_>, tally: &mut Tally) {
    let Some(placed) =
        order.placed().filter(|row| !world.options.captures_at_accept.contains(&format!("{}/{}", row.channel, row.site)))
    else {
        return;
    };
    let released = order.by_line("fulfilment_order.line");
    let Some(shipped) = order.earliest("shipment.create").map(|row| row.at).or((!released.is_empty()).then_some(i64::MAX)) else {
        return;
    };
    let goods: Decimal =
        order.all("order.line").filter(|line| released.contains_key(line.line.as_str())).map(|line| line.amount()).sum();
    let early: Vec<_> = order.all("capture").filter(|row| world.is_before(row.at, shipped)).collect();
    let taken: Decimal = early.iter().map(|row| row.amount()).sum();
    // Each line is rounded by itself, the total once: they may be a minor unit a line apart.
    let cent = last_digit(&placed.currency);
    let rounding = cent * Decimal::from(order.all("order.line").count());
    let cancelled = order.has("fulfilment_order.cancel") || order.has("short_pick.line");
    if let Some(last) = early.last().filter(|_| taken > placed.amount() - goods + rounding && !cancelled) {
        tally.found(
            last.finding(format!("{taken} {} captured before anything was shipped, {goods} of it for goods", last.currency)),
        );
    }
}

/// The smallest amount of a currency; zero for one that is none.
fn last_digit(currency: &str) -> Decimal {
    currency.parse::<Currency>().map_or(Decimal::ZERO, |currency| Decimal::new(1, currency.minor_digits()))
}

/// The statuses of the storefront and the states each may not fall back from.
const FORWARD: &[(&str, &[&str])] = &[
    ("export_status", &["not_exported", "ready", "exported"]),
    ("confirmation_status", &["not_confirmed", "confirmed"]),
    ("payment_status", &["not_paid", "part_paid", "paid"]),
    ("shipping_status", &["not_shipped", "part_shipped", "shipped"]),
    ("status", &["created", "new", "completed", "cancelled"]),
];

fn states_only_go_forward(order: &Order<'_>, tally: &mut Tally) {
    for (operation, states) in FORWARD {
        let mut highest = 0;
        for row in order.all(operation) {
            let Some(place) = states.iter().position(|state| *state == row.state) else { continue };
            if place < highest {
                tally.found(row.finding(format!("{operation} moved back from {} to {}", states[highest], row.state)));
            }
            highest = highest.max(place);
        }
    }
}
