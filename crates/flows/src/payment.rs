//! Payment: one process per order, the only one that moves its money.
//!
//! ```text
//!                    tender by tender, gift card first
//!  authorize --> AUTHORIZING ------------------------> AUTHORIZED --(capture, capture, ...)--> AUTHORIZED
//!                    |  one is refused                     |                                       | close {amount}
//!                    v                                     | void                                  v
//!                 FAILING  the earlier ones are voided     v                                    CLOSING  capture what is due,
//!                    v                                  VOIDING --> VOIDED                         |     void or pay back the rest
//!                 FAILED                                                                           v
//!                                                                                               CLOSED --(refund, refund, ...)
//! ```
//! Every operation on a tender is on record from the moment it is asked for, in one of five states: *requested, accepted, succeeded,
//! failed, reversed*. The rules that no path may pass are three functions in `payment/rules.rs`: [`rules::allow_capture`] keeps
//! captures within the authorization, [`rules::allow_refund`] keeps refunds within the captures, [`rules::allow_void`] never voids
//! what was captured. [`PaymentFlow::apply`] asks them again, so an operation that breaks one never gets into the state.
//!
//! **Commands**, from the order (or a return, or a person); each is answered by a reply under its key:
//!
//! | command | body | reply, *done* with | *refused* with |
//! |---|---|---|---|
//! | `authorize` | `currency`, `tenders: [{payment, method, kind, amount, transaction?, token?}]` | `authorized`, `tenders: [{payment, amount, transaction?, expires_at?}]`, `captured` (sales, capture at accept) | the provider's code, after the other tenders were voided |
//! | `capture` | `shipment`, `amount`, `final` | `captured: [{payment, amount, transaction?}]`, `deferred` (money that waits for `close`) | `capture_over_authorized`, `not_authorized` |
//! | `close` | `amount`: all that is owed in the end | `captured`, `refunded` | `capture_over_authorized`, `not_authorized`, `already_closed` |
//! | `void` | `currency?`, `tenders?` (when nothing was authorized here yet), `reason` | | `already_closed` |
//! | `refund` | `amount`, `reason` | `refunded: [{payment, amount, transaction?}]` | `refund_over_captured` |
//! | `acknowledge` | | | takes note of provider news that fit nothing |
//!
//! A capture or refund that the *provider* refuses is not answered: it is an exception here, for a person to mend or skip, and the
//! reply follows. **Message**: `payment.notice` `{payment, transaction, event: authorized|captured|voided|refunded|failed, amount}`;
//! late ones confirm or reverse, and never move money.
//!
//! A tender without `multi_capture` is captured once: what ships is added up, and taken at `close` or before the authorization
//! expires. Tenders nobody authorizes (paid on invoice) count, but nobody is asked.
//!
//! Where to look: `payment/hear.rs` commands and notices, `payment/follow.rs` the way from phase to phase, `payment/rules.rs` the
//! rules, `payment/decide.rs` effects, replies, timers, exceptions.

mod decide;
mod follow;
mod hear;
pub mod rules;

#[cfg(test)]
mod tests;

use crate::{
    Flow, Heard, Input, Plan, Policy,
    kit::with_consequences,
    policy::{AuthorizedBy, TenderPolicy},
};
use crossdock_canonical::{Currency, Money, Timestamp, payment::Tender as Kind};
use rules::Refusal;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// The kind of process, in its key: `payment:{channel}/{site}/{number}`.
pub const KIND: &str = "payment";

steps! {
    /// The intent is the payment's id, with `~2` when authorizing was asked for a second time.
    VerifyTender = "verify-tender", PaymentVerify, "payment.verified", undo: [VoidTender];
    AuthorizeTender = "authorize-tender", PaymentAuthorize, "payment.authorized", undo: [VoidTender];
    /// Replaces an authorization about to expire; `payment/n`.
    ReauthorizeTender = "reauthorize-tender", PaymentAuthorize, "payment.reauthorized", undo: [VoidTender];
    /// `payment/shipment`, `payment/accept`, `payment/expiry` or `payment/close`.
    CaptureTender = "capture-tender", PaymentCapture, "payment.captured", undo: [RefundTender];
    VoidTender = "void-tender", PaymentVoid, "payment.voided", undo: [];
    /// `payment/r1` by command, `payment/close`, `payment/void`.
    RefundTender = "refund-tender", PaymentRefund, "payment.refunded", undo: [];
}

#[derive(Clone, Copy, Debug)]
pub struct PaymentFlow;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// No command has come yet.
    #[default]
    Idle,
    Open(Box<Account>),
}

/// The money of one order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    pub currency: Currency,
    pub phase: Phase,
    /// How often authorizing was begun.
    pub attempt: u32,
    pub tenders: Vec<Tender>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asks: Vec<Ask>,
    /// Provider news that fit nothing we asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unexpected: Vec<Unexpected>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum Phase {
    Authorizing,
    Authorized,
    /// A tender was refused; the others are being voided.
    Failing {
        payment: String,
        code: String,
    },
    Failed {
        payment: String,
        code: String,
    },
    Voiding,
    Voided,
    Closing {
        amount: Money,
    },
    Closed {
        amount: Money,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tender {
    pub payment: String,
    pub method: String,
    pub kind: Kind,
    pub amount: Money,
    /// None while the market's policy does not know the method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
    /// The authorization's transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The authorization is about to expire.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expiring: bool,
    /// Its part of what is owed so far.
    #[serde(default, skip_serializing_if = "Decimal::is_zero")]
    pub due: Decimal,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
}

/// What the market's policy says of a tender, fixed when the process starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Nobody authorizes it: paid on invoice.
    pub on_account: bool,
    pub verified: bool,
    pub multi_capture: bool,
    pub reauthorize: bool,
    /// Authorizing takes the money at once.
    pub sale: bool,
}

/// One operation on a tender, on record from the moment it is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    pub step: Step,
    pub intent: String,
    /// What it belongs to: a shipment, `accept`, `expiry`, `close`, `void`, `r1`.
    pub label: String,
    /// As asked; for an authorization, as granted.
    pub amount: Money,
    pub state: OpState,
    /// The transaction it acts on, fixed when it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// The transaction the provider gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
    /// No capture follows: the rest of the authorization may go.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
    /// A person gave up on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpState {
    Requested,
    /// The provider took it and will tell.
    Accepted,
    Succeeded,
    Failed,
    /// It had succeeded, and was undone by the provider.
    Reversed,
}

/// A command that was heard, in the order of hearing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    pub key: String,
    pub wants: Wants,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "wants")]
pub enum Wants {
    Authorize { attempt: u32 },
    Capture { shipment: String, amount: Money, last: bool },
    Close { amount: Money },
    Void,
    Refund { label: String, amount: Money, reason: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unexpected {
    pub payment: String,
    pub what: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// The first command told of the tenders, or authorizing begins once more.
    Opened {
        currency: Currency,
        tenders: Vec<Tender>,
    },
    TermsSet {
        payment: String,
        terms: Terms,
    },
    /// A command was heard; `refused` when it was refused there and then.
    Asked {
        ask: Ask,
    },
    Requested {
        payment: String,
        operation: Operation,
    },
    /// An operation came to an end, or its end changed.
    Ended {
        payment: String,
        step: Step,
        intent: String,
        end: OperationEnd,
    },
    PhaseReached {
        phase: Phase,
    },
    ExpiryNear {
        payment: String,
    },
    NewsUnexpected {
        news: Unexpected,
    },
    NewsAcknowledged,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationEnd {
    pub state: OpState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
}

impl Flow for PaymentFlow {
    type State = State;
    type Event = Event;
    const KIND: &'static str = KIND;
    const SCHEMA: u32 = 1;
    const LOGIC: u32 = 1;
    /// Begun by a command of its order only.
    const STARTS: &'static [&'static str] = &[];

    fn hear(state: &State, input: &Input, policy: &Policy, at: Timestamp) -> Heard<Event> {
        let heard = match (state, input) {
            (State::Idle, Input::Command { name, body, key }) => hear::first(name, body, key, policy),
            (State::Idle, _) => Heard::nothing(),
            (State::Open(account), input) => account.hear(input, policy, at),
        };
        with_consequences::<Self>(state, heard, at, |state| match state {
            State::Idle => None,
            State::Open(account) => account.consequence(policy),
        })
    }

    fn apply(state: State, event: &Event, _at: Timestamp) -> State {
        match (state, event) {
            (State::Idle, Event::Opened { currency, tenders }) => State::Open(Box::new(Account {
                currency: *currency,
                phase: Phase::Authorizing,
                attempt: 1,
                tenders: tenders.clone(),
                asks: Vec::new(),
                unexpected: Vec::new(),
            })),
            (State::Idle, _) => State::Idle,
            (State::Open(mut account), event) => {
                account.apply(event);
                State::Open(account)
            }
        }
    }

    /// One arm so far: every process runs under logic 1.
    fn decide(state: &State, policy: &Policy, _logic: u32, _now: Timestamp) -> Plan {
        match state {
            State::Idle => Plan::default(),
            State::Open(account) => account.decide(policy),
        }
    }

    fn reopened(state: &State, step: &str, intent: &str) -> Option<State> {
        let (State::Open(account), Some(step)) = (state, Step::from_name(step)) else { return None };
        let mut account = account.clone();
        let mut operations = account.tenders.iter_mut().flat_map(|tender| &mut tender.operations);
        let operation = operations.find(|op| op.step == step && op.intent == intent && op.state != OpState::Requested)?;
        operation.state = OpState::Requested;
        Some(State::Open(account))
    }

    fn event_name(event: &Event) -> &'static str {
        match event {
            Event::Opened { .. } => "payment.opened",
            Event::TermsSet { .. } => "payment.terms_set",
            Event::Asked { ask: Ask { refused: None, .. } } => "payment.asked",
            Event::Asked { ask: Ask { refused: Some(_), .. } } => "payment.command_refused",
            Event::Requested { .. } => "payment.operation_requested",
            Event::Ended { step, end, .. } => match end.state {
                OpState::Requested | OpState::Accepted => "payment.operation_accepted",
                OpState::Succeeded => step.event(),
                OpState::Failed => "payment.operation_failed",
                OpState::Reversed => "payment.reversed",
            },
            Event::PhaseReached { phase } => match phase {
                Phase::Authorizing => "payment.authorizing",
                Phase::Authorized => "payment.secured",
                Phase::Failing { .. } => "payment.failing",
                Phase::Failed { .. } => "payment.failed",
                Phase::Voiding => "payment.voiding",
                Phase::Voided => "payment.cancelled",
                Phase::Closing { .. } => "payment.closing",
                Phase::Closed { .. } => "payment.closed",
            },
            Event::ExpiryNear { .. } => "payment.authorization_expiring",
            Event::NewsUnexpected { .. } => "payment.news_unexpected",
            Event::NewsAcknowledged => "payment.news_acknowledged",
        }
    }
}

// ---- folding -----------------------------------------------------------------------------------------------------------------

impl Account {
    fn apply(&mut self, event: &Event) {
        match event {
            Event::Opened { currency, tenders } => {
                if matches!(self.phase, Phase::Failed { .. } | Phase::Voided) {
                    self.attempt += 1;
                    self.currency = *currency;
                    self.phase = Phase::Authorizing;
                    self.tenders.clone_from(tenders);
                    // A wish to void was fulfilled; it is not a wish about this attempt.
                    self.asks.retain(|ask| ask.wants != Wants::Void);
                }
            }
            Event::TermsSet { payment, terms } => {
                if let Some(tender) = self.tender_mut(payment) {
                    tender.terms = Some(*terms);
                }
            }
            Event::Asked { ask } => self.apply_ask(ask),
            Event::Requested { payment, operation } => self.apply_request(payment, operation),
            Event::Ended { payment, step, intent, end } => {
                let Some(tender) = self.tender_mut(payment) else { return };
                tender.apply_end(*step, intent, end);
            }
            Event::PhaseReached { phase } => {
                if let Phase::Closing { amount } = phase {
                    rules::settle_due(self, *amount);
                }
                self.phase = phase.clone();
            }
            Event::ExpiryNear { payment } => {
                if let Some(tender) = self.tender_mut(payment) {
                    tender.expiring = true;
                }
            }
            Event::NewsUnexpected { news } => self.unexpected.push(news.clone()),
            Event::NewsAcknowledged => self.unexpected.clear(),
        }
    }

    fn apply_ask(&mut self, ask: &Ask) {
        if self.asks.iter().any(|known| known.key == ask.key) {
            return;
        }
        if ask.refused.is_none() {
            match &ask.wants {
                Wants::Capture { shipment, amount, .. } => {
                    let same = |known: &Ask| {
                        known.refused.is_none() && matches!(&known.wants, Wants::Capture { shipment: s, .. } if s == shipment)
                    };
                    if !self.asks.iter().any(same) {
                        rules::raise_due(self, *amount);
                    }
                }
                // A person settles for less while closing cannot get on.
                Wants::Close { amount } if matches!(self.phase, Phase::Closing { .. }) => {
                    rules::settle_due(self, *amount);
                    self.phase = Phase::Closing { amount: *amount };
                }
                Wants::Close { .. } | Wants::Authorize { .. } | Wants::Void | Wants::Refund { .. } => {}
            }
        }
        self.asks.push(ask.clone());
    }

    /// Puts an operation on record, if the rules allow it. This is the only way in.
    fn apply_request(&mut self, payment: &str, operation: &Operation) {
        if let Some(tender) = self.tender_mut(payment).filter(|tender| tender.allows(operation)) {
            tender.operations.push(operation.clone());
        }
    }

    fn money(&self, amount: Decimal) -> Money {
        Money::new(amount, self.currency)
    }

    fn tender_mut(&mut self, payment: &str) -> Option<&mut Tender> {
        self.tenders.iter_mut().find(|tender| tender.payment == payment)
    }
}

impl Tender {
    /// Whether the rules let an operation in; its name must be new.
    fn allows(&self, operation: &Operation) -> bool {
        let known = self.operations.iter().any(|op| op.step == operation.step && op.intent == operation.intent);
        let allowed = match operation.step {
            Step::VerifyTender | Step::AuthorizeTender | Step::ReauthorizeTender => Ok(()),
            Step::CaptureTender => rules::allow_capture(self, operation.amount),
            Step::VoidTender => rules::allow_void(self),
            Step::RefundTender => rules::allow_refund(self, operation.amount),
        };
        !known && allowed.is_ok()
    }

    fn apply_end(&mut self, step: Step, intent: &str, end: &OperationEnd) {
        let Some(operation) = self.operations.iter_mut().find(|op| op.step == step && op.intent == intent) else { return };
        if !operation.state.may_become(end) {
            return;
        }
        operation.state = end.state;
        operation.skipped = end.skipped;
        operation.code.clone_from(&end.code);
        if end.transaction.is_some() {
            operation.transaction.clone_from(&end.transaction);
        }
        if !step.is_authorization() || !matches!(end.state, OpState::Succeeded | OpState::Accepted) {
            return;
        }
        if let Some(granted) = end.amount {
            // Money in another currency is no money for this order.
            operation.amount = if granted.currency == self.amount.currency { granted } else { Money::zero(self.amount.currency) };
        }
        if end.transaction.is_some() {
            self.transaction.clone_from(&end.transaction);
        }
        self.expires_at = end.expires_at;
        self.expiring = false;
    }
}

impl OpState {
    /// Ends that are news. What succeeded can only be reversed; a failed one may be retried by a person; nothing late moves it back.
    fn may_become(self, end: &OperationEnd) -> bool {
        match (self, end.state) {
            (Self::Requested, Self::Accepted | Self::Succeeded | Self::Failed) => true,
            (Self::Accepted, Self::Succeeded | Self::Failed | Self::Reversed) => true,
            (Self::Succeeded, Self::Reversed) => true,
            (Self::Failed | Self::Reversed, Self::Accepted | Self::Succeeded) => true,
            (Self::Failed | Self::Reversed, Self::Failed) => end.skipped,
            (Self::Requested, Self::Requested | Self::Reversed)
            | (Self::Accepted, Self::Requested | Self::Accepted)
            | (Self::Succeeded, Self::Requested | Self::Accepted | Self::Succeeded | Self::Failed)
            | (Self::Failed | Self::Reversed, Self::Requested | Self::Reversed) => false,
        }
    }
}

impl Step {
    fn is_authorization(self) -> bool {
        match self {
            Self::VerifyTender | Self::AuthorizeTender | Self::ReauthorizeTender => true,
            Self::CaptureTender | Self::VoidTender | Self::RefundTender => false,
        }
    }
}

impl Terms {
    fn of(policy: &TenderPolicy) -> Self {
        Self {
            on_account: policy.system.is_none(),
            verified: policy.authorized_by == AuthorizedBy::Storefront,
            multi_capture: policy.multi_capture,
            reauthorize: policy.reauthorize,
            sale: policy.sale_only,
        }
    }
}

/// What is known of a tender's authorization.
enum Authorization {
    Missing,
    Open,
    Holds,
    Lost { code: String },
}
