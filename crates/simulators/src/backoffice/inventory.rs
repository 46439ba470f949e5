//! The inventory service: stock by SKU and location, reservations that hold all their lines or none.
//!
//! Available never goes below zero, and each reserved piece ends exactly once: fulfilled or released.

use std::collections::{BTreeMap, HashMap};

use rust_decimal::Decimal;

use super::Role;
use super::desk::{self, Answer, Desk, Refusal, call_key, row};
use crate::http::{Call, Response};
use crate::json::{Json, object};
use crate::ledger::{Row, Scope};
use crate::simulator::{Context, Operation};
use crate::time;

#[derive(Default)]
pub struct Inventory {
    /// By SKU, then location.
    stock: BTreeMap<String, BTreeMap<String, Level>>,
    reservations: HashMap<String, Reservation>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Level {
    on_hand: Decimal,
    reserved: Decimal,
}

struct Reservation {
    scope: Scope,
    lines: Vec<Line>,
    released: bool,
    created_at: i64,
}

#[derive(Clone, PartialEq)]
struct Line {
    line: String,
    sku: String,
    location: String,
    quantity: Decimal,
    fulfilled: Decimal,
    released: Decimal,
}

impl Line {
    fn open(&self) -> Decimal {
        self.quantity - self.fulfilled - self.released
    }
}

impl Role for Inventory {
    fn operation(&self, method: &str, path: &[&str]) -> Option<Operation> {
        Some(match (method, path) {
            ("PUT", ["reservations", _]) => Operation::write("reservation.create"),
            ("DELETE", ["reservations", _]) => Operation::write("reservation.release"),
            ("POST", ["reservations", _, "releases"]) => Operation::write("reservation.release"),
            ("POST", ["reservations", _, "fulfilments"]) => Operation::write("reservation.fulfil"),
            ("GET", ["reservations", _] | ["reservations", _, "fulfilments" | "releases"]) => Operation::read("reservation.get"),
            ("POST", ["availability"]) => Operation::read("availability.get"),
            ("GET", ["stock"]) => Operation::read("stock.get"),
            _ => return None,
        })
    }

    fn apply(&mut self, call: &Call, path: &[&str], body: &Json, desk: &mut Desk, context: &mut Context) -> Answer {
        match (call.method, path) {
            ("PUT", ["reservations", id]) => self.reserve(call, id, body, context),
            ("DELETE", ["reservations", id]) => self.release(call, id, context),
            ("POST", ["reservations", id, "releases"]) => self.release_part(call, id, body, desk, context),
            ("POST", ["reservations", id, "fulfilments"]) => self.fulfil(call, id, body, desk, context),
            ("GET", ["reservations", id]) => Ok(Response::json(200, &self.reservation(id)?.json(id))),
            ("GET", ["reservations", id, what @ ("fulfilments" | "releases")]) => {
                self.reservation(id)?;
                desk.lookup(if *what == "releases" { "releases" } else { "fulfilments" }, id, call)
            }
            ("POST", ["availability"]) => {
                let line = |line: &Json| {
                    let sku = desk::required(line, "sku")?;
                    let levels = self.stock.get(sku).into_iter().flatten();
                    Ok(
                        object! { "sku": sku, "locations": levels.map(|(l, level)| level.json("location", l)).collect::<Vec<_>>() },
                    )
                };
                Ok(desk::data(desk::lines(body)?.iter().map(line).collect::<Result<_, Refusal>>()?))
            }
            ("GET", ["stock"]) => Ok(desk::data(self.listed(call.query("sku"), call.query("location")))),
            _ => Err(Refusal::not_found("route")),
        }
    }
}

impl Inventory {
    /// Sets what is on hand, as a count would.
    pub fn set_stock(&mut self, sku: &str, location: &str, on_hand: Decimal, context: &mut Context) {
        self.stock.entry(sku.into()).or_default().entry(location.into()).or_default().on_hand = on_hand;
        let row =
            Row { operation: "stock.set", sku: sku.into(), location: location.into(), quantity: Some(on_hand), ..Row::default() };
        context.ledger.add(context.now, row);
    }

    /// What could still be promised.
    pub fn available(&self, sku: &str, location: &str) -> Decimal {
        self.stock.get(sku).and_then(|l| l.get(location)).map_or(Decimal::ZERO, Level::available)
    }

    fn level(&mut self, line: &Line) -> &mut Level {
        self.stock.entry(line.sku.clone()).or_default().entry(line.location.clone()).or_default()
    }

    fn reservation(&self, id: &str) -> Result<&Reservation, Refusal> {
        self.reservations.get(id).ok_or_else(|| Refusal::not_found("reservation of that id"))
    }

    fn listed(&self, sku: Option<&str>, location: Option<&str>) -> Vec<Json> {
        let mut out = Vec::new();
        for (name, levels) in self.stock.iter().filter(|(name, _)| sku.is_none_or(|s| s == *name)) {
            for (place, level) in levels.iter().filter(|(place, _)| location.is_none_or(|l| l == *place)) {
                let mut item = object! { "sku": name };
                for (key, value) in level.json("location", place).members() {
                    item.set(key.clone(), value.clone());
                }
                out.push(item);
            }
        }
        out
    }

    fn reserve(&mut self, call: &Call, id: &str, body: &Json, context: &mut Context) -> Answer {
        let scope = desk::scope(body)?;
        let mut lines = Vec::new();
        for line in desk::lines(body)? {
            lines.push(Line {
                line: line.text("line").into(),
                sku: desk::required(line, "sku")?.into(),
                location: desk::required(line, "location")?.into(),
                quantity: desk::quantity(line)?,
                fulfilled: Decimal::ZERO,
                released: Decimal::ZERO,
            });
        }
        if let Some(known) = self.reservations.get(id) {
            let same = known.lines.len() == lines.len()
                && known
                    .lines
                    .iter()
                    .zip(&lines)
                    .all(|(a, b)| (&a.line, &a.sku, &a.location, a.quantity) == (&b.line, &b.sku, &b.location, b.quantity));
            return match (same, known.released) {
                (true, false) => Ok(Response::json(200, &known.json(id))),
                (_, true) => Err(Refusal::new(409, "reservation_closed", "this reservation was released")),
                (false, false) => Err(Refusal::new(409, "reservation_differs", "this reservation exists with other lines")),
            };
        }
        // One SKU may be asked for on several lines: the batch is added up before it is compared.
        let mut wanted: BTreeMap<(&str, &str), Decimal> = BTreeMap::new();
        for line in &lines {
            *wanted.entry((&line.sku, &line.location)).or_default() += line.quantity;
        }
        let short = wanted.into_iter().map(|((sku, location), q)| (sku, location, q, self.available(sku, location)));
        let shortages: Vec<Json> = short
            .filter(|(.., requested, available)| requested > available)
            .map(|(sku, location, requested, available)| {
                object! { "sku": sku, "location": location, "requested": requested.to_string(), "available": available.to_string() }
            })
            .collect();
        if !shortages.is_empty() {
            let refusal = Refusal::new(409, "insufficient_stock", "nothing was reserved");
            return Err(refusal.with("shortages", shortages));
        }
        for line in &lines {
            self.level(line).reserved += line.quantity;
        }
        let key = call_key(call, id);
        context.ledger.add(context.now, row("reservation.create", key, &scope, id, "", "reserved"));
        for line in &lines {
            book("reservation.line", key, &scope, (id, ""), line, line.quantity, "reserved", context);
        }
        let reservation = Reservation { scope, lines, released: false, created_at: context.now };
        let answer = Response::json(201, &reservation.json(id));
        self.reservations.insert(id.into(), reservation);
        Ok(answer)
    }

    fn release(&mut self, call: &Call, id: &str, context: &mut Context) -> Answer {
        let known = self.reservation(id)?;
        if known.released {
            return Ok(Response::json(200, &known.json(id)));
        }
        if known.state() == "fulfilled" {
            return Err(Refusal::new(409, "already_fulfilled", "nothing is left to release"));
        }
        let scope = known.scope.clone();
        let open: Vec<Line> = known.lines.iter().filter(|l| !l.open().is_zero()).cloned().collect();
        let key = call_key(call, id);
        context.ledger.add(context.now, row("reservation.release", key, &scope, id, id, "released"));
        for line in &open {
            self.level(line).reserved -= line.open();
            book("release.line", key, &scope, (id, id), line, line.open(), "released", context);
        }
        let known = self.reservations.get_mut(id).expect("it was found above");
        for line in &mut known.lines {
            line.released += line.open();
        }
        known.released = true;
        Ok(Response::json(200, &known.json(id)))
    }

    /// Gives back some of what is reserved; the rest stays.
    fn release_part(&mut self, call: &Call, id: &str, body: &Json, desk: &mut Desk, context: &mut Context) -> Answer {
        let known = self.reservation(id)?;
        let reference = desk::required(body, "external_reference")?;
        desk.unused("releases", reference)?;
        if known.released {
            return Err(Refusal::new(409, "reservation_closed", "this reservation was released"));
        }
        let (mut after, taken) = spread(&known.lines, body, "over_release")?;
        for (index, quantity) in &taken {
            after[*index].released += *quantity;
        }
        let scope = known.scope.clone();
        let release = desk.id("RR");
        let key = call_key(call, reference);
        context.ledger.add(context.now, row("reservation.release", key, &scope, &release, id, "released"));
        for (index, quantity) in &taken {
            self.level(&after[*index]).reserved -= *quantity;
            book("release.line", key, &scope, (&release, id), &after[*index], *quantity, "released", context);
        }
        let known = self.reservations.get_mut(id).expect("it was found above");
        known.lines = after;
        let record = object! {
            "id": release, "external_reference": reference, "reservation_id": id,
            "channel": &scope.channel, "site": &scope.site, "order": &scope.order,
            "state": "released", "reservation_state": known.state(), "created_at": time::rfc3339(context.now),
        };
        Ok(desk.keep("releases", id, record, 201))
    }

    fn fulfil(&mut self, call: &Call, id: &str, body: &Json, desk: &mut Desk, context: &mut Context) -> Answer {
        let known = self.reservation(id)?;
        let reference = desk::required(body, "external_reference")?;
        desk.unused("fulfilments", reference)?;
        if known.released {
            return Err(Refusal::new(409, "reservation_closed", "this reservation was released"));
        }
        let (mut after, taken) = spread(&known.lines, body, "over_fulfilment")?;
        for (index, quantity) in &taken {
            after[*index].fulfilled += *quantity;
        }
        let scope = known.scope.clone();
        for (index, quantity) in &taken {
            let level = self.level(&after[*index]);
            level.on_hand -= *quantity;
            level.reserved -= *quantity;
        }
        let fulfilment = desk.id("RF");
        let key = call_key(call, reference);
        context.ledger.add(context.now, row("reservation.fulfil", key, &scope, &fulfilment, id, "fulfilled"));
        for (index, quantity) in &taken {
            book("fulfilment.line", key, &scope, (&fulfilment, id), &after[*index], *quantity, "fulfilled", context);
        }
        let known = self.reservations.get_mut(id).expect("it was found above");
        known.lines = after;
        let record = object! {
            "id": fulfilment, "external_reference": reference, "reservation_id": id,
            "channel": &scope.channel, "site": &scope.site, "order": &scope.order,
            "state": "fulfilled", "reservation_state": known.state(), "created_at": time::rfc3339(context.now),
        };
        Ok(desk.keep("fulfilments", id, record, 201))
    }
}

/// How much of which line, by its index.
type Taken = (usize, Decimal);

/// Spreads each asked quantity over the matching lines; all of it fits, or nothing is taken.
fn spread(lines: &[Line], body: &Json, code: &'static str) -> Result<(Vec<Line>, Vec<Taken>), Refusal> {
    let mut left: Vec<Decimal> = lines.iter().map(Line::open).collect();
    let mut taken: Vec<Taken> = Vec::new();
    for line in desk::lines(body)? {
        let (sku, location) = (desk::required(line, "sku")?, desk::required(line, "location")?);
        let mut rest = desk::quantity(line)?;
        let wanted_line = line.text("line");
        for (index, own) in lines.iter().enumerate() {
            let matches = own.sku == sku && own.location == location && (wanted_line.is_empty() || own.line == wanted_line);
            let take = if matches { rest.min(left[index]) } else { Decimal::ZERO };
            if !take.is_zero() {
                left[index] -= take;
                rest -= take;
                taken.push((index, take));
            }
        }
        if !rest.is_zero() {
            return Err(Refusal::new(409, code, format!("{rest} of {sku} at {location} are not reserved")));
        }
    }
    Ok((lines.to_vec(), taken))
}

#[allow(clippy::too_many_arguments, reason = "a ledger row has that many columns")]
fn book(
    operation: &'static str,
    key: &str,
    scope: &Scope,
    (reference, parent): (&str, &str),
    line: &Line,
    quantity: Decimal,
    state: &str,
    context: &mut Context,
) {
    let base = row(operation, key, scope, reference, parent, state);
    let (sku, location) = (line.sku.clone(), line.location.clone());
    context.ledger.add(context.now, Row { line: line.line.clone(), sku, location, quantity: Some(quantity), ..base });
}

impl Level {
    fn available(&self) -> Decimal {
        self.on_hand - self.reserved
    }

    fn json(&self, key: &'static str, place: &str) -> Json {
        let mut json = Json::Object(Vec::new());
        json.set(key, place);
        json.set("on_hand", self.on_hand.to_string());
        json.set("reserved", self.reserved.to_string());
        json.set("available", self.available().to_string());
        json
    }
}

impl Reservation {
    fn state(&self) -> &'static str {
        let open = self.lines.iter().any(|l| !l.open().is_zero());
        let fulfilled = self.lines.iter().any(|l| !l.fulfilled.is_zero());
        match (self.released, open, fulfilled) {
            (true, ..) => "released",
            (false, true, true) => "part_fulfilled",
            (false, true, false) => "reserved",
            (false, false, _) => "fulfilled",
        }
    }

    fn json(&self, id: &str) -> Json {
        let lines = self.lines.iter().map(|l| {
            object! {
                "line": &l.line, "sku": &l.sku, "location": &l.location, "quantity": l.quantity.to_string(),
                "fulfilled": l.fulfilled.to_string(), "released": l.released.to_string(),
            }
        });
        object! {
            "id": id, "external_reference": id,
            "channel": &self.scope.channel, "site": &self.scope.site, "order": &self.scope.order,
            "state": self.state(), "created_at": time::rfc3339(self.created_at), "lines": lines.collect::<Vec<_>>(),
        }
    }
}
