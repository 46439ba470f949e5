//! The warehouse: fulfilment orders that a pick wave takes, then packs and ships, in one parcel or several.
//!
//! Cancellation races the wave: before it the warehouse agrees, after it it refuses. Which one wins depends on the seeded
//! time of the wave alone. What is not on the shelf at the pick is short and never ships.

use std::collections::{BTreeMap, HashMap};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::desk::{self, Answer, Desk, Refusal, call_key, row};
use super::{Role, results, split_lines};
use crate::http::{Call, Response};
use crate::json::{Json, object};
use crate::ledger::{Row, Scope};
use crate::simulator::{Context, Operation};
use crate::time;

/// How fast and how well the warehouse works. Times are ranges in ms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pace {
    pub pick_after_ms: (u64, u64),
    pub pack_after_ms: (u64, u64),
    pub ship_after_ms: (u64, u64),
    /// How much later the second parcel of a split leaves.
    pub second_parcel_after_ms: (u64, u64),
    /// How often an order of more than one piece ships in two parcels.
    pub split_rate: f64,
    /// How often a line is short at the pick.
    pub short_pick_rate: f64,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            pick_after_ms: (800, 2_000),
            pack_after_ms: (100, 400),
            ship_after_ms: (200, 800),
            second_parcel_after_ms: (300, 1_000),
            split_rate: 0.25,
            short_pick_rate: 0.005,
        }
    }
}

pub struct Warehouse {
    pace: Pace,
    orders: Vec<FulfilmentOrder>,
    by_id: HashMap<String, usize>,
    /// What the floor does next: (time, sequence) -> (order, step).
    floor: BTreeMap<(i64, u64), (usize, Step)>,
    steps: u64,
}

#[derive(Clone, Debug)]
enum Step {
    Pick,
    Pack,
    /// Ships these quantities per line index; the last parcel is final.
    Ship {
        pieces: Vec<(usize, Decimal)>,
        last: bool,
    },
}

struct FulfilmentOrder {
    id: String,
    reference: String,
    scope: Scope,
    location: String,
    service: String,
    state: &'static str,
    lines: Vec<Line>,
    parcels: Vec<Json>,
    /// How many events it has sent.
    events: u64,
    created_at: i64,
}

struct Line {
    line: String,
    sku: String,
    ordered: Decimal,
    cancelled: Decimal,
    picked: Decimal,
    packed: Decimal,
    shipped: Decimal,
    short: Decimal,
}

impl Role for Warehouse {
    fn operation(&self, method: &str, path: &[&str]) -> Option<Operation> {
        Some(match (method, path) {
            ("POST", ["fulfilment-orders"]) => Operation::write("fulfilment_order.create"),
            ("POST", ["fulfilment-orders", _, "cancellations"]) => Operation::write("fulfilment_order.cancel"),
            ("GET", ["fulfilment-orders"] | ["fulfilment-orders", _] | ["fulfilment-orders", _, "cancellations"]) => {
                Operation::read("fulfilment_order.get")
            }
            _ => return None,
        })
    }

    fn splits_lines(&self, operation: &str) -> bool {
        operation == "fulfilment_order.cancel"
    }

    fn apply(&mut self, call: &Call, path: &[&str], body: &Json, desk: &mut Desk, context: &mut Context) -> Answer {
        match (call.method, path) {
            ("POST", ["fulfilment-orders"]) => self.create(call, body, desk, context),
            ("GET", ["fulfilment-orders"]) => {
                let reference = call.query("external_reference").unwrap_or("");
                let found = desk.ids("fulfilment-orders", reference).iter().map(|id| self.orders[self.by_id[id]].json());
                Ok(desk::data(found.collect()))
            }
            ("GET", ["fulfilment-orders", id]) => Ok(Response::json(200, &self.orders[self.index(id)?].json())),
            ("GET", ["fulfilment-orders", id, "cancellations"]) => {
                self.index(id)?;
                desk.lookup("cancellations", id, call)
            }
            (_, ["fulfilment-orders", id, "cancellations"]) => {
                let index = self.index(id)?;
                self.orders[index].cancel(call, body, desk, context)
            }
            _ => Err(Refusal::not_found("route")),
        }
    }

    fn tick(&mut self, desk: &mut Desk, context: &mut Context) {
        if let Some((_, (index, step))) = self.floor.pop_first() {
            match step {
                Step::Pick => self.pick(index, desk, context),
                Step::Pack => self.pack(index, desk, context),
                Step::Ship { pieces, last } => self.orders[index].ship(&pieces, last, desk, context),
            }
        }
    }

    fn next_tick(&self) -> Option<i64> {
        self.floor.first_key_value().map(|((at, _), _)| *at)
    }
}

impl Warehouse {
    pub fn new(pace: Pace) -> Self {
        Warehouse { pace, orders: Vec::new(), by_id: HashMap::new(), floor: BTreeMap::new(), steps: 0 }
    }

    fn index(&self, id: &str) -> Result<usize, Refusal> {
        self.by_id.get(id).copied().ok_or_else(|| Refusal::not_found("fulfilment order of that id"))
    }

    fn schedule(&mut self, context: &mut Context, after: (u64, u64), index: usize, step: Step) {
        let at = context.now.saturating_add_unsigned(context.rng.between(after.0..=after.1));
        self.steps += 1;
        self.floor.insert((at, self.steps), (index, step));
    }

    fn create(&mut self, call: &Call, body: &Json, desk: &mut Desk, context: &mut Context) -> Answer {
        let scope = desk::scope(body)?;
        let reference = desk::required(body, "external_reference")?;
        desk.unused("fulfilment-orders", reference)?;
        let location = desk::required(body, "location")?;
        let service = if body.text("service").is_empty() { "standard" } else { body.text("service") };
        desk::address(body, "ship_to", service != "pickup")?;
        let mut lines: Vec<Line> = Vec::new();
        for line in desk::lines(body)? {
            let (id, sku) = (desk::required(line, "line")?, desk::required(line, "sku")?);
            let stored = crate::catalog::product(sku).is_some_and(|p| p.kind != crate::catalog::Kind::Digital);
            if !stored {
                return Err(
                    Refusal::new(422, "unknown_sku", format!("'{sku}' is not kept in a warehouse")).with("field", "lines.sku")
                );
            }
            if lines.iter().any(|l| l.line == id) {
                return Err(Refusal::field("lines.line", format!("line '{id}' appears twice")));
            }
            let (ordered, zero) = (desk::quantity(line)?, Decimal::ZERO);
            let line = Line {
                line: id.into(),
                sku: sku.into(),
                ordered,
                cancelled: zero,
                picked: zero,
                packed: zero,
                shipped: zero,
                short: zero,
            };
            lines.push(line);
        }
        let order = FulfilmentOrder {
            id: desk.id("FO"),
            reference: reference.into(),
            scope,
            location: location.into(),
            service: service.into(),
            state: "received",
            lines,
            parcels: Vec::new(),
            events: 0,
            created_at: context.now,
        };
        let key = call_key(call, reference);
        let head = row("fulfilment_order.create", key, &order.scope, &order.id, "", "received");
        context.ledger.add(context.now, Row { location: order.location.clone(), ..head });
        for line in &order.lines {
            order.book_line("fulfilment_order.line", key, &order.id, "", line, line.ordered, "received", context);
        }
        desk.note("fulfilment-orders", reference, &order.id);
        let answer = Response::json(201, &order.json());
        let index = self.orders.len();
        self.by_id.insert(order.id.clone(), index);
        self.orders.push(order);
        self.schedule(context, self.pace.pick_after_ms, index, Step::Pick);
        Ok(answer)
    }

    fn pick(&mut self, index: usize, desk: &mut Desk, context: &mut Context) {
        let short_rate = self.pace.short_pick_rate;
        let order = &mut self.orders[index];
        if order.state == "cancelled" {
            return;
        }
        order.state = "picked";
        for line in &mut order.lines {
            let wanted = line.ordered - line.cancelled;
            if !wanted.is_zero() && context.rng.chance(short_rate) {
                line.short = wanted;
            } else {
                line.picked = wanted;
            }
        }
        let picked = order.moved(|l| l.picked);
        let short = order.moved(|l| l.short);
        let id = order.id.clone();
        for (operation, state, moved) in [("pick.line", "picked", &picked), ("short_pick.line", "short", &short)] {
            for (i, quantity) in moved {
                order.book_line(operation, "", &id, "", &order.lines[*i], *quantity, state, context);
            }
        }
        if !picked.is_empty() {
            order.event("fulfilment.picked", &picked, Json::Null, desk, context);
        }
        if !short.is_empty() {
            let last = picked.is_empty();
            order.event("fulfilment.short_picked", &short, object! { "final": last }, desk, context);
            if last {
                order.state = "cancelled";
            }
        }
        if !picked.is_empty() {
            self.schedule(context, self.pace.pack_after_ms, index, Step::Pack);
        }
    }

    fn pack(&mut self, index: usize, desk: &mut Desk, context: &mut Context) {
        let order = &mut self.orders[index];
        order.state = "packed";
        for line in &mut order.lines {
            line.packed = line.picked;
        }
        let packed = order.moved(|l| l.packed);
        order.event("fulfilment.packed", &packed, Json::Null, desk, context);
        let pieces: Decimal = packed.iter().map(|(_, q)| *q).sum();
        let split = pieces > Decimal::ONE && order.service != "pickup" && context.rng.chance(self.pace.split_rate);
        if !split {
            let step = Step::Ship { pieces: packed, last: true };
            return self.schedule(context, self.pace.ship_after_ms, index, step);
        }
        // The first parcel takes half of the lines, or of the pieces of a single line; the rest follows.
        let (first, second) = if let [(line, quantity)] = packed[..] {
            let half = (quantity / Decimal::TWO).ceil();
            (vec![(line, half)], vec![(line, quantity - half)])
        } else {
            let half = packed.len().div_ceil(2);
            (packed[..half].to_vec(), packed[half..].to_vec())
        };
        let second: Vec<_> = second.into_iter().filter(|(_, q)| !q.is_zero()).collect();
        let alone = second.is_empty();
        self.schedule(context, self.pace.ship_after_ms, index, Step::Ship { pieces: first, last: alone });
        if !alone {
            let (ship, more) = (self.pace.ship_after_ms, self.pace.second_parcel_after_ms);
            let after = (ship.1 + more.0, ship.1 + more.1.max(more.0));
            self.schedule(context, after, index, Step::Ship { pieces: second, last: true });
        }
    }
}

impl FulfilmentOrder {
    /// The lines of which some quantity moved.
    fn moved(&self, quantity: impl Fn(&Line) -> Decimal) -> Vec<(usize, Decimal)> {
        self.lines.iter().map(quantity).enumerate().filter(|(_, q)| !q.is_zero()).collect()
    }

    fn cancel(&mut self, call: &Call, body: &Json, desk: &mut Desk, context: &mut Context) -> Answer {
        let reference = desk::required(body, "external_reference")?;
        desk.unused("cancellations", reference)?;
        match self.state {
            "received" => {}
            "cancelled" => return Err(Refusal::new(409, "already_cancelled", "nothing is left to cancel")),
            _ => return Err(Refusal::new(409, "already_picked", "the pick wave has taken this order")),
        }
        let mut requested = Vec::new();
        if body.list("lines").is_empty() {
            requested = self.moved(|l| l.ordered - l.cancelled);
        } else {
            for line in desk::lines(body)? {
                let (id, quantity) = (desk::required(line, "line")?, desk::quantity(line)?);
                let index = self.lines.iter().position(|l| l.line == id);
                let index = index.ok_or_else(|| Refusal::field("lines.line", format!("the order has no line '{id}'")))?;
                if quantity > self.lines[index].ordered - self.lines[index].cancelled {
                    return Err(Refusal::new(409, "already_cancelled", format!("line '{id}' has less than {quantity} left")));
                }
                requested.push((index, quantity));
            }
        }
        let (applied, failed) = split_lines(requested, context.partial);
        for (index, quantity) in &applied {
            self.lines[*index].cancelled += *quantity;
        }
        if self.lines.iter().all(|l| l.cancelled == l.ordered) {
            self.state = "cancelled";
        }
        let id = desk.id("FC");
        let key = call_key(call, reference);
        context.ledger.add(context.now, row("fulfilment_order.cancel", key, &self.scope, &id, &self.id, "cancelled"));
        for (index, quantity) in &applied {
            let line = &self.lines[*index];
            self.book_line("fulfilment_order.cancel.line", key, &id, &self.id, line, *quantity, "cancelled", context);
        }
        let name = |(index, _): &(usize, Decimal)| self.lines[*index].line.as_str();
        let record = object! {
            "id": id.as_str(), "external_reference": reference, "fulfilment_order_id": &self.id,
            "channel": &self.scope.channel, "site": &self.scope.site, "order": &self.scope.order,
            "state": "cancelled", "fulfilment_order_state": self.state, "created_at": time::rfc3339(context.now),
            "results": results(applied.iter().map(name), failed.iter().map(name)),
        };
        let more = object! { "final": self.state == "cancelled" };
        self.event("fulfilment.cancelled", &applied, more, desk, context);
        Ok(desk.keep("cancellations", &self.id.clone(), record, 201))
    }

    fn ship(&mut self, pieces: &[(usize, Decimal)], last: bool, desk: &mut Desk, context: &mut Context) {
        for (index, quantity) in pieces {
            self.lines[*index].shipped += *quantity;
        }
        self.state = if last { "shipped" } else { "part_shipped" };
        let parcel_id = desk.id("PC");
        let tracking = format!("SIM{:010}", context.rng.between(0..=9_999_999_999));
        context.ledger.add(
            context.now,
            Row { location: self.location.clone(), ..row("shipment.create", "", &self.scope, &parcel_id, &self.id, "shipped") },
        );
        for (index, quantity) in pieces {
            self.book_line("shipment.line", "", &parcel_id, &self.id, &self.lines[*index], *quantity, "shipped", context);
        }
        let carrier = if self.service == "pickup" { "PICKUP" } else { "SIMPARCEL" };
        let parcel = object! {
            "id": parcel_id, "carrier": carrier, "tracking_number": tracking.as_str(),
            "tracking_url": format!("https://tracking.example.com/{tracking}"),
        };
        let mut stored = parcel.clone();
        stored.set("state", "shipped");
        stored.set("lines", self.line_list(pieces));
        self.parcels.push(stored);
        self.event("fulfilment.shipped", pieces, object! { "parcel": parcel, "final": last }, desk, context);
    }

    fn line_list(&self, moved: &[(usize, Decimal)]) -> Vec<Json> {
        let line = |(index, quantity): &(usize, Decimal)| {
            let line = &self.lines[*index];
            object! { "line": &line.line, "sku": &line.sku, "quantity": quantity.to_string() }
        };
        moved.iter().map(line).collect()
    }

    fn event(&mut self, kind: &str, moved: &[(usize, Decimal)], more: Json, desk: &mut Desk, context: &mut Context) {
        self.events += 1;
        let mut members = object! {
            "fulfilment_order_id": &self.id, "location": &self.location, "lines": self.line_list(moved),
        };
        for (name, value) in more.members() {
            members.set(name.clone(), value.clone());
        }
        desk.event(context, &self.scope, kind, &self.reference, self.events, members);
    }

    #[allow(clippy::too_many_arguments, reason = "a ledger row has that many columns")]
    fn book_line(
        &self,
        operation: &'static str,
        key: &str,
        reference: &str,
        parent: &str,
        line: &Line,
        quantity: Decimal,
        state: &str,
        context: &mut Context,
    ) {
        let base = row(operation, key, &self.scope, reference, parent, state);
        let (location, quantity) = (self.location.clone(), Some(quantity));
        context.ledger.add(context.now, Row { line: line.line.clone(), sku: line.sku.clone(), location, quantity, ..base });
    }

    fn json(&self) -> Json {
        let lines = self.lines.iter().map(|l| {
            object! {
                "line": &l.line, "sku": &l.sku, "ordered": l.ordered.to_string(), "cancelled": l.cancelled.to_string(),
                "picked": l.picked.to_string(), "packed": l.packed.to_string(), "shipped": l.shipped.to_string(),
                "short": l.short.to_string(), "state": l.state(),
            }
        });
        object! {
            "id": &self.id, "external_reference": &self.reference,
            "channel": &self.scope.channel, "site": &self.scope.site, "order": &self.scope.order,
            "location": &self.location, "service": &self.service, "state": self.state,
            "created_at": time::rfc3339(self.created_at),
            "lines": lines.collect::<Vec<_>>(), "parcels": self.parcels.clone(),
        }
    }
}

impl Line {
    fn state(&self) -> &'static str {
        if self.cancelled == self.ordered {
            "cancelled"
        } else if !self.short.is_zero() {
            "short"
        } else if !self.shipped.is_zero() {
            if self.shipped < self.picked { "part_shipped" } else { "shipped" }
        } else if !self.packed.is_zero() {
            "packed"
        } else if !self.picked.is_zero() {
            "picked"
        } else {
            "open"
        }
    }
}
