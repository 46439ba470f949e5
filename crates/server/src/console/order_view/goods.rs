//! The goods of an order: what became of each line, which shipments there are, how far the order is.

use super::{Told, decimal, events, is_over, list, money, shown, state, text};
use crate::console::{
    draw::Status,
    words::{self, Tone},
};
use crossdock_canonical::{Order, Timestamp};
use crossdock_value::{Decimal, Value};
use std::collections::BTreeMap;

/// One line of what was sold, and what became of it.
pub struct LineView {
    pub name: String,
    pub sku: String,
    pub quantity: String,
    pub worth: String,
    pub status: Status,
}

pub fn lines(order: &Told<'_>, document: Option<&Order>) -> Vec<LineView> {
    let state = state(order.detail);
    let sold = state.at("sold.lines").as_arr().unwrap_or_default();
    sold.iter().map(|line| line_view(line, &state, document)).collect()
}

fn line_view(line: &Value, state: &Value, document: Option<&Order>) -> LineView {
    let id = line.get("id").as_str().unwrap_or_default();
    let known = document.and_then(|order| order.lines.iter().find(|known| known.id.as_str() == id));
    let sku = text(line.get("sku"));
    let quantity = decimal(line.at("quantity.value")).unwrap_or_default();
    LineView {
        name: known
            .and_then(|known| known.name.clone())
            .unwrap_or_else(|| if sku.is_empty() { format!("Line {id}") } else { sku.clone() }),
        quantity: quantity.normalize().to_string(),
        worth: money(line.get("worth")).map_or(String::new(), shown),
        status: line_status(id, quantity, state),
        sku,
    }
}

/// Names the furthest a line is known to have come.
fn line_status(id: &str, sold: Decimal, state: &Value) -> Status {
    let pieces = |lines: &Value| {
        let of_line = list(lines).into_iter().filter(|line| line.get("line").as_str() == Some(id));
        of_line.filter_map(|line| decimal(line.get("quantity")).or(decimal(line.at("quantity.value")))).sum::<Decimal>()
    };
    let shipped: Decimal = list(state.get("dispatches")).iter().map(|dispatch| pieces(dispatch.get("lines"))).sum();
    let parts: Vec<Value> =
        list(state.get("cancellations")).iter().flat_map(|cancellation| list(cancellation.get("parts"))).collect();
    let with = |verdict: &str| {
        let fitting = parts.iter().filter(|part| part.get("verdict").as_str() == Some(verdict));
        pieces(&fitting.cloned().collect::<Value>())
    };
    let (cancelled, asked) = (with("in_time"), with("asked"));
    if shipped + cancelled >= sold && sold > Decimal::ZERO {
        return match (shipped.is_zero(), cancelled.is_zero()) {
            (false, true) => Status::new(Tone::Ok, "Shipped"),
            (true, _) => Status::new(Tone::Off, "Cancelled"),
            (false, false) => {
                Status::new(Tone::Ok, format!("{} shipped, {} cancelled", shipped.normalize(), cancelled.normalize()))
            }
        };
    }
    if asked > Decimal::ZERO {
        return Status::new(Tone::Waiting, "Cancellation asked for");
    }
    let part =
        if shipped.is_zero() { String::new() } else { format!("{} of {} shipped, ", shipped.normalize(), sold.normalize()) };
    let say = |tone: Tone, word: &str| match part.as_str() {
        "" => Status::new(tone, words::sentence(word)),
        part => Status::new(tone, format!("{part}{word}")),
    };
    let shipments = list(state.get("shipments"));
    match shipments.iter().find(|shipment| list(shipment.get("lines")).iter().any(|line| line.as_str() == Some(id))) {
        Some(shipment) if !shipment.get("short").get(id).is_null() => say(Tone::Attention, "missing at the warehouse"),
        Some(shipment) => match shipment.get("progress").get(id).as_str() {
            Some(stage) => say(Tone::Waiting, stage),
            None if shipment.get("overdue").as_bool() == Some(true) => say(Tone::Attention, "overdue"),
            None if !shipment.get("released_at").is_null() => say(Tone::Waiting, "released"),
            None => say(Tone::Planned, "not yet released"),
        },
        None => say(Tone::Planned, "open"),
    }
}

pub struct ShipmentView {
    pub title: String,
    pub status: Status,
    pub note: String,
}

pub fn shipments(order: &Told<'_>, now: Timestamp) -> Vec<ShipmentView> {
    let state = state(order.detail);
    let all = state.get("shipments").as_arr().unwrap_or_default();
    let views = all.iter().map(|shipment| {
        let id = text(shipment.get("id"));
        let parcels = shipment.get("parcels").as_obj();
        let tracking: Vec<String> = parcels
            .map(|parcels| {
                parcels
                    .values()
                    .map(|parcel| [text(parcel.get("carrier")), text(parcel.get("tracking"))].join(" ").trim().to_owned())
            })
            .map_or_else(Vec::new, |tracking| tracking.filter(|text| !text.is_empty()).collect());
        let dispatched = state
            .get("dispatches")
            .as_arr()
            .unwrap_or_default()
            .iter()
            .any(|dispatch| dispatch.get("shipment").as_str() == Some(&id));
        let released = shipment.get("released_at").as_str().and_then(Timestamp::parse);
        let status = match (dispatched, shipment.get("overdue").as_bool(), released) {
            (true, _, _) => Status::new(Tone::Ok, "Left"),
            (false, Some(true), _) => Status::new(Tone::Attention, "Overdue"),
            (false, _, Some(at)) => Status::new(Tone::Waiting, format!("Released {}", words::clock(at, now))),
            (false, _, None) => Status::new(Tone::Planned, "Not yet released"),
        };
        let delivery = text(shipment.get("delivery"));
        ShipmentView {
            title: if delivery.is_empty() { id } else { format!("{id}, {delivery}") },
            status,
            note: tracking.join("; "),
        }
    });
    views.collect()
}

/// The expected path against the actual one.
pub struct Stop {
    pub name: &'static str,
    pub tone: Tone,
    pub at: String,
    pub note: String,
}

/// When each of the eight steps was reached, from the events.
pub fn path(order: &Told<'_>, now: Timestamp) -> Vec<Stop> {
    const REACHED_BY: [(&str, &[&str]); 8] = [
        ("Accepted", &["order.accepted", "order.unreadable"]),
        ("Paid", &["order.authorized"]),
        ("In the ERP", &["order.booked"]),
        ("Released", &["order.released"]),
        ("Picked", &["shipment.picked", "shipment.packed", "shipment.shipped", "order.fulfilled"]),
        ("Shipped", &["shipment.shipped", "order.fulfilled"]),
        ("Captured", &["order.captured", "order.payment_closed"]),
        ("Closed", &["order.closed", "order.cancelled"]),
    ];
    let mut first: BTreeMap<String, Timestamp> = BTreeMap::new();
    for row in order.journal {
        for (name, _) in events(row) {
            first.entry(name).or_insert(row.at);
        }
    }
    let summary = &order.detail.view.row.summary;
    let began = order.detail.view.row.opened_at;
    let mut next = Tone::of_status(&summary.status, order.detail.view.open_exceptions, &summary.waiting_for);
    if next == Tone::Ok {
        next = Tone::Waiting;
    }
    let reached = REACHED_BY.map(|(name, events)| (name, events.iter().filter_map(|event| first.get(*event)).min().copied()));
    // Where it stands now: behind the furthest step it has reached. A step before that without an event was not called for.
    let here = reached.iter().rposition(|(_, at)| at.is_some()).map_or(0, |last| last + 1);
    let stops = reached.into_iter().enumerate().map(|(place, (name, at))| match at {
        Some(at) => {
            Stop { name, tone: Tone::Ok, at: words::clock(at, now), note: format!("after {}", words::lasting(at - began)) }
        }
        None if place == here && !is_over(order) => {
            Stop { name, tone: next, at: "now".into(), note: words::lasting(now - order.detail.view.updated_at) }
        }
        None if place < here => Stop { name, tone: Tone::Off, at: "not called for".into(), note: String::new() },
        None => Stop { name, tone: Tone::Planned, at: String::new(), note: String::new() },
    });
    stops.collect()
}
