//! Fraud screening: approve, reject, or a review whose decision comes later, or never.
//!
//! The e-mail's `+tag` decides, so that a planted order is planted by its own data and not by a side channel.

use std::collections::{BTreeMap, HashMap};

use super::Role;
use super::desk::{self, Answer, Desk, Refusal, call_key, row};
use crate::http::{Call, Response};
use crate::json::{Json, object};
use crate::ledger::{Row, Scope};
use crate::simulator::{Context, Operation};
use crate::time;

pub struct Fraud {
    /// How long a review takes, in ms.
    review_after_ms: (u64, u64),
    screenings: Vec<Screening>,
    by_id: HashMap<String, usize>,
    reviews: BTreeMap<(i64, usize), &'static str>,
}

struct Screening {
    id: String,
    reference: String,
    scope: Scope,
    decision: &'static str,
    pending: bool,
    score: i64,
    created_at: i64,
}

impl Role for Fraud {
    fn operation(&self, method: &str, path: &[&str]) -> Option<Operation> {
        Some(match (method, path) {
            ("POST", ["screenings"]) => Operation::write("screening.create"),
            ("GET", ["screenings"] | ["screenings", _]) => Operation::read("screening.get"),
            _ => return None,
        })
    }

    fn apply(&mut self, call: &Call, path: &[&str], body: &Json, desk: &mut Desk, context: &mut Context) -> Answer {
        match (call.method, path) {
            ("POST", _) => self.screen(call, body, desk, context),
            (_, ["screenings", id]) => {
                let index = self.by_id.get(*id).ok_or_else(|| Refusal::not_found("screening of that id"))?;
                Ok(Response::json(200, &self.screenings[*index].json()))
            }
            _ => {
                let reference = call.query("external_reference").unwrap_or("");
                let found = desk.ids("screenings", reference).iter().map(|id| self.screenings[self.by_id[id]].json());
                Ok(desk::data(found.collect()))
            }
        }
    }

    fn tick(&mut self, desk: &mut Desk, context: &mut Context) {
        let Some(((_, index), decision)) = self.reviews.pop_first() else { return };
        let screening = &mut self.screenings[index];
        screening.decision = decision;
        screening.pending = false;
        let decided = row("screening.decide", "", &screening.scope, &screening.id, &screening.id, decision);
        context.ledger.add(context.now, decided);
        let more = object! { "screening_id": &screening.id, "decision": decision };
        desk.event(context, &screening.scope, "screening.decided", &screening.reference, 1, more);
    }

    fn next_tick(&self) -> Option<i64> {
        self.reviews.first_key_value().map(|((at, _), _)| *at)
    }
}

impl Fraud {
    pub fn new(review_after_ms: (u64, u64)) -> Self {
        Fraud { review_after_ms, screenings: Vec::new(), by_id: HashMap::new(), reviews: BTreeMap::new() }
    }

    fn screen(&mut self, call: &Call, body: &Json, desk: &mut Desk, context: &mut Context) -> Answer {
        let scope = desk::scope(body)?;
        let reference = desk::required(body, "external_reference")?;
        if let Some(id) = desk.ids("screenings", reference).first() {
            return Ok(Response::json(200, &self.screenings[self.by_id[id]].json()));
        }
        let currency = desk::required(body, "currency")?;
        let amount = desk::amount(body, "amount", currency)?;
        let local = desk::required(body, "email")?.split('@').next().unwrap_or("");
        let (decision, later) = match local.rsplit_once('+').map(|(_, tag)| tag) {
            Some("reject") => ("reject", None),
            Some("review") => ("review", Some("approve")),
            Some("declined") => ("review", Some("reject")),
            Some("hold") => ("review", None),
            _ => ("approve", None),
        };
        let index = self.screenings.len();
        let screening = Screening {
            id: desk.id("FS"),
            reference: reference.into(),
            scope,
            decision,
            pending: decision == "review",
            score: context.rng.between(if decision == "approve" { 0..=39 } else { 60..=99 }) as i64,
            created_at: context.now,
        };
        if let Some(later) = later {
            let after = context.rng.between(self.review_after_ms.0..=self.review_after_ms.1);
            self.reviews.insert((context.now.saturating_add_unsigned(after), index), later);
        }
        let base = row("screening.create", call_key(call, reference), &screening.scope, &screening.id, "", decision);
        context.ledger.add(context.now, Row { amount: Some(amount), currency: currency.into(), ..base });
        desk.note("screenings", reference, &screening.id);
        let answer = Response::json(201, &screening.json());
        self.by_id.insert(screening.id.clone(), index);
        self.screenings.push(screening);
        Ok(answer)
    }
}

impl Screening {
    fn json(&self) -> Json {
        object! {
            "id": &self.id, "external_reference": &self.reference,
            "channel": &self.scope.channel, "site": &self.scope.site, "order": &self.scope.order,
            "decision": self.decision, "state": if self.pending { "pending" } else { "decided" },
            "score": self.score, "created_at": time::rfc3339(self.created_at),
        }
    }
}
