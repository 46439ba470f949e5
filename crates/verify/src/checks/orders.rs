//! Orders: none lost (I1), one in the ERP (I2), conserved and told once (I14).

use crate::{
    report::{Finding, Tally, Verdict},
    world::{Order, World},
};
use crossdock_canonical::Timestamp;
use rust_decimal::Decimal;
use std::collections::BTreeSet;

/// I1: every accepted order is known to the hub, and has ended or waits visibly for a person.
///
/// Accepted is what the storefront's ledger shows as taken: a 2xx it received (`order.accepted`) or the export status the hub set; with
/// `Options::all_placed` every order it placed. From the storefront's ledger, then the hub's process rows. Orders younger than
/// `Options::settle` may be on their way.
pub(crate) fn none_is_lost(world: &World<'_>) -> Verdict {
    if world.hub.is_none() {
        return Verdict::not_checked("the hub's processes were not given");
    }
    let mut tally = Tally::default();
    for order in &world.orders {
        let Some((since, how)) = accepted(world, order) else { continue };
        tally.saw();
        match order.process {
            None if world.is_due(since) || how != "placed" => {
                tally.found(order.finding(format!("{how}, and the hub does not know it")))
            }
            None => {}
            Some(process) if process.is_ended() || order.is_parked || !world.is_due(since) => {}
            Some(process) => {
                let waits = if process.waiting_for.is_empty() { "nothing" } else { &process.waiting_for };
                tally.found(
                    order.finding(format!(
                        "neither ended nor parked: {} at {}, waiting for {waits}",
                        process.status, process.stage
                    )),
                );
            }
        }
    }
    tally.verdict("no ledger shows an accepted order")
}

/// When the hub took an order, and how that shows.
fn accepted(world: &World<'_>, order: &Order<'_>) -> Option<(Timestamp, &'static str)> {
    let row = |operation| order.earliest(operation).map(|row| Timestamp(row.at));
    let exported = order.all("export_status").find(|row| row.state == "exported").map(|row| Timestamp(row.at));
    row("order.accepted")
        .map(|at| (at, "answered 2xx"))
        .or(exported.map(|at| (at, "marked as exported")))
        .or_else(|| placed(order).filter(|_| world.options.all_placed).map(|at| (at, "placed")))
}

/// When the shopper's order became one: a basket that failed or was never finished is none.
fn placed(order: &Order<'_>) -> Option<Timestamp> {
    let row = order.placed()?;
    if !matches!(row.state.as_str(), "created" | "failed") {
        return Some(Timestamp(row.at));
    }
    order.all("status").find(|told| told.state == "new").map(|told| Timestamp(told.at))
}

/// I2: at most one ERP order for each storefront order at any time, exactly one once the order is closed, over the same money.
///
/// From the ERP's ledger against the storefront's. "Exactly one" is asked where the hub says it booked the order, because a market may
/// have no ERP. Holds for every identity class: it counts orders, not keys.
pub(crate) fn one_in_the_erp(world: &World<'_>) -> Verdict {
    let mut tally = Tally::default();
    for order in &world.orders {
        let sold: Vec<_> = order.all("sales_order.create").collect();
        let booked = order.process.is_some_and(|process| {
            let done = |e: &&crossdock_store::EffectRow| e.operation == crossdock_canonical::Operation::ErpCreateOrder;
            process
                .effects
                .iter()
                .filter(done)
                .any(|e| e.state == crossdock_store::EffectState::Done && world.ledgers.contains_key(e.system.as_str()))
        });
        if sold.is_empty() && !booked {
            continue;
        }
        tally.saw();
        match sold.as_slice() {
            [] if order.process.is_some_and(|p| &*p.status == "closed") => {
                tally.found(order.finding("closed, and the ERP has no order"))
            }
            [_] | [] => {}
            [first, .., last] => {
                tally.found(last.finding(format!("{} ERP orders, {} to {}", sold.len(), first.reference, last.reference)));
            }
        }
        for row in sold {
            let Some(placed) = order.placed() else {
                tally.found(row.finding(format!("the ERP has order {}, and no storefront placed it", row.reference)));
                continue;
            };
            let corrected = order.process.and_then(|process| process.total.parse::<Decimal>().ok());
            let near = |total: Decimal| row.amount().saturating_sub(total).abs() <= world.options.total_tolerance;
            let pieces = |operation| order.by_line(operation).into_values().sum::<Decimal>();
            // What was cancelled before the ERP heard of it is not booked.
            let partly = pieces("sales_order.line") < pieces("order.line") && row.amount() < placed.amount();
            if row.currency != placed.currency {
                tally.found(row.finding(format!("booked in {}, sold in {}", row.currency, placed.currency)));
            } else if !near(placed.amount()) && !corrected.is_some_and(near) && !partly {
                tally.found(row.finding(format!("booked at {} {}, sold at {}", row.amount(), row.currency, placed.amount())));
            }
        }
    }
    tally.verdict("no ledger shows an ERP order")
}

/// I14: orders are conserved, and nothing is taken in twice.
///
/// With I1 this is the equation *accepted = ended + parked + in flight*: I1 finds an order that is missing in the hub; here an order
/// of the hub that no storefront placed, an order that began twice, and a message folded twice are found. From the storefront's
/// ledger and the journal. Messages are compared by source, kind and the hash of their bytes; observations (`order.observed`) may
/// repeat, and messages whose bytes were not archived are not compared.
pub(crate) fn conserved(world: &World<'_>) -> Verdict {
    let Some(hub) = world.hub else { return Verdict::not_checked("the hub's journal was not given") };
    if !world.speaks_of("order.placed") && !world.speaks_of("order.accepted") {
        return Verdict::not_checked("no ledger says which orders were placed");
    }
    let mut tally = Tally::default();
    for order in &world.orders {
        tally.saw();
        if order.process.is_some() && !order.has("order.placed") && !order.has("order.accepted") {
            tally.found(order.finding("in the hub, and no storefront placed it"));
        }
        let heads = order.all("order.placed").count();
        if heads > 1 {
            tally.found(order.finding(format!("placed {heads} times under one number")));
        }
    }
    for process in hub.processes.values() {
        let mut seen = BTreeSet::new();
        for (source, kind, hash) in
            process.history.iter().filter_map(|t| t.folded.as_ref()).filter(|(_, kind, _)| kind != "order.observed")
        {
            if !seen.insert((source, kind, hash)) {
                let text = format!("the same {kind} of {source} was folded twice (payload {:.12})", hash);
                tally.found(Finding { order: process.key.to_string(), text, ..Finding::default() });
            }
        }
    }
    tally.verdict("no order")
}
