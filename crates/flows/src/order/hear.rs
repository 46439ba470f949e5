//! What an order hears: messages, the ends of effects, timers, commands. Each becomes the events it means, or none when it says
//! nothing new; a command that cannot be taken is refused with a reason.

use super::{Captured, Decision, Event, Fault, Found, Fraud, Life, Location, Name, Sold, Step, trouble, validate};
use crate::{
    Ended, Heard, Input, Policy,
    kit::{code_of, field},
};
use crossdock_canonical::{Order, Outcome, OutcomeClass, Timestamp};
use crossdock_value::Value;
use std::sync::Arc;

pub(super) fn first(input: &Input, policy: &Policy) -> Heard<Event> {
    let accepted = |order: &Order| Event::Accepted {
        reference: order.reference(),
        sold: Arc::new(Sold::of(order)),
        faults: validate::check(order, &policy.validation),
    };
    match input {
        Input::Message { kind, body, .. } if kind == "order.placed" => Heard::events(vec![match read_order(body) {
            Ok(order) => accepted(&order),
            Err(reason) => Event::Unreadable { reason },
        }]),
        Input::Command { name, body, .. } if name == "amend" => match read_order(body.get("order")) {
            Ok(order) => Heard::taken(vec![accepted(&order)]),
            Err(reason) => Heard::refused("bad_amendment", format!("`order` is no canonical order: {reason}")),
        },
        Input::Command { name, .. } => {
            Heard::refused("no_order", format!("`{name}` needs an order, and none was accepted under this number"))
        }
        Input::Message { .. } | Input::Settled { .. } | Input::Skipped { .. } | Input::Withdrawn { .. } | Input::Timer { .. } => {
            Heard::nothing()
        }
    }
}

pub(super) fn placed(life: &Life, input: &Input, policy: &Policy, at: Timestamp) -> Heard<Event> {
    match input {
        Input::Message { kind, body, .. } => Heard::events(match kind.as_str() {
            "order.placed" | "order.observed" => life.observe(body),
            "order.cancel_requested" => match life.ask_to_cancel(body, None, policy) {
                Ok(event) => vec![event],
                // The storefront believes in a cancellation that cannot be; a person has to tell the customer.
                Err(("too_late", _)) if !life.cancelled_too_late => vec![Event::CancelRequestedTooLate],
                Err(_) => Vec::new(),
            },
            "shipment.notice" => life.note_shipment(body, at),
            "fraud.decided" => life.hear_fraud(body),
            _ => Vec::new(),
        }),
        Input::Settled { step, intent, outcome } => {
            let news = |event: &Event| life.is_news(event);
            Heard::events(settled(step, intent, outcome).filter(news).into_iter().collect())
        }
        Input::Skipped { step, intent, .. } => {
            let skipped = Step::from_name(step).map(|step| Event::StepSkipped { step, intent: intent.clone() });
            Heard::events(skipped.filter(|event| life.is_news(event)).into_iter().collect())
        }
        Input::Withdrawn { step, intent } => {
            let awaited = |name: &&Name| name.step.name() == step && name.intent == *intent;
            let withdrawn = life.under_way.iter().find(awaited);
            Heard::events(
                withdrawn.map(|name| Event::StepWithdrawn { step: name.step, intent: intent.clone() }).into_iter().collect(),
            )
        }
        Input::Timer { name } => Heard::events(life.hear_timer(name)),
        Input::Command { name, body, key } => match name.as_str() {
            "cancel" => life.hear_cancel(body, key, policy),
            "hold" => life.hear_hold(policy),
            "release" => life.hear_release(policy),
            "amend" => life.hear_amend(body, policy),
            "decide_fraud" => life.hear_decide_fraud(body),
            "acknowledge" => Heard::taken(vec![Event::Acknowledged]),
            _ => Heard::refused(
                "unknown_command",
                format!("an order takes cancel, hold, release, amend, decide_fraud and acknowledge, not `{name}`"),
            ),
        },
    }
}

fn read_order(body: &Value) -> Result<Order, String> {
    crossdock_value::from_value(body).map_err(|error| without_values(&error.to_string()))
}

/// An error as states may keep it: what it quotes came from the document and may be somebody's name. Field names stay.
fn without_values(error: &str) -> String {
    let error = match error.split_once("unknown variant `") {
        Some((before, rest)) => format!("{before}unknown variant{}", rest.split_once('`').map_or("", |(_, after)| after)),
        None => error.to_owned(),
    };
    let outside = error.split('"').step_by(2).collect::<Vec<_>>().join("..");
    outside.chars().take(200).collect()
}

/// The event of a settled effect. Classes the engine keeps to itself say nothing here.
fn settled(step: &str, intent: &str, outcome: &Outcome) -> Option<Event> {
    let (step, intent) = (Step::from_name(step)?, intent.to_owned());
    match outcome.class {
        OutcomeClass::Done => Some(Event::StepDone { step, found: found(step, &intent, &outcome.evidence), intent }),
        OutcomeClass::Refused => Some(Event::StepRefused { step, intent, code: code_of(outcome) }),
        OutcomeClass::Reversed => Some(Event::StepReversed { step, intent, code: code_of(outcome) }),
        OutcomeClass::Accepted | OutcomeClass::Retry | OutcomeClass::Unknown | OutcomeClass::Misconfigured => None,
    }
}

/// Reads evidence. What cannot be read counts as not said, except that an unclear fraud answer is a review.
fn found(step: Step, intent: &str, evidence: &Value) -> Found {
    let moved = |by: &str| {
        let list = |name: &str, refund: bool| {
            let parts = evidence.get(name).as_arr().unwrap_or_default().iter();
            parts.filter_map(move |part| {
                Some(Captured {
                    by: by.to_owned(),
                    payment: field(part, "payment")?,
                    amount: field(part, "amount")?,
                    transaction: field(part, "transaction"),
                    refund,
                })
            })
        };
        Found::Money { moved: list("captured", false).chain(list("refunded", true)).collect() }
    };
    let sum = |name: &str| field(evidence, name).map_or(Found::Nothing, |theirs| Found::Sum { theirs });
    match step {
        Step::ScreenFraud => Found::Fraud { decision: field(evidence, "decision").unwrap_or(Decision::Review) },
        Step::QuoteTax => sum("tax"),
        Step::CreateErpOrder => sum("total"),
        Step::ReserveStock => Found::Locations {
            lines: evidence
                .get("lines")
                .as_arr()
                .unwrap_or_default()
                .iter()
                .filter_map(|line| Some(Location { line: field(line, "line")?, location: field(line, "location")? }))
                .collect(),
        },
        Step::AuthorizePayment => moved("authorize"),
        Step::CapturePayment => moved(intent),
        Step::ClosePayment => moved("close"),
        Step::TakeOrder
        | Step::ConfirmOrder
        | Step::ReleaseShipment
        | Step::FulfilStock
        | Step::PostDelivery
        | Step::PostInvoice
        | Step::PostPayment
        | Step::TellShipping
        | Step::TellPayment
        | Step::TellLines
        | Step::Notify
        | Step::CommitTax
        | Step::CompleteOrder
        | Step::CancelShipment
        | Step::CancelErpOrder
        | Step::ReleaseStock
        | Step::VoidPayment
        | Step::VoidTax
        | Step::TellCancelled => Found::Nothing,
    }
}

impl Life {
    /// Whether an end says something new; a repeated or late one is no event.
    fn is_news(&self, event: &Event) -> bool {
        match event {
            Event::StepDone { step, intent, .. } => self.ends.is_news(*step, intent, Ended::Done),
            Event::StepRefused { step, intent, .. } => self.ends.is_news(*step, intent, Ended::Refused),
            Event::StepSkipped { step, intent } => self.ends.is_news(*step, intent, Ended::Skipped),
            Event::StepReversed { step, intent, .. } => self.ends.is_news(*step, intent, Ended::Reversed),
            _ => true,
        }
    }

    /// A poll shows the order again. The same order is an echo, of the shopper's doing or of our own writing, and says nothing.
    fn observe(&self, body: &Value) -> Vec<Event> {
        match read_order(body) {
            Ok(order)
                if !self.changed && !self.corrected && self.end.is_none() && !self.sold.is_same_goods(&Sold::of(&order)) =>
            {
                vec![Event::ChangedAtSource]
            }
            Ok(_) | Err(_) => Vec::new(),
        }
    }

    fn hear_fraud(&self, body: &Value) -> Vec<Event> {
        match field(body, "decision") {
            Some(decision @ Decision::Approve) if matches!(self.fraud, Fraud::Pending | Fraud::Review { .. }) => {
                vec![Event::FraudDecided { decision }]
            }
            // The fraud system may change its mind; the cancellation finds out what can still be stopped.
            Some(decision @ Decision::Reject) if self.fraud != Fraud::Rejected && self.end.is_none() => {
                vec![Event::FraudDecided { decision }]
            }
            Some(Decision::Approve | Decision::Review | Decision::Reject) | None => Vec::new(),
        }
    }

    fn hear_decide_fraud(&self, body: &Value) -> Heard<Event> {
        let stuck = self.fraud == Fraud::Pending && self.ends.get(Step::ScreenFraud, "") == Some(Ended::Refused);
        if !stuck && !matches!(self.fraud, Fraud::Review { .. }) {
            return Heard::refused("not_in_review", "the order is not in fraud review");
        }
        match field(body, "decision") {
            Some(decision @ (Decision::Approve | Decision::Reject)) => Heard::taken(vec![Event::FraudDecided { decision }]),
            Some(Decision::Review) | None => Heard::refused("bad_decision", "`decision` is `approve` or `reject`"),
        }
    }

    fn hear_timer(&self, name: &str) -> Vec<Event> {
        if name == trouble::REVIEW_TIMER {
            return match self.fraud {
                Fraud::Review { overdue: false, .. } => vec![Event::ReviewOverdue],
                Fraud::Review { overdue: true, .. } | Fraud::Pending | Fraud::Approved | Fraud::Rejected => Vec::new(),
            };
        }
        let late = self
            .shipments
            .iter()
            .find(|shipment| trouble::ship_timer(&shipment.id) == name && !shipment.overdue && self.is_awaited(shipment));
        late.map(|shipment| Event::ShipmentOverdue { shipment: shipment.id.clone() }).into_iter().collect()
    }

    fn hear_hold(&self, policy: &Policy) -> Heard<Event> {
        match (self.end, self.held) {
            (Some(_), _) => Heard::refused("ended", "the order has ended; there is nothing to hold"),
            (None, true) => Heard::taken(Vec::new()),
            (None, false) => Heard::taken(vec![Event::Held { under_way: self.names_under_way(policy) }]),
        }
    }

    fn hear_release(&self, policy: &Policy) -> Heard<Event> {
        let (tax, erp, change) = (self.tax_difference(policy).is_some(), self.erp_difference(policy).is_some(), self.changed);
        if self.held || tax || erp || change {
            Heard::taken(vec![Event::Released { tax, erp, change }])
        } else {
            Heard::refused("not_held", "the order is neither on hold nor waiting on a difference")
        }
    }

    fn hear_amend(&self, body: &Value, policy: &Policy) -> Heard<Event> {
        let asked = |step| self.ends.ended(step, "") || self.forward(policy).iter().any(|effect| effect.step == Step::name(step));
        if self.end.is_some() || asked(Step::CreateErpOrder) || !self.dispatches.is_empty() || !self.cancellations.is_empty() {
            return Heard::refused("too_late", "the order has gone on; cancel the lines concerned and place them anew");
        }
        if !body.get("order").is_null() {
            return match read_order(body.get("order")) {
                Ok(order) if order.reference() != self.reference => Heard::refused("bad_amendment", "`order` is another order"),
                Ok(_) if self.ends.ended(Step::AuthorizePayment, "") || asked(Step::AuthorizePayment) => {
                    Heard::refused("too_late", "payment was authorized for the order as it is")
                }
                Ok(order) => Heard::taken(vec![Event::Corrected {
                    sold: Arc::new(Sold::of(&order)),
                    faults: validate::check(&order, &policy.validation),
                }]),
                Err(reason) => Heard::refused("bad_amendment", format!("`order` is no canonical order: {reason}")),
            };
        }
        if body.get("accept_totals").as_bool() == Some(true) {
            let left = self.faults.iter().filter(|fault| !matches!(fault, Fault::Sum { .. })).cloned().collect();
            return Heard::taken(vec![Event::Amended { faults: left }]);
        }
        if body.get("ship_to").as_obj().is_some() {
            let left = validate::after_amend(&self.faults, body, &policy.validation);
            return if self.faults.is_empty() || left != self.faults {
                Heard::taken(vec![Event::Amended { faults: left }])
            } else {
                Heard::refused("no_help", format!("still wrong: {}", trouble::list(&self.faults)))
            };
        }
        Heard::refused("bad_amendment", "give `ship_to`, `order` or `accept_totals`")
    }
}
