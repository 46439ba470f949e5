//! The ERP: sales orders with their cancellations, deliveries, invoices, payments and credit notes.
//!
//! It keeps what was ordered, delivered and invoiced apart per line and refuses to go past either. It does no accounting.

use std::collections::HashMap;

use rust_decimal::Decimal;

use super::desk::{self, Answer, Desk, Refusal, call_key, row};
use super::{Role, results, split_lines};
use crate::catalog;
use crate::http::{Call, Response};
use crate::json::{Json, object};
use crate::ledger::{Row, Scope};
use crate::money;
use crate::simulator::{Context, Operation};
use crate::time;

#[derive(Default)]
pub struct Erp {
    orders: Vec<SalesOrder>,
    by_id: HashMap<String, usize>,
}

struct SalesOrder {
    id: String,
    reference: String,
    scope: Scope,
    currency: String,
    total: Decimal,
    invoiced: Decimal,
    credited: Decimal,
    lines: Vec<Line>,
    /// Ids of what was made under it, by collection.
    children: Vec<(&'static str, String)>,
    created_at: i64,
}

struct Line {
    line: String,
    sku: String,
    ordered: Decimal,
    cancelled: Decimal,
    delivered: Decimal,
}

impl Line {
    fn open(&self) -> Decimal {
        self.ordered - self.cancelled - self.delivered
    }
}

/// Line indices and how much of each moves.
type Moved = Vec<(usize, Decimal)>;

/// The collections below a sales order, and how the ledger and the ids name them.
const NESTED: &[(&str, &str, &str)] = &[
    ("cancellations", "sales_order.cancel", "SC"),
    ("deliveries", "delivery.create", "DN"),
    ("invoices", "invoice.create", "IN"),
    ("payments", "payment.create", "RC"),
    ("credit-notes", "credit_note.create", "CN"),
];

impl Role for Erp {
    fn operation(&self, method: &str, path: &[&str]) -> Option<Operation> {
        Some(match (method, path) {
            ("POST", ["sales-orders"]) => Operation::write("sales_order.create"),
            ("GET", ["sales-orders"] | ["sales-orders", _]) => Operation::read("sales_order.get"),
            ("POST", ["sales-orders", _, kind]) => Operation::write(nested(kind)?.1),
            ("GET", ["sales-orders", _, kind]) => {
                nested(kind)?;
                Operation::read("sales_order.get")
            }
            _ => return None,
        })
    }

    fn splits_lines(&self, operation: &str) -> bool {
        matches!(operation, "sales_order.cancel" | "delivery.create")
    }

    fn apply(&mut self, call: &Call, path: &[&str], body: &Json, desk: &mut Desk, context: &mut Context) -> Answer {
        match (call.method, path) {
            ("POST", ["sales-orders"]) => self.create(call, body, desk, context),
            ("GET", ["sales-orders"]) => {
                let reference = call.query("external_reference").unwrap_or("");
                let found = desk.ids("sales-orders", reference).iter().map(|id| self.orders[self.by_id[id]].json(desk));
                Ok(desk::data(found.collect()))
            }
            ("GET", ["sales-orders", id]) => Ok(Response::json(200, &self.order(id)?.json(desk))),
            ("GET", ["sales-orders", id, kind]) => {
                let (collection, ..) = nested(kind).ok_or_else(|| Refusal::not_found(kind))?;
                desk.lookup(collection, &self.order(id)?.id, call)
            }
            (_, ["sales-orders", id, kind]) => {
                let (collection, ..) = nested(kind).ok_or_else(|| Refusal::not_found(kind))?;
                self.order(id)?;
                let order = &mut self.orders[self.by_id[*id]];
                let reference = desk::required(body, "external_reference")?;
                desk.unused(collection, reference)?;
                match collection {
                    "cancellations" => order.cancel(call, reference, body, desk, context),
                    "deliveries" => order.deliver(call, reference, body, desk, context),
                    _ => order.post(collection, call, reference, body, desk, context),
                }
            }
            _ => Err(Refusal::not_found("route")),
        }
    }
}

fn nested(kind: &str) -> Option<(&'static str, &'static str, &'static str)> {
    NESTED.iter().find(|(name, ..)| *name == kind).copied()
}

impl Erp {
    /// Whether an order is there and not cancelled.
    pub fn stands(&self, id: &str) -> bool {
        self.by_id.get(id).is_some_and(|at| self.orders[*at].state() != "cancelled")
    }

    fn order(&self, id: &str) -> Result<&SalesOrder, Refusal> {
        self.by_id.get(id).map(|i| &self.orders[*i]).ok_or_else(|| Refusal::not_found("sales order of that id"))
    }

    fn create(&mut self, call: &Call, body: &Json, desk: &mut Desk, context: &mut Context) -> Answer {
        let scope = desk::scope(body)?;
        let reference = desk::required(body, "external_reference")?;
        desk.unused("sales-orders", reference)?;
        let currency = desk::required(body, "currency")?;
        let total = desk::amount(body, "total", currency)?;
        desk::address(body, "bill_to", false)?;
        desk::address(body, "ship_to", false)?;
        let mut sum = Decimal::ZERO;
        let mut lines: Vec<Line> = Vec::new();
        let mut amounts = Vec::new();
        for line in desk::lines(body)? {
            let (id, sku) = (desk::required(line, "line")?, desk::required(line, "sku")?);
            if lines.iter().any(|l| l.line == id) {
                return Err(Refusal::field("lines.line", format!("line '{id}' appears twice")));
            }
            if catalog::product(sku).is_none() && !catalog::GENERIC_ITEMS.contains(&sku) {
                return Err(Refusal::new(422, "unknown_sku", format!("there is no item '{sku}'")).with("field", "lines.sku"));
            }
            let amount = desk::signed_amount(line, "amount", currency)?;
            sum += amount;
            amounts.push(amount);
            let ordered = desk::quantity(line)?;
            lines.push(Line { line: id.into(), sku: sku.into(), ordered, cancelled: Decimal::ZERO, delivered: Decimal::ZERO });
        }
        for charge in body.list("charges") {
            sum += desk::signed_amount(charge, "amount", currency)?;
        }
        if sum != total {
            let message = format!("lines and charges add up to {sum}, the total says {total}");
            return Err(Refusal::new(422, "total_mismatch", message).with("field", "total"));
        }
        let order = SalesOrder {
            id: desk.id("SO"),
            reference: reference.into(),
            scope,
            currency: currency.into(),
            total,
            invoiced: Decimal::ZERO,
            credited: Decimal::ZERO,
            lines,
            children: Vec::new(),
            created_at: context.now,
        };
        let key = call_key(call, reference);
        let head = row("sales_order.create", key, &order.scope, &order.id, "", "open");
        context.ledger.add(context.now, Row { amount: Some(total), currency: currency.into(), ..head });
        for (line, amount) in order.lines.iter().zip(amounts) {
            let base = row("sales_order.line", key, &order.scope, &order.id, "", "open");
            let line = Row { line: line.line.clone(), sku: line.sku.clone(), quantity: Some(line.ordered), ..base };
            context.ledger.add(context.now, Row { amount: Some(amount), currency: currency.into(), ..line });
        }
        desk.note("sales-orders", reference, &order.id);
        let answer = Response::json(201, &order.json(desk));
        self.by_id.insert(order.id.clone(), self.orders.len());
        self.orders.push(order);
        Ok(answer)
    }
}

impl SalesOrder {
    fn state(&self) -> &'static str {
        let delivered = self.lines.iter().any(|l| !l.delivered.is_zero());
        let open = self.lines.iter().any(|l| !l.open().is_zero());
        match (delivered, open) {
            (false, true) => "open",
            (false, false) => "cancelled",
            (true, true) => "part_delivered",
            (true, false) => "delivered",
        }
    }

    /// The lines a body asks for, or everything still open.
    fn requested(&self, body: &Json) -> Result<Moved, Refusal> {
        if body.list("lines").is_empty() {
            let open = self.lines.iter().enumerate().map(|(i, l)| (i, l.open()));
            return Ok(open.filter(|(_, q)| !q.is_zero()).collect());
        }
        desk::lines(body)?
            .iter()
            .map(|line| {
                let id = desk::required(line, "line")?;
                let index = self.lines.iter().position(|l| l.line == id);
                let index = index.ok_or_else(|| Refusal::field("lines.line", format!("the order has no line '{id}'")))?;
                Ok((index, desk::quantity(line)?))
            })
            .collect()
    }

    fn cancel(&mut self, call: &Call, reference: &str, body: &Json, desk: &mut Desk, context: &mut Context) -> Answer {
        let requested = self.requested(body)?;
        let refused = |line: &Line| {
            let code = if line.delivered.is_zero() { "already_cancelled" } else { "already_delivered" };
            Refusal::new(409, code, format!("line '{}' has {} left to cancel", line.line, line.open()))
        };
        if requested.is_empty() {
            return Err(refused(&self.lines[0]));
        }
        if let Some((index, _)) = requested.iter().find(|(i, q)| *q > self.lines[*i].open()) {
            return Err(refused(&self.lines[*index]));
        }
        let (applied, failed) = split_lines(requested, context.partial);
        for (index, quantity) in &applied {
            self.lines[*index].cancelled += *quantity;
        }
        self.record_lines(
            ("cancellations", "sales_order.cancel", "sales_order.cancel.line", "SC"),
            call,
            reference,
            (applied, failed),
            desk,
            context,
        )
    }

    fn deliver(&mut self, call: &Call, reference: &str, body: &Json, desk: &mut Desk, context: &mut Context) -> Answer {
        desk::lines(body)?;
        let requested = self.requested(body)?;
        if let Some((index, quantity)) = requested.iter().find(|(i, q)| *q > self.lines[*i].open()) {
            let line = &self.lines[*index];
            let message = format!("line '{}' has {} open, {quantity} were to be delivered", line.line, line.open());
            return Err(Refusal::new(409, "over_delivery", message));
        }
        let (applied, failed) = split_lines(requested, context.partial);
        for (index, quantity) in &applied {
            self.lines[*index].delivered += *quantity;
        }
        self.record_lines(
            ("deliveries", "delivery.create", "delivery.line", "DN"),
            call,
            reference,
            (applied, failed),
            desk,
            context,
        )
    }

    /// Books a change of lines: ledger rows, the kept record and its answer.
    fn record_lines(
        &mut self,
        (collection, operation, line_operation, prefix): (&'static str, &'static str, &'static str, &'static str),
        call: &Call,
        reference: &str,
        (applied, failed): (Moved, Moved),
        desk: &mut Desk,
        context: &mut Context,
    ) -> Answer {
        let id = desk.id(prefix);
        let state = if collection == "deliveries" { "posted" } else { "cancelled" };
        let key = call_key(call, reference);
        context.ledger.add(context.now, row(operation, key, &self.scope, &id, &self.id, state));
        for (index, quantity) in &applied {
            let (line, base) = (&self.lines[*index], row(line_operation, key, &self.scope, &id, &self.id, state));
            let row = Row { line: line.line.clone(), sku: line.sku.clone(), quantity: Some(*quantity), ..base };
            context.ledger.add(context.now, row);
        }
        let name = |(index, _): &(usize, Decimal)| self.lines[*index].line.as_str();
        let mut record = self.record(&id, reference, state, context.now);
        record.set("sales_order_state", self.state());
        record.set("results", results(applied.iter().map(name), failed.iter().map(name)));
        self.children.push((collection, id));
        Ok(desk.keep(collection, &self.id, record, 201))
    }

    /// Posts an invoice, a payment or a credit note.
    fn post(
        &mut self,
        collection: &'static str,
        call: &Call,
        reference: &str,
        body: &Json,
        desk: &mut Desk,
        context: &mut Context,
    ) -> Answer {
        let currency = desk::required(body, "currency")?;
        if currency != self.currency {
            return Err(Refusal::new(422, "currency_mismatch", format!("the order is in {}", self.currency)));
        }
        let amount = desk::amount(body, "amount", currency)?;
        let limit = |sum: Decimal, limit: Decimal, code, what| {
            let message = format!("{what} would add up to {sum}, the limit is {limit}");
            if sum > limit { Err(Refusal::new(409, code, message)) } else { Ok(sum) }
        };
        match collection {
            "invoices" => self.invoiced = limit(self.invoiced + amount, self.total, "over_invoice", "invoices")?,
            "credit-notes" => self.credited = limit(self.credited + amount, self.invoiced, "over_credit", "credit notes")?,
            _ => {}
        }
        let (_, operation, prefix) = nested(collection).expect("the caller took the name from the table");
        let id = desk.id(prefix);
        let base = row(operation, call_key(call, reference), &self.scope, &id, &self.id, "posted");
        context.ledger.add(context.now, Row { amount: Some(amount), currency: currency.into(), ..base });
        let mut record = self.record(&id, reference, "posted", context.now);
        record.set("amount", money::round(amount, currency).to_string());
        record.set("currency", currency);
        for name in ["delivery_reference", "provider_reference", "method", "reason"] {
            if let Some(value) = body.get(name) {
                record.set(name, value.clone());
            }
        }
        self.children.push((collection, id));
        Ok(desk.keep(collection, &self.id, record, 201))
    }

    fn record(&self, id: &str, reference: &str, state: &str, now: i64) -> Json {
        object! {
            "id": id, "external_reference": reference, "sales_order_id": &self.id,
            "channel": &self.scope.channel, "site": &self.scope.site, "order": &self.scope.order,
            "state": state, "created_at": time::rfc3339(now),
        }
    }

    fn json(&self, desk: &Desk) -> Json {
        let lines = self.lines.iter().map(|l| {
            object! {
                "line": &l.line, "sku": &l.sku, "ordered": l.ordered.to_string(),
                "cancelled": l.cancelled.to_string(), "delivered": l.delivered.to_string(),
            }
        });
        let mut json = self.record(&self.id, &self.reference, self.state(), self.created_at);
        json.remove("sales_order_id");
        json.set("currency", &self.currency);
        json.set("total", self.total.to_string());
        json.set("lines", lines.collect::<Vec<_>>());
        for (collection, ..) in NESTED {
            let made = self.children.iter().filter(|(c, _)| c == collection).filter_map(|(_, id)| desk.nested(id).cloned());
            json.set(collection.replace('-', "_"), made.collect::<Vec<_>>());
        }
        json
    }
}
