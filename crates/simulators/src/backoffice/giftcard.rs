//! Gift cards as a tender: a balance that is authorised, captured, given back and refunded, never below zero.

use std::collections::HashMap;

use rust_decimal::Decimal;

use super::Role;
use super::desk::{self, Answer, Desk, Refusal, call_key, row};
use crate::http::{Call, Response};
use crate::json::{Json, object};
use crate::ledger::{Row, Scope};
use crate::simulator::{Context, Operation};
use crate::{money, time};

#[derive(Default)]
pub struct GiftCards {
    cards: HashMap<String, Card>,
    authorisations: Vec<Authorisation>,
    by_id: HashMap<String, usize>,
}

struct Card {
    currency: String,
    balance: Decimal,
}

struct Authorisation {
    id: String,
    reference: String,
    scope: Scope,
    card: String,
    currency: String,
    amount: Decimal,
    captured: Decimal,
    voided: Decimal,
    refunded: Decimal,
    children: Vec<(&'static str, String)>,
    created_at: i64,
}

impl Role for GiftCards {
    fn operation(&self, method: &str, path: &[&str]) -> Option<Operation> {
        Some(match (method, path) {
            ("POST", ["authorisations"]) => Operation::write("authorise"),
            ("POST", ["authorisations", _, "captures"]) => Operation::write("capture"),
            ("POST", ["authorisations", _, "voids"]) => Operation::write("void"),
            ("POST", ["authorisations", _, "refunds"]) => Operation::write("refund"),
            ("GET", ["authorisations"] | ["authorisations", _] | ["cards", _]) => Operation::read("authorisation.get"),
            ("GET", ["authorisations", _, "captures" | "voids" | "refunds"]) => Operation::read("authorisation.get"),
            _ => return None,
        })
    }

    fn apply(&mut self, call: &Call, path: &[&str], body: &Json, desk: &mut Desk, context: &mut Context) -> Answer {
        match (call.method, path) {
            ("POST", ["authorisations"]) => self.authorise(call, body, desk, context),
            ("POST", ["authorisations", id, kind]) => {
                let index = self.index(id)?;
                self.change(call, index, kind, body, desk, context)
            }
            ("GET", ["authorisations"]) => {
                let reference = call.query("external_reference").unwrap_or("");
                let found = desk.ids("authorisations", reference).iter().map(|id| self.authorisations[self.by_id[id]].json(desk));
                Ok(desk::data(found.collect()))
            }
            ("GET", ["authorisations", id]) => Ok(Response::json(200, &self.authorisations[self.index(id)?].json(desk))),
            ("GET", ["authorisations", id, kind]) => {
                self.index(id)?;
                let collection = ["captures", "voids", "refunds"].into_iter().find(|c| c == kind).unwrap_or("captures");
                desk.lookup(collection, id, call)
            }
            ("GET", ["cards", card]) => {
                let found = self.cards.get(*card).ok_or_else(|| Refusal::not_found("card"))?;
                let balance = found.balance.to_string();
                Ok(Response::json(200, &object! { "card": *card, "currency": &found.currency, "balance": balance }))
            }
            _ => Err(Refusal::not_found("route")),
        }
    }
}

impl GiftCards {
    /// Issues a card, or adds to it.
    pub fn load_card(&mut self, card: &str, amount: Decimal, currency: &str, context: &mut Context) {
        let entry = self.cards.entry(card.into()).or_insert_with(|| Card { currency: currency.into(), balance: Decimal::ZERO });
        entry.balance += amount;
        let base = Row { operation: "card.load", reference: card.into(), amount: Some(amount), ..Row::default() };
        context.ledger.add(context.now, Row { currency: currency.into(), ..base });
    }

    fn index(&self, id: &str) -> Result<usize, Refusal> {
        self.by_id.get(id).copied().ok_or_else(|| Refusal::not_found("authorisation of that id"))
    }

    fn authorise(&mut self, call: &Call, body: &Json, desk: &mut Desk, context: &mut Context) -> Answer {
        let scope = desk::scope(body)?;
        let reference = desk::required(body, "external_reference")?;
        desk.unused("authorisations", reference)?;
        let currency = desk::required(body, "currency")?;
        let amount = desk::amount(body, "amount", currency)?;
        let token = desk::required(body, "card")?;
        let card = self.cards.get_mut(token).ok_or_else(|| Refusal::new(404, "unknown_card", "there is no such card"))?;
        if card.currency != currency {
            return Err(Refusal::new(422, "currency_mismatch", format!("the card is in {}", card.currency)));
        }
        if card.balance < amount {
            return Err(Refusal::new(402, "insufficient_balance", format!("the card holds {}", card.balance)));
        }
        card.balance -= amount;
        let authorisation = Authorisation {
            id: desk.id("GA"),
            reference: reference.into(),
            scope,
            card: token.into(),
            currency: currency.into(),
            amount,
            captured: money::round(Decimal::ZERO, currency),
            voided: money::round(Decimal::ZERO, currency),
            refunded: money::round(Decimal::ZERO, currency),
            children: Vec::new(),
            created_at: context.now,
        };
        let base = row("authorise", call_key(call, reference), &authorisation.scope, &authorisation.id, token, "authorised");
        context.ledger.add(context.now, Row { amount: Some(amount), currency: currency.into(), ..base });
        desk.note("authorisations", reference, &authorisation.id);
        let answer = Response::json(201, &authorisation.json(desk));
        self.by_id.insert(authorisation.id.clone(), self.authorisations.len());
        self.authorisations.push(authorisation);
        Ok(answer)
    }

    fn change(&mut self, call: &Call, index: usize, kind: &str, body: &Json, desk: &mut Desk, context: &mut Context) -> Answer {
        let own = &mut self.authorisations[index];
        let (collection, operation, prefix, state) = match kind {
            "captures" => ("captures", "capture", "GC", "captured"),
            "voids" => ("voids", "void", "GV", "voided"),
            _ => ("refunds", "refund", "GR", "refunded"),
        };
        let reference = desk::required(body, "external_reference")?;
        desk.unused(collection, reference)?;
        let open = own.amount - own.captured - own.voided;
        let amount = if operation == "void" { open } else { desk::amount(body, "amount", &own.currency)? };
        match operation {
            "capture" if !own.voided.is_zero() => return Err(Refusal::new(409, "already_voided", "this authorisation is void")),
            "capture" if amount > open => return Err(Refusal::new(409, "over_capture", format!("{open} is left to capture"))),
            "void" if !own.voided.is_zero() => return Err(Refusal::new(409, "already_voided", "this authorisation is void")),
            "void" if open.is_zero() => return Err(Refusal::new(409, "nothing_to_void", "all of it is captured")),
            "refund" if own.refunded + amount > own.captured => {
                return Err(Refusal::new(409, "over_refund", format!("{} is left to refund", own.captured - own.refunded)));
            }
            "capture" => own.captured += amount,
            "void" => own.voided += amount,
            _ => own.refunded += amount,
        }
        // The last capture gives back what it leaves.
        let rest = own.amount - own.captured - own.voided;
        let left =
            if operation == "capture" && body.get("final").and_then(Json::as_bool) == Some(true) { rest } else { Decimal::ZERO };
        own.voided += left;
        let given_back = if operation == "capture" { left } else { amount };
        if let Some(card) = self.cards.get_mut(&own.card) {
            card.balance += given_back;
        }
        let id = desk.id(prefix);
        let base = row(operation, call_key(call, reference), &own.scope, &id, &own.id, state);
        context.ledger.add(context.now, Row { amount: Some(amount), currency: own.currency.clone(), ..base });
        if !left.is_zero() {
            let base = row("release", call_key(call, reference), &own.scope, &id, &own.id, "released");
            context.ledger.add(context.now, Row { amount: Some(left), currency: own.currency.clone(), ..base });
        }
        let record = object! {
            "id": id.as_str(), "external_reference": reference, "authorisation_id": &own.id,
            "channel": &own.scope.channel, "site": &own.scope.site, "order": &own.scope.order,
            "state": state, "amount": amount.to_string(), "currency": &own.currency, "created_at": time::rfc3339(context.now),
        };
        own.children.push((collection, id));
        let parent = own.id.clone();
        Ok(desk.keep(collection, &parent, record, 201))
    }
}

impl Authorisation {
    fn state(&self) -> &'static str {
        if !self.refunded.is_zero() {
            "refunded"
        } else if self.captured.is_zero() {
            if self.voided.is_zero() { "authorised" } else { "voided" }
        } else if self.captured + self.voided < self.amount {
            "part_captured"
        } else {
            "captured"
        }
    }

    fn json(&self, desk: &Desk) -> Json {
        let made = |name: &str| {
            let ids = self.children.iter().filter(|(c, _)| *c == name);
            ids.filter_map(|(_, id)| desk.nested(id).cloned()).collect::<Vec<_>>()
        };
        object! {
            "id": &self.id, "external_reference": &self.reference,
            "channel": &self.scope.channel, "site": &self.scope.site, "order": &self.scope.order,
            "state": self.state(), "card": &self.card, "currency": &self.currency, "amount": self.amount.to_string(),
            "captured": self.captured.to_string(), "voided": self.voided.to_string(), "refunded": self.refunded.to_string(),
            "created_at": time::rfc3339(self.created_at),
            "captures": made("captures"), "voids": made("voids"), "refunds": made("refunds"),
        }
    }
}
