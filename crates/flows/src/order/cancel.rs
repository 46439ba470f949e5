//! The way back. A cancellation, of the whole order or of some pieces, goes through four states of its own:
//!
//! ```text
//!  wish  --(what is under way has ended)-->  begun  --(every warehouse answered)-->  judged  --(undone)-->  ended
//! ```
//! A *wish* waits while an effect that it would have to undo is under way: nothing overtakes. When it *begins*, pieces no warehouse
//! has seen are cancelled at once, pieces that left are too late, and for the rest the warehouse is asked. Its answer is the verdict:
//! *in time* or *too late*, recorded once and never changed; what was too late goes on to ship. Then what was done for the pieces in
//! time is undone in reverse: ERP, stock; and when nothing of the order is left, payment, tax and storefront.
//!
//! One cancellation at a time; the next wish waits for it.

use super::{
    End, Event, Fraud, Life, Name, Step,
    forward::{Asking, Gate},
    lines::DispatchLine,
};
use crate::{
    Effect, Ended, Heard, Policy, Reply,
    kit::{field, json, reason_word},
    policy::{Refusal, StockAuthority},
};
use crossdock_canonical::{LineId, Outcome, Quantity, ShipmentId};
use crossdock_value::{Value, value};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// The word of a warehouse that has begun to pick.
const ALREADY_PICKED: &str = "already_picked";
const MAX_CANCELLATIONS: usize = 1_000;

/// A cancellation somebody asked for and that has not begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    /// `c1`, `c2` ... in the order of asking.
    pub id: String,
    /// The command's key; none when a rule or the storefront asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub reason: String,
    /// What to cancel; none for everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<Vec<DispatchLine>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cancellation {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub reason: String,
    /// Everything was to be cancelled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    pub parts: Vec<CancelledPart>,
    /// The ERP order, the reservation, had been asked for when it began, for these pieces too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub erp: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stock: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CancelledPart {
    pub line: LineId,
    pub quantity: Decimal,
    /// The shipment whose release had been asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipment: Option<ShipmentId>,
    pub verdict: Verdict,
    /// The warehouse itself said it has none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The warehouse has not answered.
    Asked,
    InTime,
    TooLate,
}

impl Step {
    /// A cancellation waits for the end of these: their outcome says what must be undone.
    fn holds_back_cancellation(self) -> bool {
        match self {
            Self::AuthorizePayment | Self::ReserveStock | Self::CreateErpOrder | Self::ReleaseShipment => true,
            Self::TakeOrder
            | Self::ScreenFraud
            | Self::QuoteTax
            | Self::ConfirmOrder
            | Self::CapturePayment
            | Self::FulfilStock
            | Self::PostDelivery
            | Self::PostInvoice
            | Self::PostPayment
            | Self::TellShipping
            | Self::TellPayment
            | Self::TellLines
            | Self::Notify
            | Self::ClosePayment
            | Self::CommitTax
            | Self::CompleteOrder
            | Self::CancelShipment
            | Self::CancelErpOrder
            | Self::ReleaseStock
            | Self::VoidPayment
            | Self::VoidTax
            | Self::TellCancelled => false,
        }
    }
}

// ---- asking ------------------------------------------------------------------------------------------------------------------

impl Life {
    pub(super) fn hear_cancel(&self, body: &Value, key: &str, policy: &Policy) -> Heard<Event> {
        let known = self.wishes.iter().map(|wish| &wish.key).chain(self.cancellations.iter().map(|c| &c.key));
        if known.flatten().any(|known| known == key) {
            return Heard::taken(Vec::new());
        }
        match self.ask_to_cancel(body, Some(key.to_owned()), policy) {
            Ok(event) => Heard::taken(vec![event]),
            Err((code, text)) => Heard::refused(code, text),
        }
    }

    /// The event of a request to cancel, or why it makes no sense.
    pub(super) fn ask_to_cancel(
        &self,
        body: &Value,
        key: Option<String>,
        policy: &Policy,
    ) -> Result<Event, (&'static str, String)> {
        if self.end == Some(End::Cancelled) || self.is_dead() {
            return Err(("nothing_to_cancel", "the order is cancelled already".into()));
        }
        if self.wishes.iter().any(|wish| wish.lines.is_none()) {
            return Err(("already_requested", "cancelling the whole order was asked for already".into()));
        }
        if self.wishes.len() + self.cancellations.len() >= MAX_CANCELLATIONS {
            return Err(("too_many", format!("{MAX_CANCELLATIONS} cancellations were asked for on this order")));
        }
        let lines = self.cancelled_lines(body)?;
        // An order too faulty to count its pieces can still be given up.
        let begun = !self.dispatches.is_empty() || !self.cancellations.is_empty() || !self.wishes.is_empty();
        if begun && self.sold.lines.iter().all(|line| self.cancellable(line).is_zero()) {
            let asked = self.sold.lines.iter().any(|line| !self.undecided(line).is_zero());
            return Err(if asked {
                ("already_requested", "all that could be cancelled is being cancelled".into())
            } else {
                ("too_late", "everything has left; take it back as a return".into())
            });
        }
        Ok(self.wish(key, reason_word(body, "requested"), lines, policy))
    }

    fn cancelled_lines(&self, body: &Value) -> Result<Option<Vec<DispatchLine>>, (&'static str, String)> {
        let Some(lines) = body.get("lines").as_arr().filter(|lines| !lines.is_empty()) else { return Ok(None) };
        let mut parts: Vec<DispatchLine> = Vec::new();
        for entry in lines {
            let id: LineId = field(entry, "line").ok_or_else(|| ("unknown_line", "each of `lines` needs a `line`".to_owned()))?;
            let line = self.sold.line(&id).ok_or_else(|| ("unknown_line", format!("the order has no line {id}")))?;
            let quantity = field::<Quantity>(entry, "quantity").unwrap_or_else(|| line.quantity.clone());
            if !quantity.is_positive() || quantity.value > line.quantity.value {
                return Err((
                    "bad_quantity",
                    format!("line {id} has {}, so {quantity} of it cannot be cancelled", line.quantity),
                ));
            }
            if parts.iter().any(|part| part.line == id) {
                return Err(("bad_quantity", format!("line {id} is there twice")));
            }
            parts.push(DispatchLine { line: id, quantity });
        }
        Ok(Some(parts))
    }

    fn wish(&self, key: Option<String>, reason: String, lines: Option<Vec<DispatchLine>>, policy: &Policy) -> Event {
        let id = format!("c{}", self.wishes.len() + self.cancellations.len() + 1);
        Event::CancelRequested { wish: Wish { id, key, reason, lines }, under_way: self.names_under_way(policy) }
    }

    /// What the market's rules cancel without being asked: a rejected shopper, a declined tender, goods that are not there.
    pub(super) fn cancel_by_rule(&self, policy: &Policy) -> Option<Event> {
        let whole = self.cancellations.iter().any(|c| c.whole) || self.wishes.iter().any(|wish| wish.lines.is_none());
        if !whole && !self.is_dead() {
            let refused = |step, rule| self.ends.get(step, "") == Some(Ended::Refused) && rule == Refusal::Cancel;
            let reason = if self.fraud == Fraud::Rejected {
                Some("fraud_rejected")
            } else if refused(Step::AuthorizePayment, policy.refusals.payment) {
                Some("payment_refused")
            } else if refused(Step::ReserveStock, policy.refusals.out_of_stock) {
                Some("out_of_stock")
            } else if refused(Step::CreateErpOrder, policy.refusals.erp) {
                Some("erp_refused")
            } else {
                None
            };
            if let Some(reason) = reason {
                return Some(self.wish(None, reason.to_owned(), None, policy));
            }
        }
        if policy.refusals.short == Refusal::Park || !self.wishes.is_empty() {
            return None;
        }
        let missing = self.sold.lines.iter().filter(|line| !self.missing(line).is_zero());
        let lines: Vec<_> =
            missing.map(|line| DispatchLine { line: line.id.clone(), quantity: line.of(self.missing(line)) }).collect();
        (!lines.is_empty()).then(|| self.wish(None, "short".to_owned(), Some(lines), policy))
    }
}

// ---- beginning and judging ---------------------------------------------------------------------------------------------------

impl Life {
    /// Begins the oldest wish once nothing it would have to undo is under way.
    pub(super) fn begin_cancellation(&self, policy: &Policy) -> Option<Event> {
        let wish = self.wishes.first()?;
        if self.cancellations.iter().any(|c| !c.ended) || self.under_way.iter().any(|name| name.step.holds_back_cancellation()) {
            return None;
        }
        let mut parts = Vec::new();
        for line in &self.sold.lines {
            let wanted = match &wish.lines {
                None => line.quantity.value - self.cancelled(&line.id),
                Some(lines) => lines.iter().find(|part| part.line == line.id).map(|part| part.quantity.value).unwrap_or_default(),
            };
            let can = wanted.min(self.cancellable(line));
            let missing = self.missing(line).min(can);
            let shipment = self.shipment_of(&line.id).filter(|s| self.ends.ended(Step::ReleaseShipment, s.id.as_str()));
            let recall = shipment.is_some_and(|s| self.ends.through(Step::ReleaseShipment, s.id.as_str()));
            let mut add = |quantity: Decimal, verdict, missing| {
                if quantity > Decimal::ZERO {
                    let shipment = shipment.map(|shipment| shipment.id.clone());
                    parts.push(CancelledPart { line: line.id.clone(), quantity, shipment, verdict, missing });
                }
            };
            add(missing, Verdict::InTime, true);
            add(can - missing, if recall { Verdict::Asked } else { Verdict::InTime }, false);
            add(wanted - can, Verdict::TooLate, false);
        }
        Some(Event::CancellationBegun {
            cancellation: Cancellation {
                id: wish.id.clone(),
                key: wish.key.clone(),
                reason: wish.reason.clone(),
                whole: wish.lines.is_none(),
                parts,
                erp: self.ends.ended(Step::CreateErpOrder, ""),
                stock: self.ends.ended(Step::ReserveStock, "") || took_over_stock(policy),
                ended: false,
            },
        })
    }

    /// The warehouse answered a recall: the verdict on the pieces it was asked for. Pieces that left meanwhile were too late,
    /// whatever it answered.
    pub(super) fn apply_recall(&mut self, intent: &str, ended: Ended, code: &str) {
        let in_time = match ended {
            Ended::Done | Ended::Skipped => true,
            Ended::Refused if code == ALREADY_PICKED => false,
            // Another refusal leaves the question open, and a person to answer it.
            Ended::Refused | Ended::Reversed => return,
        };
        let Some((id, shipment)) = intent.split_once('/') else { return };
        let Some(at) = self.cancellations.iter().position(|c| c.id == id) else { return };
        for part in 0..self.cancellations[at].parts.len() {
            let CancelledPart { line, quantity, shipment: of, verdict, .. } = &self.cancellations[at].parts[part];
            if *verdict != Verdict::Asked || of.as_ref().is_none_or(|of| of.as_str() != shipment) {
                continue;
            }
            let left = self.sold.line(line).map(|line| self.undecided(line)).unwrap_or_default();
            let (line, won) = (line.clone(), if in_time { left.min(*quantity) } else { Decimal::ZERO });
            let lost = *quantity - won;
            let parts = &mut self.cancellations[at].parts;
            if won > Decimal::ZERO {
                parts[part].quantity = won;
                parts[part].verdict = Verdict::InTime;
                if lost > Decimal::ZERO {
                    let shipment = parts[part].shipment.clone();
                    parts.push(CancelledPart { line, quantity: lost, shipment, verdict: Verdict::TooLate, missing: false });
                }
            } else {
                parts[part].verdict = Verdict::TooLate;
            }
        }
    }

    pub(super) fn end_cancellation(&self, policy: &Policy) -> Option<Event> {
        let open = self.cancellations.iter().find(|c| !c.ended)?;
        if !open.is_judged() || !self.is_undone(open, policy) {
            return None;
        }
        Some(Event::CancellationEnded {
            id: open.id.clone(),
            cancelled: self.parts_as(open, Verdict::InTime),
            too_late: self.parts_as(open, Verdict::TooLate),
        })
    }

    fn parts_as(&self, cancellation: &Cancellation, verdict: Verdict) -> Vec<DispatchLine> {
        let mut lines: Vec<DispatchLine> = Vec::new();
        for part in cancellation.parts.iter().filter(|part| part.verdict == verdict) {
            let Some(line) = self.sold.line(&part.line) else { continue };
            match lines.iter_mut().find(|entry| entry.line == part.line) {
                Some(entry) => entry.quantity.value += part.quantity,
                None => lines.push(DispatchLine { line: part.line.clone(), quantity: line.of(part.quantity) }),
            }
        }
        lines
    }

    /// Final answers to those who asked by command.
    pub(super) fn replies(&self) -> Vec<Reply> {
        let ended = self.cancellations.iter().filter(|c| c.ended);
        ended
            .filter_map(|c| {
                let evidence = value!({
                    "cancelled": json(&self.parts_as(c, Verdict::InTime)),
                    "too_late": json(&self.parts_as(c, Verdict::TooLate))
                });
                let outcome = if c.parts.iter().any(|part| part.verdict == Verdict::InTime) {
                    Outcome::done(evidence)
                } else {
                    Outcome { evidence, ..Outcome::refused("too_late", "everything asked for had left the warehouse") }
                };
                Some(Reply { to: c.key.clone()?, outcome })
            })
            .collect()
    }
}

/// The storefront's own reservation was there before the order.
fn took_over_stock(policy: &Policy) -> bool {
    policy.inventory.authority == StockAuthority::Oci && policy.inventory.system.is_some()
}

impl Cancellation {
    fn is_judged(&self) -> bool {
        self.parts.iter().all(|part| part.verdict != Verdict::Asked)
    }

    fn has_won(&self) -> bool {
        self.parts.iter().any(|part| part.verdict == Verdict::InTime)
    }
}

// ---- undoing -----------------------------------------------------------------------------------------------------------------

impl Life {
    /// Everything the cancellations call for, in reverse of what was done: each waits for the one before it to be through.
    pub(super) fn backward(&self, policy: &Policy) -> Vec<Effect> {
        let mut ask = Asking::new(self, policy);
        if self.end.is_some() {
            return ask.effects;
        }
        for cancellation in &self.cancellations {
            self.undo_pieces(cancellation, &mut ask);
        }
        if self.is_dead() && self.cancellations.iter().all(|c| c.is_judged() && self.is_undone(c, policy)) {
            self.undo_order(&mut ask);
        }
        ask.effects
    }

    fn undo_pieces(&self, c: &Cancellation, ask: &mut Asking) {
        for shipment in &self.shipments {
            let of = |part: &&CancelledPart| part.shipment.as_ref() == Some(&shipment.id) && !part.missing;
            let asked: Vec<_> = c.parts.iter().filter(of).filter(|part| part.verdict == Verdict::Asked).collect();
            // A release that a person had retried after the cancellation began is recalled as well.
            let late = || c.parts.iter().filter(of).filter(|part| part.verdict == Verdict::InTime).collect::<Vec<_>>();
            let parts = if asked.is_empty() { late() } else { asked };
            if parts.is_empty() || !self.ends.through(Step::ReleaseShipment, shipment.id.as_str()) {
                continue;
            }
            let lines = parts.iter().filter_map(|part| Some((self.sold.line(&part.line)?, part.quantity)));
            let lines = ask.lines(lines);
            ask.recall(&format!("{}/{}", c.id, shipment.id), shipment, lines);
        }
        if !c.is_judged() || !c.has_won() {
            return;
        }
        let won = self.parts_as(c, Verdict::InTime);
        if c.erp && self.ends.through(Step::CreateErpOrder, "") {
            ask.erp(Step::CancelErpOrder, &c.id, || value!({"lines": json(&won), "whole": self.is_dead()}));
        }
        if self.erp_is_undone(c) && c.stock && self.holds_stock(ask.policy) {
            let picked = won.iter().filter_map(|part| Some((self.sold.line(&part.line)?, part.quantity.value)));
            let lines = ask.lines(picked.filter(|(line, _)| line.is_picked()));
            if !lines.is_empty() {
                ask.inventory(Step::ReleaseStock, &c.id, || value!({"lines": lines}));
            }
        }
    }

    fn erp_is_undone(&self, c: &Cancellation) -> bool {
        !c.erp || !self.ends.through(Step::CreateErpOrder, "") || self.ends.through(Step::CancelErpOrder, &c.id)
    }

    fn stock_is_undone(&self, c: &Cancellation, policy: &Policy) -> bool {
        let picked = |part: &CancelledPart| {
            part.verdict == Verdict::InTime && self.sold.line(&part.line).is_some_and(|line| line.is_picked())
        };
        !c.stock || !self.holds_stock(policy) || !c.parts.iter().any(picked) || self.ends.through(Step::ReleaseStock, &c.id)
    }

    fn is_undone(&self, c: &Cancellation, policy: &Policy) -> bool {
        !c.has_won() || (self.erp_is_undone(c) && self.stock_is_undone(c, policy))
    }

    /// Nothing of the order is left: give back the money, the tax, and tell.
    fn undo_order(&self, ask: &mut Asking) {
        if self.needs_void() {
            ask.payment(
                Step::VoidPayment,
                "",
                "void",
                || value!({"currency": json(&self.sold.currency), "tenders": json(&self.sold.tenders), "reason": "cancelled"}),
            );
        }
        if self.needs_void() && !self.ends.through(Step::VoidPayment, "") {
            return;
        }
        if self.ends.through(Step::QuoteTax, "") {
            ask.tax(Step::VoidTax, || value!({"tax": json(&self.sold.tax)}));
            if !self.ends.through(Step::VoidTax, "") {
                return;
            }
        }
        // The storefront hears in the order things happened, so not before what is being told to it now.
        let telling = [Step::ConfirmOrder, Step::TellShipping, Step::TellPayment, Step::TellLines];
        if self.ends.ended(Step::TakeOrder, "") && !self.under_way_any(&telling) {
            ask.storefront(Step::TellCancelled, "", || value!({"status": "cancelled"}));
            ask.notify("cancelled", || value!({"template": "order_cancelled"}));
        }
    }

    fn under_way_any(&self, steps: &[Step]) -> bool {
        self.under_way.iter().any(|Name { step, .. }| steps.contains(step))
    }

    /// Whether the payment process, or the storefront before it, holds money for this order. A refused authorization has undone
    /// itself.
    fn needs_void(&self) -> bool {
        match self.ends.get(Step::AuthorizePayment, "") {
            Some(Ended::Done | Ended::Skipped) => true,
            Some(Ended::Refused | Ended::Reversed) => false,
            None => self.sold.tenders.iter().any(|tender| tender.transaction.is_some()),
        }
    }

    /// Whether the whole way back has been gone.
    pub(super) fn is_fully_undone(&self, policy: &Policy) -> bool {
        self.is_dead()
            && self.wishes.is_empty()
            && self.cancellations.iter().all(|c| c.ended && self.is_undone(c, policy))
            && (!self.needs_void() || self.ends.through(Step::VoidPayment, ""))
            && (!self.ends.through(Step::QuoteTax, "") || self.ends.through(Step::VoidTax, ""))
            && self.ends.through(Step::TellCancelled, "")
    }
}

// ---- ending ------------------------------------------------------------------------------------------------------------------

impl Life {
    /// Closed when everything that left is paid, posted and told, and everything else cancelled; cancelled when nothing is left and
    /// all that was done is undone. Nothing may be under way any more.
    pub(super) fn come_to_an_end(&self, policy: &Policy) -> Option<Event> {
        let complete = self.ends.through(Step::CompleteOrder, "") && !self.is_cancelling();
        let undone = !complete && self.is_fully_undone(policy);
        if !(complete || undone) || !self.forward(policy).is_empty() || !self.backward(policy).is_empty() {
            return None;
        }
        Some(if complete { Event::Closed } else { Event::Cancelled })
    }

    /// Fulfils at once what no warehouse will: downloads and gift cards, and every line in a market whose goods somebody else ships.
    pub(super) fn fulfil_unpicked(&self, policy: &Policy) -> Option<Event> {
        if self.is_stopped() || self.is_dead() || self.gate(policy) != Gate::Booked {
            return None;
        }
        let ours = self.sold.lines.iter().filter(|line| !line.is_picked() || policy.fulfilment.is_none());
        let open = ours.map(|line| (line, self.cancellable(line))).filter(|(_, pieces)| *pieces > Decimal::ZERO);
        let lines: Vec<_> =
            open.map(|(line, pieces)| DispatchLine { line: line.id.clone(), quantity: line.of(pieces) }).collect();
        (!lines.is_empty()).then_some(Event::Fulfilled { lines })
    }
}
