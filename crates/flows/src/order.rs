//! Order: from an order placed in a storefront to settled books.
//!
//! ```text
//!  placed -> TAKEN -> checked -> SCREENED -> TAXED -> AUTHORIZED -> RESERVED -> BOOKED ---+--> confirmed to the storefront
//!             |         |           |          |          |            |           |      |
//!             | bad_totals      fraud_review   |   payment_refused     |     refused |    +--> released, a shipment at a time
//!             | bad_address     rejected   tax_difference         out_of_stock  erp_difference     |
//!             |         |           |          |          |            |           |      shipped, a parcel at a time
//!             +---------+-----------+----------+----------+------------+-----------+               |  capture, fulfil stock,
//!                                              |                                                   |  deliver, invoice, pay
//!                                       cancel (whole, or lines)                                   |
//!        recall from warehouse -> ERP -> stock -> payment -> tax -> storefront           every line shipped or cancelled
//!                                              |                                                   |
//!                                          CANCELLED                    settle payment, commit tax, complete -> CLOSED
//! ```
//! Words in capitals are gates, passed in this order; which of them ask a system is the market's policy. Money is never moved from
//! here: the order asks its payment process. Returns are a flow of their own; after `shipped` nothing is undone here.
//!
//! **Messages** heard: `order.placed` and `order.observed` (canonical order), `order.cancel_requested` (`{lines?, reason?}`),
//! `shipment.notice` (canonical notice), `fraud.decided` (`{decision: approve|reject}`).
//!
//! **Commands** taken:
//!
//! | command | body | refused when |
//! |---|---|---|
//! | `cancel` | `lines?: [{line, quantity}]`, `reason?` | `nothing_to_cancel`, `too_late`, `already_requested`, `unknown_line` |
//! | `hold` | `reason` | the order has ended |
//! | `release` | `reason` | `not_held`: neither on hold nor waiting on a difference. It accepts a standing difference |
//! | `amend` | `ship_to: {field: text}`, `shipment?`, or `order: {canonical order}`, or `accept_totals: true` | `too_late` once the ERP was asked, `no_help`, `bad_amendment` |
//! | `decide_fraud` | `decision: approve\|reject` | `not_in_review` |
//! | `acknowledge` | | closes `shipped_after_cancel`, `unknown_shipment` and `cancelled_too_late` |
//!
//! **Commands given** to `payment:{reference}`: `authorize` `{currency, tenders: [..]}`, `capture` `{shipment, amount, final}`,
//! `void` `{currency, tenders, reason}`, `close` `{amount}`.
//!
//! Where to look: `order/hear.rs` messages and commands, `order/forward.rs` the steps of an undisturbed life with their arguments,
//! `order/cancel.rs` the way back, `order/lines.rs` what became of the goods, `order/tell.rs` what the storefront is told,
//! `order/trouble.rs` what a person is asked, `order/sold.rs` and `order/validate.rs` what was sold and whether it ties.

mod cancel;
mod forward;
mod hear;
mod lines;
mod sold;
mod tell;
mod trouble;
mod validate;

#[cfg(test)]
mod tests;

pub use cancel::{Cancellation, CancelledPart, Verdict, Wish};
pub use lines::{Dispatch, DispatchLine, Parcel, Shipment};
pub use sold::{Charge, Part, Planned, Sold, SoldLine, SoldTender};
pub use tell::{Tell, Tells};
pub use validate::{Fault, amended};

use crate::{
    Ended, Flow, Heard, Input, Plan, Policy, Status, Summary,
    kit::{Ends, with_consequences},
};
use crossdock_canonical::{LineId, Money, OrderRef, ShipmentId, Timestamp, shipment::ShipmentNotice};
use crossdock_value::Value;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

steps! {
    /// Says "taken" to the storefront, so that nobody else takes the order: the first effect of every order.
    TakeOrder = "take-order", ExportStatus, "order.taken", undo: [];
    ScreenFraud = "screen-fraud", Screen, "order.screened", undo: [];
    QuoteTax = "quote-tax", TaxQuote, "order.tax_quoted", undo: [VoidTax];
    AuthorizePayment = "authorize-payment", HubCommand, "order.authorized", undo: [VoidPayment];
    ReserveStock = "reserve-stock", Reserve, "order.reserved", undo: [ReleaseStock];
    CreateErpOrder = "create-erp-order", ErpCreateOrder, "order.booked", undo: [CancelErpOrder];
    ConfirmOrder = "confirm-order", ConfirmationStatus, "order.confirmed", undo: [];
    /// One a shipment; the intent is its id.
    ReleaseShipment = "release-shipment", WmsRelease, "order.released", undo: [CancelShipment];
    /// One a parcel, as are the four after it; the intent is the dispatch's id. From here money goes back by refund only.
    CapturePayment = "capture-payment", HubCommand, "order.captured", undo: [];
    FulfilStock = "fulfil-stock", FulfilStock, "order.stock_fulfilled", undo: [];
    PostDelivery = "post-delivery", ErpPostDelivery, "order.delivery_posted", undo: [];
    PostInvoice = "post-invoice", ErpPostInvoice, "order.invoice_posted", undo: [];
    /// One a tender and capture; the intent is `dispatch/payment`.
    PostPayment = "post-payment", ErpPostPayment, "order.payment_posted", undo: [];
    /// The intent is the word told.
    TellShipping = "tell-shipping", ShippingStatus, "order.shipping_told", undo: [];
    TellPayment = "tell-payment", PaymentStatus, "order.payment_told", undo: [];
    /// The intent is the version of the picture.
    TellLines = "tell-lines", HubState, "order.lines_told", undo: [];
    Notify = "notify-customer", Notify, "order.customer_notified", undo: [];
    /// Captures, releases or pays back what is still open, once every line is decided.
    ClosePayment = "close-payment", HubCommand, "order.payment_closed", undo: [];
    CommitTax = "commit-tax", TaxCommit, "order.tax_committed", undo: [];
    CompleteOrder = "complete-order", OrderStatus, "order.completed", undo: [];

    /// One a cancellation and shipment: `c1/ship-1`.
    CancelShipment = "cancel-shipment", WmsCancel, "order.recalled", undo: [];
    /// One a cancellation: `c1`.
    CancelErpOrder = "cancel-erp-order", ErpCancelOrder, "order.unbooked", undo: [];
    ReleaseStock = "release-stock", ReleaseStock, "order.stock_released", undo: [];
    VoidPayment = "void-payment", HubCommand, "order.payment_voided", undo: [];
    VoidTax = "void-tax", TaxVoid, "order.tax_voided", undo: [];
    TellCancelled = "tell-cancelled", OrderStatus, "order.cancellation_told", undo: [];
}

/// The flow itself; it has no data.
#[derive(Clone, Copy, Debug)]
pub struct OrderFlow;

/// Where an order stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// Nothing was heard yet.
    #[default]
    Awaited,
    /// The document is no canonical order; `amend` with a whole one starts its life.
    Unreadable {
        reason: String,
    },
    Placed(Box<Life>),
}

/// An order that was read. What happens to its parts happens at the same time, so each part has its own record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Life {
    pub reference: OrderRef,
    pub sold: Arc<Sold>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// The storefront shows another order than the one accepted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub changed: bool,
    /// A person corrected the document, or took a change in the storefront for settled: it differs from now on.
    #[serde(default, skip_serializing_if = "is_false")]
    pub corrected: bool,
    pub ends: Ends<Step>,
    /// The effects that were under way when the order was stopped last (put on hold, or asked to cancel) and have not ended yet.
    /// While it is stopped nothing new is started beside them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub under_way: Vec<Name>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub held: bool,
    pub fraud: Fraud,
    #[serde(default, skip_serializing_if = "Comparison::is_empty")]
    pub tax: Comparison,
    #[serde(default, skip_serializing_if = "Comparison::is_empty")]
    pub erp: Comparison,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shipments: Vec<Shipment>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub locations: BTreeMap<LineId, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dispatches: Vec<Dispatch>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wishes: Vec<Wish>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cancellations: Vec<Cancellation>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub captured: Vec<Captured>,
    #[serde(default)]
    pub tells: Tells,
    /// Shipments somebody told of that this order does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strange: Vec<ShipmentId>,
    /// The storefront asked to cancel after everything had left.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cancelled_too_late: bool,
    /// Pieces that left although they were cancelled, and a person knows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub noted: BTreeMap<LineId, Decimal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

/// An effect's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Name {
    pub step: Step,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub intent: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fraud")]
pub enum Fraud {
    #[default]
    Pending,
    Approved,
    /// A person or the fraud system's own reviewers decide.
    Review {
        since: Timestamp,
        overdue: bool,
    },
    Rejected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    Approve,
    Review,
    Reject,
}

/// A sum another system worked out for itself, beside ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Ours and theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sums: Option<(Money, Money)>,
    /// A person accepted the difference.
    #[serde(default, skip_serializing_if = "is_false")]
    pub accepted: bool,
}

/// Money the payment process reported as taken or paid back, to be posted in the ERP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Captured {
    /// The dispatch, `authorize`, or `close`.
    pub by: String,
    pub payment: String,
    pub amount: Money,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub refund: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Closed,
    Cancelled,
}

/// What an effect's evidence told that later steps need.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "found")]
pub enum Found {
    #[default]
    Nothing,
    Fraud {
        decision: Decision,
    },
    Sum {
        theirs: Money,
    },
    Locations {
        lines: Vec<Location>,
    },
    Money {
        moved: Vec<Captured>,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Location {
    pub line: LineId,
    pub location: String,
}

/// The facts of an order's life. Names in the journal: [`OrderFlow::event_name`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    Accepted {
        reference: OrderRef,
        sold: Arc<Sold>,
        faults: Vec<Fault>,
    },
    Unreadable {
        reason: String,
    },
    /// A person sent a whole corrected document.
    Corrected {
        sold: Arc<Sold>,
        faults: Vec<Fault>,
    },
    /// A person mended addresses or accepted the totals; these faults are left.
    Amended {
        faults: Vec<Fault>,
    },
    /// The storefront's order is no longer the one accepted.
    ChangedAtSource,

    StepDone {
        step: Step,
        intent: String,
        found: Found,
    },
    StepRefused {
        step: Step,
        intent: String,
        code: String,
    },
    StepSkipped {
        step: Step,
        intent: String,
    },
    StepReversed {
        step: Step,
        intent: String,
        code: String,
    },
    /// It was under way when it was no longer wanted, and was never applied.
    StepWithdrawn {
        step: Step,
        intent: String,
    },

    FraudDecided {
        decision: Decision,
    },
    ReviewOverdue,

    ShipmentNoticed {
        notice: ShipmentNotice,
    },
    ShipmentUnknown {
        shipment: ShipmentId,
    },
    ShipmentOverdue {
        shipment: ShipmentId,
    },
    /// Lines no warehouse sees were fulfilled: downloads, gift cards.
    Fulfilled {
        lines: Vec<DispatchLine>,
    },

    Held {
        under_way: Vec<Name>,
    },
    /// The hold ends; differences that stood are accepted.
    Released {
        tax: bool,
        erp: bool,
        change: bool,
    },

    CancelRequested {
        wish: Wish,
        under_way: Vec<Name>,
    },
    /// The storefront asked to cancel when everything had left.
    CancelRequestedTooLate,
    CancellationBegun {
        cancellation: Cancellation,
    },
    /// Which pieces were cancelled in time, and which had left already: the one winner of the race, recorded.
    CancellationEnded {
        id: String,
        cancelled: Vec<DispatchLine>,
        too_late: Vec<DispatchLine>,
    },

    /// A person took note of goods and shipments that fit nothing.
    Acknowledged,

    Telling {
        tell: Tell,
    },
    Closed,
    Cancelled,
}

impl Flow for OrderFlow {
    type State = State;
    type Event = Event;
    const KIND: &'static str = "order";
    const SCHEMA: u32 = 1;
    const LOGIC: u32 = 1;
    const STARTS: &'static [&'static str] = &["order.placed"];

    fn hear(state: &State, input: &Input, policy: &Policy, at: Timestamp) -> Heard<Event> {
        let heard = match state {
            State::Awaited | State::Unreadable { .. } => hear::first(input, policy),
            State::Placed(life) => hear::placed(life, input, policy, at),
        };
        with_consequences::<Self>(state, heard, at, |state| match state {
            State::Awaited | State::Unreadable { .. } => None,
            State::Placed(life) => consequence(life, policy),
        })
    }

    fn apply(state: State, event: &Event, at: Timestamp) -> State {
        match (state, event) {
            (State::Awaited | State::Unreadable { .. }, Event::Accepted { reference, sold, faults }) => {
                State::Placed(Box::new(Life::new(reference.clone(), sold.clone(), faults.clone())))
            }
            (State::Awaited, Event::Unreadable { reason }) => State::Unreadable { reason: reason.clone() },
            (State::Placed(mut life), event) => {
                apply_placed(&mut life, event, at);
                State::Placed(life)
            }
            (state @ (State::Awaited | State::Unreadable { .. }), _) => state,
        }
    }

    /// One arm so far: every process runs under logic 1.
    fn decide(state: &State, policy: &Policy, _logic: u32, _now: Timestamp) -> Plan {
        match state {
            State::Awaited => Plan::default(),
            State::Unreadable { reason } => Plan {
                exceptions: vec![trouble::unreadable(reason)],
                summary: Summary {
                    stage: "unreadable".into(),
                    status: Status::Open,
                    waiting_for: "person: amend with a whole order".into(),
                },
                ..Plan::default()
            },
            State::Placed(life) => {
                let mut effects = life.forward(policy);
                effects.extend(life.backward(policy));
                let exceptions = life.exceptions(policy);
                Plan {
                    timers: life.timers(policy),
                    replies: life.replies(),
                    summary: life.summary(policy, &effects, &exceptions),
                    effects,
                    exceptions,
                }
            }
        }
    }

    fn reopened(state: &State, step: &str, intent: &str) -> Option<State> {
        let (State::Placed(life), Some(step)) = (state, Step::from_name(step)) else { return None };
        life.ends.ended(step, intent).then(|| {
            let mut life = life.clone();
            life.ends.forget(step, intent);
            State::Placed(life)
        })
    }

    fn before_called_off(state: &State, step: &str, intent: &str) -> Option<State> {
        let (State::Placed(life), Some(step)) = (state, Step::from_name(step)) else { return None };
        life.under_way.iter().any(|name| name.step == step && name.intent == intent).then(|| {
            let mut life = life.clone();
            life.held = false;
            life.wishes.clear();
            life.cancellations.clear();
            life.under_way.clear();
            life.end = None;
            State::Placed(life)
        })
    }

    fn amended(command: &str, document: &Value, body: &Value) -> Option<Value> {
        (command == "amend").then(|| validate::amended(document, body))
    }

    fn event_name(event: &Event) -> &'static str {
        match event {
            Event::Accepted { .. } => "order.accepted",
            Event::Unreadable { .. } => "order.unreadable",
            Event::Corrected { .. } => "order.corrected",
            Event::Amended { .. } => "order.amended",
            Event::ChangedAtSource => "order.changed_at_source",
            Event::StepDone { step, .. } => step.event(),
            Event::StepRefused { .. } => "order.step_refused",
            Event::StepSkipped { .. } => "order.step_skipped",
            Event::StepReversed { .. } => "order.step_reversed",
            Event::StepWithdrawn { .. } => "order.step_withdrawn",
            Event::FraudDecided { .. } => "order.fraud_decided",
            Event::ReviewOverdue => "order.review_overdue",
            Event::ShipmentNoticed { notice } => lines::event_name(notice.stage),
            Event::ShipmentUnknown { .. } => "order.shipment_unknown",
            Event::ShipmentOverdue { .. } => "order.shipment_overdue",
            Event::Fulfilled { .. } => "order.fulfilled",
            Event::Held { .. } => "order.held",
            Event::Released { .. } => "order.hold_released",
            Event::CancelRequested { .. } => "order.cancel_requested",
            Event::CancelRequestedTooLate => "order.cancel_requested_too_late",
            Event::CancellationBegun { .. } => "order.cancellation_begun",
            Event::CancellationEnded { .. } => "order.cancellation_ended",
            Event::Acknowledged => "order.acknowledged",
            Event::Telling { .. } => "order.telling_storefront",
            Event::Closed => "order.closed",
            Event::Cancelled => "order.cancelled",
        }
    }
}

// ---- what follows by itself --------------------------------------------------------------------------------------------------

/// The next event that follows from where the order stands, without anything being heard.
fn consequence(life: &Life, policy: &Policy) -> Option<Event> {
    if life.end.is_some() {
        return None;
    }
    None.or_else(|| life.begin_cancellation(policy))
        .or_else(|| life.end_cancellation(policy))
        .or_else(|| life.cancel_by_rule(policy))
        .or_else(|| life.fulfil_unpicked(policy))
        .or_else(|| life.next_tell(policy))
        .or_else(|| life.come_to_an_end(policy))
}

// ---- folding -----------------------------------------------------------------------------------------------------------------

impl Life {
    fn new(reference: OrderRef, sold: Arc<Sold>, faults: Vec<Fault>) -> Self {
        let shipments = lines::plan(&sold, &BTreeMap::new());
        Self {
            reference,
            sold,
            faults,
            changed: false,
            corrected: false,
            ends: Ends::default(),
            under_way: Vec::new(),
            held: false,
            fraud: Fraud::Pending,
            tax: Comparison::default(),
            erp: Comparison::default(),
            shipments,
            locations: BTreeMap::new(),
            dispatches: Vec::new(),
            wishes: Vec::new(),
            cancellations: Vec::new(),
            captured: Vec::new(),
            tells: Tells::default(),
            strange: Vec::new(),
            cancelled_too_late: false,
            noted: BTreeMap::new(),
            end: None,
        }
    }

    /// Nothing new is started: a person holds the order, or a cancellation waits for what is under way.
    fn is_stopped(&self) -> bool {
        self.held || !self.wishes.is_empty()
    }

    fn no_longer_under_way(&mut self, step: Step, intent: &str) {
        self.under_way.retain(|name| name.step != step || name.intent != intent);
    }

    /// The effects under way: what the state calls for and has not ended. They were asked for at the last decision.
    fn names_under_way(&self, policy: &Policy) -> Vec<Name> {
        let named = self.forward(policy).into_iter();
        let named = named.filter_map(|effect| Some(Name { step: Step::from_name(effect.step)?, intent: effect.intent }));
        let mut names: Vec<Name> = self.under_way.iter().cloned().chain(named).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

fn apply_placed(life: &mut Life, event: &Event, at: Timestamp) {
    life.tells.stale |= tell::may_change_lines(event);
    match event {
        Event::Accepted { .. } | Event::Unreadable { .. } => {}
        Event::Corrected { sold, faults } => {
            life.shipments = lines::plan(sold, &life.locations);
            life.sold = sold.clone();
            life.faults.clone_from(faults);
            life.changed = false;
            life.corrected = true;
        }
        Event::Amended { faults } => life.faults.clone_from(faults),
        Event::ChangedAtSource => life.changed = true,

        Event::StepDone { step, intent, found } => apply_end(life, *step, intent, Ended::Done, "", found, at),
        Event::StepSkipped { step, intent } => apply_end(life, *step, intent, Ended::Skipped, "", &Found::Nothing, at),
        Event::StepRefused { step, intent, code } => apply_end(life, *step, intent, Ended::Refused, code, &Found::Nothing, at),
        Event::StepReversed { step, intent, code } => apply_end(life, *step, intent, Ended::Reversed, code, &Found::Nothing, at),
        Event::StepWithdrawn { step, intent } => life.no_longer_under_way(*step, intent),

        Event::FraudDecided { decision } => life.fraud = Fraud::after(*decision, at),
        Event::ReviewOverdue => {
            if let Fraud::Review { overdue, .. } = &mut life.fraud {
                *overdue = true;
            }
        }

        Event::ShipmentNoticed { notice } => life.apply_notice(notice),
        Event::ShipmentUnknown { shipment } => life.strange.push(shipment.clone()),
        Event::ShipmentOverdue { shipment } => {
            if let Some(shipment) = life.shipments.iter_mut().find(|s| s.id == *shipment) {
                shipment.overdue = true;
            }
        }
        Event::Fulfilled { lines } => life.dispatch("direct".to_owned(), None, None, lines.clone()),

        Event::Held { under_way } => {
            life.held = true;
            life.under_way.clone_from(under_way);
        }
        Event::Released { tax, erp, change } => {
            life.held = false;
            life.tax.accepted |= *tax;
            life.erp.accepted |= *erp;
            life.changed &= !*change;
            life.corrected |= *change;
        }

        Event::CancelRequested { wish, under_way } => {
            life.wishes.push(wish.clone());
            life.under_way.clone_from(under_way);
        }
        Event::CancelRequestedTooLate => life.cancelled_too_late = true,
        Event::CancellationBegun { cancellation } => {
            life.wishes.retain(|wish| wish.id != cancellation.id);
            life.cancellations.push(cancellation.clone());
        }
        Event::CancellationEnded { id, .. } => {
            if let Some(cancellation) = life.cancellations.iter_mut().find(|c| c.id == *id) {
                cancellation.ended = true;
            }
        }

        Event::Acknowledged => {
            life.strange.clear();
            life.cancelled_too_late = false;
            life.noted = life.sold.lines.iter().map(|line| (line.id.clone(), life.over_shipped(&line.id))).collect();
            life.noted.retain(|_, pieces| *pieces > Decimal::ZERO);
        }

        Event::Telling { tell } => life.apply_telling(tell),
        Event::Closed => life.end = Some(End::Closed),
        Event::Cancelled => life.end = Some(End::Cancelled),
    }
}

/// One effect ended. Only news changes anything: repeats and late contradictions are dropped by [`Ends::record`].
fn apply_end(life: &mut Life, step: Step, intent: &str, ended: Ended, code: &str, found: &Found, at: Timestamp) {
    if !life.ends.record(step, intent, ended) {
        return;
    }
    life.no_longer_under_way(step, intent);
    match step {
        Step::ReleaseShipment if ended.is_through() => {
            if let Some(shipment) = life.shipments.iter_mut().find(|shipment| shipment.id.as_str() == intent) {
                shipment.released_at = Some(at);
            }
        }
        Step::CancelShipment => life.apply_recall(intent, ended, code),
        Step::TellShipping | Step::TellPayment | Step::TellLines => life.tells.ended(step),
        _ => {}
    }
    match found {
        Found::Nothing => {}
        Found::Fraud { decision } if life.fraud == Fraud::Pending => life.fraud = Fraud::after(*decision, at),
        Found::Fraud { .. } => {}
        Found::Sum { theirs } if step == Step::QuoteTax => life.tax.compare(life.sold.tax, *theirs),
        // What the ERP was asked for is what is left now: no cancellation begins while it is asked.
        Found::Sum { theirs } => life.erp.compare(life.remaining_total(), *theirs),
        Found::Locations { lines } => {
            life.locations = lines.iter().map(|line| (line.line.clone(), line.location.clone())).collect();
            if life.dispatches.is_empty() && life.shipments.iter().all(|shipment| shipment.released_at.is_none()) {
                life.shipments = lines::plan(&life.sold, &life.locations);
            }
        }
        Found::Money { moved } => {
            for part in moved {
                let same = |known: &Captured| known.by == part.by && known.payment == part.payment && known.refund == part.refund;
                if !life.captured.iter().any(same) {
                    life.captured.push(part.clone());
                }
            }
        }
    }
}

impl Fraud {
    fn after(decision: Decision, at: Timestamp) -> Self {
        match decision {
            Decision::Approve => Self::Approved,
            Decision::Review => Self::Review { since: at, overdue: false },
            Decision::Reject => Self::Rejected,
        }
    }
}

impl Comparison {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn compare(&mut self, ours: Money, theirs: Money) {
        *self = Self { sums: Some((ours, theirs)), accepted: false };
    }

    /// Both sums, when they are further apart than `tolerance` and nobody accepted it.
    fn difference(&self, tolerance: Decimal) -> Option<(Money, Money)> {
        let far = |(ours, theirs): &(Money, Money)| {
            theirs.currency != ours.currency || theirs.amount.saturating_sub(ours.amount).abs() > tolerance
        };
        self.sums.filter(|sums| !self.accepted && far(sums))
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}
