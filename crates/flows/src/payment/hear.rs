//! What an account hears: commands, the ends of operations, news of providers. Commands are judged here, against the rules; a refused
//! one is on record too, because whoever gave it waits for a reply.

use super::{
    Account, Ask, Event, OpState, Operation, OperationEnd, Phase, Step, Tender, Terms, Unexpected, Wants, decide,
    rules::{self, Refusal},
};
use crate::{
    Answer, Heard, Input, Policy,
    kit::{code_of, field, reason_word},
    order::SoldTender,
};
use crossdock_canonical::{Currency, Money, OutcomeClass, Timestamp, payment::Tender as Kind};
use crossdock_value::Value;
use rust_decimal::Decimal;

/// The first command brings the tenders: to authorize them, or to void what the storefront authorized.
pub(super) fn first(name: &str, body: &Value, key: &str, policy: &Policy) -> Heard<Event> {
    let wants = match name {
        "authorize" => Wants::Authorize { attempt: 1 },
        "void" => Wants::Void,
        _ => {
            return refuse_first(
                key,
                Wants::Void,
                Refusal::new("not_authorized", format!("`{name}` needs an authorized payment")),
            );
        }
    };
    match read_tenders(body, policy) {
        Ok((currency, tenders)) => {
            let ask = Ask { key: key.to_owned(), wants, refused: None };
            Heard::taken(vec![Event::Opened { currency, tenders }, Event::Asked { ask }])
        }
        Err(text) => refuse_first(key, wants, Refusal::new("bad_tenders", text)),
    }
}

/// A first command that makes no sense opens an account without money: whoever asked waits for a reply.
fn refuse_first(key: &str, wants: Wants, refusal: Refusal) -> Heard<Event> {
    let Refusal { code, text } = refusal.clone();
    let phase = Phase::Failed { payment: String::new(), code: code.clone() };
    let ask = Ask { key: key.to_owned(), wants, refused: Some(refusal) };
    let nothing = Event::Opened { currency: "XXX".parse().expect("the code for no currency"), tenders: Vec::new() };
    Heard {
        events: vec![nothing, Event::PhaseReached { phase }, Event::Asked { ask }],
        answer: Some(Answer::Refused { code, text }),
    }
}

fn read_tenders(body: &Value, policy: &Policy) -> Result<(Currency, Vec<Tender>), String> {
    let currency: Currency = field(body, "currency").ok_or("`currency` is missing")?;
    let sold: Vec<SoldTender> =
        crossdock_value::from_value(body.get("tenders")).map_err(|error| format!("`tenders`: {error}"))?;
    let mut tenders: Vec<Tender> = Vec::new();
    for tender in sold {
        if tender.amount.currency != currency {
            return Err(format!("payment {} is in {}, the order in {currency}", tender.payment, tender.amount.currency));
        }
        if tender.amount.amount < Decimal::ZERO || tenders.iter().any(|known| known.payment == tender.payment) {
            return Err(format!("payment {} is negative or there twice", tender.payment));
        }
        tenders.push(Tender {
            terms: policy.payment.methods.get(&tender.method).map(Terms::of),
            payment: tender.payment,
            method: tender.method,
            kind: tender.kind,
            amount: tender.amount,
            transaction: tender.transaction,
            token: tender.token,
            expires_at: None,
            expiring: false,
            due: Decimal::ZERO,
            operations: Vec::new(),
        });
    }
    // What a gift card covers need not be authorized elsewhere, and it is the easiest to give back.
    tenders.sort_by_key(|tender| tender.kind != Kind::GiftCard);
    Ok((currency, tenders))
}

impl Account {
    pub(super) fn hear(&self, input: &Input, policy: &Policy, at: Timestamp) -> Heard<Event> {
        match input {
            Input::Command { name, body, key } => self.hear_command(name, body, key, policy),
            Input::Message { kind, body, .. } if kind == "payment.notice" => {
                Heard::events(self.hear_notice(body).into_iter().collect())
            }
            Input::Message { .. } => Heard::nothing(),
            Input::Timer { name } => {
                let due = self.tenders.iter().find(|tender| decide::expiry_timer(&tender.payment) == *name && !tender.expiring);
                Heard::events(due.map(|tender| Event::ExpiryNear { payment: tender.payment.clone() }).into_iter().collect())
            }
            Input::Settled { step, intent, outcome } => {
                let state = match outcome.class {
                    OutcomeClass::Done if outcome.evidence.get("state").as_str() == Some("accepted") => OpState::Accepted,
                    OutcomeClass::Done => OpState::Succeeded,
                    OutcomeClass::Refused => OpState::Failed,
                    OutcomeClass::Reversed => OpState::Reversed,
                    OutcomeClass::Accepted | OutcomeClass::Retry | OutcomeClass::Unknown | OutcomeClass::Misconfigured => {
                        return Heard::nothing();
                    }
                };
                let valid_for = |tender: &Tender| policy.payment.methods.get(&tender.method).map(|terms| terms.auth_valid_for);
                let ended = self.operation(step, intent).map(|(tender, operation)| {
                    let succeeded = matches!(state, OpState::Succeeded | OpState::Accepted);
                    let expires = succeeded && operation.step.is_authorization();
                    let default = || valid_for(tender).map(|valid| at + valid);
                    let end = OperationEnd {
                        state,
                        amount: field(&outcome.evidence, "amount"),
                        transaction: field(&outcome.evidence, "transaction"),
                        expires_at: if expires { field(&outcome.evidence, "expires_at").or_else(default) } else { None },
                        code: if succeeded { String::new() } else { code_of(outcome) },
                        skipped: false,
                    };
                    self.ended(tender, operation, end)
                });
                Heard::events(ended.filter(|event| self.is_news(event)).into_iter().collect())
            }
            // Every operation is named until it has ended, or is named again later.
            Input::Withdrawn { .. } => Heard::nothing(),
            Input::Skipped { step, intent, .. } => {
                let ended = self.operation(step, intent).map(|(tender, operation)| {
                    // An authorization a person vouches for counts; money he gave up on does not.
                    let state = if operation.step.is_authorization() { OpState::Succeeded } else { OpState::Failed };
                    let end = OperationEnd {
                        state,
                        amount: None,
                        transaction: None,
                        expires_at: None,
                        code: "skipped".into(),
                        skipped: true,
                    };
                    self.ended(tender, operation, end)
                });
                Heard::events(ended.filter(|event| self.is_news(event)).into_iter().collect())
            }
        }
    }

    fn ended(&self, tender: &Tender, operation: &Operation, end: OperationEnd) -> Event {
        Event::Ended { payment: tender.payment.clone(), step: operation.step, intent: operation.intent.clone(), end }
    }

    fn operation(&self, step: &str, intent: &str) -> Option<(&Tender, &Operation)> {
        let step = Step::from_name(step)?;
        let all = self.tenders.iter().flat_map(|tender| tender.operations.iter().map(move |operation| (tender, operation)));
        all.into_iter().find(|(_, operation)| operation.step == step && operation.intent == intent)
    }

    fn hear_command(&self, name: &str, body: &Value, key: &str, policy: &Policy) -> Heard<Event> {
        if self.asks.iter().any(|ask| ask.key == key) {
            return Heard::taken(Vec::new());
        }
        if name == "acknowledge" {
            return Heard::taken(vec![Event::NewsAcknowledged]);
        }
        if name == "authorize" && matches!(self.phase, Phase::Failed { .. } | Phase::Voided) {
            return self.authorize_again(body, key, policy);
        }
        let amount =
            || field::<Money>(body, "amount").ok_or_else(|| Refusal::new("bad_amount", "`amount` is missing or no money"));
        let asked: Result<(Wants, Result<(), Refusal>), Refusal> = match name {
            "authorize" => Ok((Wants::Authorize { attempt: self.attempt }, Ok(()))),
            "capture" => amount().map(|amount| {
                let shipment = body.get("shipment").as_str().unwrap_or("shipment").to_owned();
                let wants =
                    Wants::Capture { shipment: shipment.clone(), amount, last: body.get("final").as_bool().unwrap_or(false) };
                (wants, self.may_capture(&shipment, amount))
            }),
            "close" => amount().map(|amount| (Wants::Close { amount }, self.may_close(amount))),
            "void" => Ok((Wants::Void, self.may_void())),
            "refund" => amount().map(|amount| {
                let refunds = self.asks.iter().filter(|ask| matches!(ask.wants, Wants::Refund { .. })).count();
                let label = format!("r{}", refunds + 1);
                let reason = reason_word(body, "requested");
                (Wants::Refund { label, amount, reason }, self.may_refund(amount))
            }),
            _ => Err(Refusal::new("unknown_command", "a payment takes authorize, capture, close, void, refund and acknowledge")),
        };
        match asked {
            Err(refusal) => Heard::refused(&refusal.code, refusal.text),
            Ok((wants, verdict)) => {
                let answer = match &verdict {
                    Ok(()) => Answer::Taken,
                    Err(refusal) => Answer::Refused { code: refusal.code.clone(), text: refusal.text.clone() },
                };
                // A refused command is on record as well: the process that gave it waits for a reply.
                let ask = Ask { key: key.to_owned(), wants, refused: verdict.err() };
                Heard { events: vec![Event::Asked { ask }], answer: Some(answer) }
            }
        }
    }

    fn authorize_again(&self, body: &Value, key: &str, policy: &Policy) -> Heard<Event> {
        let wants = Wants::Authorize { attempt: self.attempt + 1 };
        match read_tenders(body, policy) {
            Ok((currency, tenders)) => {
                let ask = Ask { key: key.to_owned(), wants, refused: None };
                Heard::taken(vec![Event::Opened { currency, tenders }, Event::Asked { ask }])
            }
            Err(text) => {
                let refused = Some(Refusal::new("bad_tenders", text.clone()));
                let ask = Ask { key: key.to_owned(), wants, refused };
                Heard { events: vec![Event::Asked { ask }], answer: Some(Answer::Refused { code: "bad_tenders".into(), text }) }
            }
        }
    }

    fn may_capture(&self, shipment: &str, amount: Money) -> Result<(), Refusal> {
        let known = self
            .asks
            .iter()
            .any(|ask| ask.refused.is_none() && matches!(&ask.wants, Wants::Capture { shipment: s, .. } if s == shipment));
        match self.phase {
            // The same shipment asked for again (a retry of the order's effect) is the same capture.
            Phase::Authorized | Phase::Closing { .. } | Phase::Closed { .. } if known => Ok(()),
            Phase::Authorized => rules::allow_due(self, amount),
            Phase::Closing { .. } | Phase::Closed { .. } => {
                Err(Refusal::new("already_closed", "the payment was settled; nothing more is captured"))
            }
            Phase::Authorizing | Phase::Failing { .. } | Phase::Failed { .. } | Phase::Voiding | Phase::Voided => {
                Err(Refusal::new("not_authorized", "the payment is not authorized"))
            }
        }
    }

    fn may_close(&self, amount: Money) -> Result<(), Refusal> {
        match &self.phase {
            Phase::Authorized | Phase::Closing { .. } => rules::allow_close(self, amount),
            Phase::Closed { amount: closed } if *closed == amount => Ok(()),
            Phase::Closed { amount: closed } => {
                Err(Refusal::new("already_closed", format!("the payment was settled at {closed}; use refund")))
            }
            Phase::Authorizing | Phase::Failing { .. } | Phase::Failed { .. } | Phase::Voiding | Phase::Voided => {
                Err(Refusal::new("not_authorized", "the payment is not authorized"))
            }
        }
    }

    fn may_void(&self) -> Result<(), Refusal> {
        match self.phase {
            Phase::Closing { .. } | Phase::Closed { .. } => {
                Err(Refusal::new("already_closed", "the payment was settled; use refund"))
            }
            Phase::Authorizing
            | Phase::Authorized
            | Phase::Failing { .. }
            | Phase::Failed { .. }
            | Phase::Voiding
            | Phase::Voided => Ok(()),
        }
    }

    fn may_refund(&self, amount: Money) -> Result<(), Refusal> {
        match self.phase {
            Phase::Authorized | Phase::Closed { .. } => rules::allow_refund_in_all(self, amount),
            Phase::Closing { .. } => Err(Refusal::new("closing", "the payment is being settled; ask again when it is closed")),
            Phase::Authorizing | Phase::Failing { .. } | Phase::Failed { .. } | Phase::Voiding | Phase::Voided => {
                Err(Refusal::new("refund_over_captured", "nothing is captured"))
            }
        }
    }

    /// Late news of the provider. It confirms what waits for confirmation, or reverses what had succeeded; what an open effect will
    /// tell anyway is left to that effect.
    fn hear_notice(&self, body: &Value) -> Option<Event> {
        let payment = body.get("payment").as_str()?;
        let (event, amount) = (body.get("event").as_str()?, field::<Money>(body, "amount"));
        let transaction = body.get("transaction").as_str();
        let unexpected = || {
            let news = Unexpected { payment: payment.chars().take(64).collect(), what: event.chars().take(32).collect(), amount };
            (!self.unexpected.contains(&news) && self.unexpected.len() < 20).then_some(Event::NewsUnexpected { news })
        };
        let Some(tender) = self.tenders.iter().find(|tender| tender.payment == payment) else { return unexpected() };
        let end = |state, code: &str| OperationEnd {
            state,
            amount: None,
            transaction: transaction.map(str::to_owned),
            expires_at: None,
            code: code.to_owned(),
            skipped: false,
        };
        let of = |steps: &[Step]| tender.named_by(steps, transaction, amount);
        let told = |found: Option<&Operation>| match found {
            Some(operation) if operation.state == OpState::Accepted => {
                Some(self.ended(tender, operation, end(OpState::Succeeded, "")))
            }
            Some(_) => None,
            None => unexpected(),
        };
        match event {
            "authorized" => None,
            "captured" if tender.terms.is_some_and(|terms| terms.sale) => None,
            "captured" => told(of(&[Step::CaptureTender])),
            "refunded" => told(of(&[Step::RefundTender])),
            "voided" if tender.operations.iter().any(|op| op.step == Step::VoidTender && op.state != OpState::Failed) => {
                told(of(&[Step::VoidTender]))
            }
            // Voided by nobody here: the provider let the authorization go.
            "voided" => tender
                .authorization()
                .map(|operation| self.ended(tender, operation, end(OpState::Reversed, "voided_by_provider"))),
            "failed" => {
                let found = of(&[Step::CaptureTender, Step::RefundTender]).or_else(|| tender.authorization());
                found.map(|operation| self.ended(tender, operation, end(OpState::Reversed, "failed_at_provider")))
            }
            _ => None,
        }
        .filter(|event| self.is_news(event))
    }

    /// Whether an end would change anything.
    fn is_news(&self, event: &Event) -> bool {
        match event {
            Event::Ended { payment, step, intent, end } => self
                .tenders
                .iter()
                .filter(|tender| tender.payment == *payment)
                .flat_map(|tender| &tender.operations)
                .any(|operation| operation.step == *step && operation.intent == *intent && operation.state.may_become(end)),
            _ => true,
        }
    }
}
