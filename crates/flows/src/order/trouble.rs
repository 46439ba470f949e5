//! What a person is asked, and what lists show. Every exception is worked out from the state, so it closes by itself when its cause
//! is gone. Classes: `bad_order`, `bad_totals`, `bad_address`, `order_changed`, `fraud_review`, `tax_difference`, `payment_refused`,
//! `out_of_stock`, `erp_difference`, `capture_refused`, `refused`, `reversed`, `compensation_refused`, `overdue`, `short`,
//! `shipped_after_cancel`, `cancelled_too_late`, `unknown_shipment`.

use super::{
    End, Fault, Fraud, Life, Step,
    forward::{Gate, warehouse_of},
};
use crate::{Effect, Ended, Exception, Policy, Status, Summary, Target, policy::Refusal};
use crossdock_canonical::ShipmentId;
use rust_decimal::Decimal;

pub(super) const REVIEW_TIMER: &str = "fraud-review";

pub(super) fn ship_timer(shipment: &ShipmentId) -> String {
    format!("ship/{shipment}")
}

pub(super) fn unreadable(reason: &str) -> Exception {
    exception(
        "bad_order",
        "bad_order",
        None,
        format!("The order cannot be read: {reason}"),
        "Amend it with a whole canonical order.",
    )
}

/// Faults in one sentence; a long list is cut.
pub(super) fn list(faults: &[Fault]) -> String {
    let shown: Vec<String> = faults.iter().take(5).map(ToString::to_string).collect();
    let more = if faults.len() > 5 { format!("; and {} more", faults.len() - 5) } else { String::new() };
    shown.join("; ") + &more
}

fn exception(name: impl Into<String>, class: &str, step: Option<(Step, &str)>, cause: String, suggestion: &str) -> Exception {
    Exception {
        name: name.into(),
        class: class.into(),
        step: step.map(|(step, _)| step.name().to_owned()),
        intent: step.map(|(_, intent)| intent.to_owned()),
        cause,
        suggestion: suggestion.into(),
    }
}

impl Life {
    pub(super) fn exceptions(&self, policy: &Policy) -> Vec<Exception> {
        let mut found = Vec::new();
        if self.end.is_none() {
            self.faulty_order(&mut found);
            self.waiting_for_a_decision(policy, &mut found);
            self.goods_awaited(policy, &mut found);
        }
        self.goods_astray(&mut found);
        self.ends_in_trouble(policy, &mut found);
        found
    }

    fn faulty_order(&self, found: &mut Vec<Exception>) {
        if self.is_dead() {
            return;
        }
        for (class, suggestion) in [
            ("bad_totals", "Find out which sum is right; amend with a corrected order or accept the totals, or cancel."),
            ("bad_address", "Ask the customer, amend `ship_to` with the missing fields, or cancel."),
        ] {
            let faults: Vec<Fault> = self.faults.iter().filter(|fault| fault.class() == class).cloned().collect();
            if !faults.is_empty() {
                found.push(exception(class, class, None, list(&faults), suggestion));
            }
        }
        if self.changed {
            let cause = "The storefront shows this order with other lines or sums than the ones accepted.".to_owned();
            found.push(exception(
                "order_changed",
                "order_changed",
                None,
                cause,
                "Release to go on with the order as accepted, amend it, or cancel.",
            ));
        }
    }

    fn waiting_for_a_decision(&self, policy: &Policy, found: &mut Vec<Exception>) {
        if self.is_dead() {
            return;
        }
        if let Fraud::Review { since, overdue } = self.fraud {
            let late = if overdue { ", longer than the market allows; the authorization goes on ageing" } else { "" };
            let cause = format!("The fraud screening wants a review, since {since}{late}.");
            found.push(exception(
                "fraud_review",
                "fraud_review",
                Some((Step::ScreenFraud, "")),
                cause,
                "Approve or reject with decide_fraud.",
            ));
        }
        if let Some((ours, theirs)) = self.tax_difference(policy) {
            let cause = format!("Tax as sold is {ours}; the tax system makes it {theirs}.");
            found.push(exception(
                "tax_difference",
                "tax_difference",
                Some((Step::QuoteTax, "")),
                cause,
                "Release to keep the tax as sold, or cancel.",
            ));
        }
        if let Some((ours, theirs)) = self.erp_difference(policy) {
            let cause = format!("The order is worth {ours} as sold; the ERP makes it {theirs}.");
            let suggestion = "Correct the order in the ERP and release, release to accept the difference, or cancel.";
            found.push(exception("erp_difference", "erp_difference", Some((Step::CreateErpOrder, "")), cause, suggestion));
        }
    }

    fn goods_awaited(&self, policy: &Policy, found: &mut Vec<Exception>) {
        for shipment in self.shipments.iter().filter(|shipment| shipment.overdue && self.is_awaited(shipment)) {
            if let (Some(fulfilment), Some(released)) = (&policy.fulfilment, shipment.released_at) {
                let (system, within) = (warehouse_of(shipment, fulfilment), fulfilment.ship_within);
                let cause =
                    format!("{system} has not told of shipment {} within {within}; it was released at {released}.", shipment.id);
                let step = Some((Step::ReleaseShipment, shipment.id.as_str()));
                let suggestion = "Ask the warehouse; its notice closes this. Or cancel what is still open.";
                found.push(exception(format!("overdue/{}", shipment.id), "overdue", step, cause, suggestion));
            }
        }
        for line in &self.sold.lines {
            let missing = self.missing(line);
            if policy.refusals.short == Refusal::Park && missing > Decimal::ZERO {
                let cause = format!("The warehouse misses {} of line {}.", line.of(missing), line.id);
                found.push(exception(
                    format!("short/{}", line.id),
                    "short",
                    None,
                    cause,
                    "Cancel these pieces, or find them elsewhere.",
                ));
            }
        }
    }

    /// Goods that left against what was decided, and notices that fit nothing. They matter after the end as well.
    fn goods_astray(&self, found: &mut Vec<Exception>) {
        for line in &self.sold.lines {
            let over = self.over_shipped(&line.id);
            if over > self.noted.get(&line.id).copied().unwrap_or_default() {
                let cause = format!(
                    "The warehouse tells of {} more of line {} shipped than could: {} were sold and {} cancelled in time.",
                    over.normalize(),
                    line.id,
                    line.quantity,
                    self.cancelled(&line.id).normalize()
                );
                let suggestion = "Have the parcel stopped or taken back, then acknowledge; nothing is charged for these pieces.";
                found.push(exception(
                    format!("shipped_after_cancel/{}", line.id),
                    "shipped_after_cancel",
                    None,
                    cause,
                    suggestion,
                ));
            }
        }
        if self.cancelled_too_late {
            let cause = "The storefront asked to cancel the order when everything had left.".to_owned();
            let suggestion = "Tell the customer to send it back, then acknowledge.";
            found.push(exception("cancelled_too_late", "cancelled_too_late", None, cause, suggestion));
        }
        for shipment in &self.strange {
            let cause = format!("A notice told of shipment {shipment}, which this order does not have.");
            found.push(exception(
                format!("unknown_shipment/{shipment}"),
                "unknown_shipment",
                None,
                cause,
                "Correct the sender's reference, then acknowledge.",
            ));
        }
    }

    /// Steps that were refused or undone. A refusal that the cancellation has dealt with is no trouble any more.
    fn ends_in_trouble(&self, policy: &Policy, found: &mut Vec<Exception>) {
        for (step, intent, ended) in self.ends.iter() {
            let name = |kind: &str| format!("{kind}/{}{}{intent}", step.name(), if intent.is_empty() { "" } else { "/" });
            let role = step.operation().role();
            match ended {
                Ended::Done | Ended::Skipped => {}
                Ended::Refused => {
                    let Some((class, suggestion)) = self.trouble_of_refusal(step, intent, policy) else { continue };
                    let subject = if intent.is_empty() { String::new() } else { format!(" ({intent})") };
                    let cause = format!("{role:?} refused {}{subject}.", step.name());
                    found.push(exception(name("refused"), class, Some((step, intent)), cause, suggestion));
                }
                Ended::Reversed if self.end.is_some() && !is_money(step) => {}
                Ended::Reversed => {
                    let cause = format!("{role:?} undid {} after it was done.", step.name());
                    let suggestion = "Retry to have it done again, skip if it no longer matters, or cancel.";
                    found.push(exception(name("reversed"), "reversed", Some((step, intent)), cause, suggestion));
                }
            }
        }
    }

    fn trouble_of_refusal(&self, step: Step, intent: &str, policy: &Policy) -> Option<(&'static str, &'static str)> {
        const MEND: &str = "Mend the cause in that system and retry, skip with a reason, or cancel.";
        const UNDO: &str = "Undo it by hand in that system and skip with a reason, or mend the cause and retry.";
        // A step that was to be undone anyway, or that a rule turned into a cancellation, needs nobody.
        let given_up = self.is_dead() || self.end.is_some();
        let parked = |rule| !given_up && (rule == Refusal::Park || !self.is_cancelling());
        match step {
            Step::AuthorizePayment => parked(policy.refusals.payment)
                .then_some(("payment_refused", "Ask the customer for another payment and retry, or cancel.")),
            Step::ReserveStock => parked(policy.refusals.out_of_stock)
                .then_some(("out_of_stock", "Find stock and retry, or cancel the order or its missing lines.")),
            Step::CreateErpOrder => parked(policy.refusals.erp).then_some(("refused", MEND)),
            Step::CapturePayment | Step::ClosePayment => {
                Some(("capture_refused", "The goods have left. Retry, or ask for another payment and skip."))
            }
            // The race is lost and recorded; the goods go on.
            Step::CancelShipment if self.is_recall_judged(intent) => None,
            Step::CancelShipment
            | Step::CancelErpOrder
            | Step::ReleaseStock
            | Step::VoidPayment
            | Step::VoidTax
            | Step::TellCancelled => Some(("compensation_refused", UNDO)),
            Step::TakeOrder | Step::ScreenFraud | Step::QuoteTax | Step::ConfirmOrder | Step::ReleaseShipment => {
                (!given_up && !self.is_recalled(step, intent)).then_some(("refused", MEND))
            }
            Step::FulfilStock
            | Step::PostDelivery
            | Step::PostInvoice
            | Step::PostPayment
            | Step::TellShipping
            | Step::TellPayment
            | Step::TellLines
            | Step::Notify
            | Step::CommitTax
            | Step::CompleteOrder => Some(("refused", MEND)),
        }
    }

    fn is_recall_judged(&self, intent: &str) -> bool {
        let Some((id, shipment)) = intent.split_once('/') else { return true };
        let parts = self.cancellations.iter().filter(|c| c.id == id).flat_map(|c| &c.parts);
        let mut asked = parts.filter(|part| part.shipment.as_ref().is_some_and(|s| s.as_str() == shipment));
        asked.all(|part| part.verdict != super::Verdict::Asked)
    }

    /// A refused release of a shipment none of whose pieces is wanted any more.
    fn is_recalled(&self, step: Step, intent: &str) -> bool {
        step == Step::ReleaseShipment
            && self.shipments.iter().filter(|shipment| shipment.id.as_str() == intent).all(|shipment| {
                shipment.lines.iter().filter_map(|line| self.sold.line(line)).all(|line| self.undecided(line).is_zero())
            })
    }

    // ---- summary ----

    pub(super) fn summary(&self, policy: &Policy, effects: &[Effect], exceptions: &[Exception]) -> Summary {
        let status = match self.end {
            Some(End::Closed) => Status::Closed,
            Some(End::Cancelled) => Status::Cancelled,
            None if self.held => Status::Held,
            None => Status::Open,
        };
        Summary { stage: self.stage(policy).to_owned(), status, waiting_for: self.waiting_for(policy, effects, exceptions) }
    }

    fn stage(&self, policy: &Policy) -> &'static str {
        match self.end {
            Some(End::Closed) => return "closed",
            Some(End::Cancelled) => return "cancelled",
            None => {}
        }
        if self.is_dead() || self.wishes.iter().any(|wish| wish.lines.is_none()) {
            return "cancelling";
        }
        if !self.dispatches.is_empty() {
            return if self.every_line_is_decided() { "shipped" } else { "part_shipped" };
        }
        let gate = self.gate(policy);
        if gate == Gate::Booked && self.shipments.iter().any(|shipment| shipment.released_at.is_some()) {
            return "released";
        }
        gate.as_str()
    }

    fn waiting_for(&self, policy: &Policy, effects: &[Effect], exceptions: &[Exception]) -> String {
        if self.end.is_some() {
            return String::new();
        }
        if let Some(exception) = exceptions.first() {
            return format!("person: {}", exception.class);
        }
        if let Some(effect) = effects.first() {
            let whom = match &effect.target {
                Target::System(system) => system.to_string(),
                Target::Process { kind, .. } => format!("{kind} process"),
            };
            let subject = if effect.intent.is_empty() { String::new() } else { format!(" {}", effect.intent) };
            return format!("{whom}: {}{subject}", effect.step);
        }
        if self.held {
            return "person: release".to_owned();
        }
        let late = self.shipments.iter().find(|shipment| self.is_awaited(shipment));
        match (late, &policy.fulfilment) {
            (Some(shipment), Some(fulfilment)) => format!("{}: shipment of {}", warehouse_of(shipment, fulfilment), shipment.id),
            _ => String::new(),
        }
    }
}

fn is_money(step: Step) -> bool {
    matches!(step, Step::AuthorizePayment | Step::CapturePayment | Step::ClosePayment)
}
