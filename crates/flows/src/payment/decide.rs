//! What the account calls for: one effect an operation, the replies, the expiry timers, and what a person is asked.

use super::{Account, Ask, OpState, Operation, Phase, Refusal, Step, Tender, Wants};
use crate::{Effect, Exception, Plan, Policy, Reply, Status, Summary, Target, Timer, kit::json};
use crossdock_canonical::{Duration, Outcome, Timestamp};
use crossdock_value::{Value, value};
use rust_decimal::Decimal;

pub(super) fn expiry_timer(payment: &str) -> String {
    format!("expiry/{payment}")
}

/// The last capture gives the rest of the authorization back, so it may not overtake one whose end is open.
fn is_capture_under_way(operation: &Operation) -> bool {
    operation.step == Step::CaptureTender && !operation.is_through()
}

impl Account {
    pub(super) fn decide(&self, policy: &Policy) -> Plan {
        let effects = self.effects(policy);
        let exceptions = self.exceptions();
        Plan {
            timers: self.timers(policy),
            replies: self.replies(),
            summary: self.summary(&effects, &exceptions),
            effects,
            exceptions,
        }
    }

    /// Every operation that has not ended; its arguments were fixed when it was put on record.
    fn effects(&self, policy: &Policy) -> Vec<Effect> {
        let mut effects = Vec::new();
        for tender in &self.tenders {
            let Some(terms) = policy.payment.methods.get(&tender.method) else { continue };
            let Some(system) = &terms.system else { continue };
            for (at, operation) in tender.operations.iter().enumerate().filter(|(_, op)| op.state == OpState::Requested) {
                if operation.last && tender.operations[..at].iter().any(is_capture_under_way) {
                    continue;
                }
                effects.push(Effect {
                    step: operation.step.name(),
                    intent: operation.intent.clone(),
                    target: Target::System(system.clone()),
                    operation: operation.step.operation(),
                    args: self.args(tender, operation),
                    deadline: terms.deadline,
                });
            }
        }
        effects
    }

    fn args(&self, tender: &Tender, operation: &Operation) -> Value {
        let mut args = value!({"payment": tender.payment.as_str(), "amount": json(&operation.amount)});
        if let (Some(on), false) = (&operation.on, operation.step == Step::ReauthorizeTender) {
            args.insert("transaction", on.as_str());
        }
        match operation.step {
            Step::VerifyTender => {}
            Step::VoidTender => {
                if tender.captured() > Decimal::ZERO {
                    args.insert("rest", true);
                }
            }
            Step::AuthorizeTender | Step::ReauthorizeTender => {
                args.insert("method", tender.method.as_str());
                if let Some(token) = &tender.token {
                    args.insert("token", token.as_str());
                }
                if let (Some(replaced), Step::ReauthorizeTender) = (&operation.on, operation.step) {
                    args.insert("replaces", replaced.as_str());
                }
                if tender.terms.is_some_and(|terms| terms.sale) {
                    args.insert("sale", true);
                }
            }
            Step::CaptureTender => {
                args.insert("final", operation.last);
            }
            Step::RefundTender => {
                args.insert("reason", self.reason_of(&operation.label));
            }
        }
        args
    }

    fn reason_of(&self, label: &str) -> String {
        let by_command = self.asks.iter().find_map(|ask| match &ask.wants {
            Wants::Refund { label: l, reason, .. } if l == label => Some(reason.clone()),
            _ => None,
        });
        by_command.unwrap_or_else(|| if label == "void" { "cancelled".into() } else { "not_owed".into() })
    }

    /// An authorization is looked after a while before it ends: a seventh of its time, at most a day.
    fn timers(&self, policy: &Policy) -> Vec<Timer> {
        if self.phase != Phase::Authorized {
            return Vec::new();
        }
        let mut timers = Vec::new();
        for tender in self.tenders.iter().filter(|tender| !tender.expiring && tender.uncaptured() > Decimal::ZERO) {
            let (Some(expires), Some(terms)) = (tender.expires_at, policy.payment.methods.get(&tender.method)) else { continue };
            let before = Duration::millis(terms.auth_valid_for.0 / 7).min(Duration::days(1));
            timers.push(Timer { name: expiry_timer(&tender.payment), due: Timestamp((expires - before).0) });
        }
        timers
    }

    // ---- replies ----

    fn replies(&self) -> Vec<Reply> {
        self.asks.iter().filter_map(|ask| Some(Reply { to: ask.key.clone(), outcome: self.outcome_of(ask)? })).collect()
    }

    /// The final answer to a command; none while it is being worked on.
    fn outcome_of(&self, ask: &Ask) -> Option<Outcome> {
        if let Some(Refusal { code, text }) = &ask.refused {
            return Some(Outcome::refused(code, text));
        }
        match &ask.wants {
            Wants::Authorize { attempt } if *attempt != self.attempt => None,
            Wants::Authorize { .. } => match &self.phase {
                Phase::Authorizing | Phase::Failing { .. } | Phase::Voiding => None,
                Phase::Failed { payment, code } => {
                    Some(Outcome::refused(code, format!("payment {payment} was refused; everything else was given back")))
                }
                Phase::Voided => Some(Outcome::refused("voided", "the payment was voided before it was authorized in full")),
                Phase::Authorized | Phase::Closing { .. } | Phase::Closed { .. } => Some(Outcome::done(value!({
                    "authorized": json(&self.money(self.granted())),
                    "tenders": self.tenders.iter().map(authorized).collect::<Value>(),
                    "captured": self.taken_at_accept()
                }))),
            },
            Wants::Capture { shipment, amount, .. } => {
                let parts: Vec<_> = self.labelled(Step::CaptureTender, shipment).collect();
                if !parts.iter().all(|(_, op)| op.is_through()) {
                    return None;
                }
                let asked: Decimal = parts.iter().map(|(_, op)| op.amount.amount).sum();
                Some(Outcome::done(value!({
                    "captured": moved(parts.into_iter()),
                    "deferred": json(&self.money((amount.amount - asked).max(Decimal::ZERO)))
                })))
            }
            Wants::Close { .. } => {
                let Phase::Closed { .. } = &self.phase else { return None };
                let late = self.labelled(Step::CaptureTender, "expiry").chain(self.labelled(Step::CaptureTender, "close"));
                Some(Outcome::done(value!({
                    "captured": moved(late),
                    "refunded": moved(self.labelled(Step::RefundTender, "close"))
                })))
            }
            Wants::Void => match self.phase {
                Phase::Voided | Phase::Failed { .. } => {
                    Some(Outcome::done(value!({"refunded": moved(self.labelled(Step::RefundTender, "void"))})))
                }
                Phase::Authorizing
                | Phase::Authorized
                | Phase::Failing { .. }
                | Phase::Voiding
                | Phase::Closing { .. }
                | Phase::Closed { .. } => None,
            },
            Wants::Refund { label, amount, .. } => {
                let parts: Vec<_> = self.labelled(Step::RefundTender, label).collect();
                let asked: Decimal = parts.iter().map(|(_, op)| op.amount.amount).sum();
                let through = asked >= amount.amount && parts.iter().all(|(_, op)| op.is_through());
                through.then(|| Outcome::done(value!({"refunded": moved(parts.into_iter())})))
            }
        }
    }

    fn labelled<'a>(&'a self, step: Step, label: &'a str) -> impl Iterator<Item = (&'a Tender, &'a Operation)> {
        let all = self.tenders.iter().flat_map(|tender| tender.operations.iter().map(move |op| (tender, op)));
        all.filter(move |(_, op)| op.step == step && op.label == label)
    }

    /// Sales, and captures at accept.
    fn taken_at_accept(&self) -> Value {
        let sales = self.tenders.iter().filter(|tender| tender.terms.is_some_and(|terms| terms.sale) && !tender.on_account());
        let sales = sales.filter_map(|tender| Some((tender, tender.authorization().filter(|op| op.holds())?)));
        moved(sales.chain(self.labelled(Step::CaptureTender, "accept")))
    }

    // ---- for people ----

    fn exceptions(&self) -> Vec<Exception> {
        let mut found = Vec::new();
        for tender in &self.tenders {
            let payment = &tender.payment;
            if tender.terms.is_none() {
                let cause = format!("The market has no policy for the payment method of payment {payment}.");
                found.push(exception(
                    format!("unknown_method/{payment}"),
                    "misconfigured",
                    None,
                    cause,
                    "Add the method to the payment policy and repin.",
                ));
            }
            if tender.expiring && self.phase == Phase::Authorized && tender.uncaptured() > Decimal::ZERO && !tender.is_busy() {
                let until = tender.expires_at.map(|at| at.to_string()).unwrap_or_default();
                let open = self.money(tender.uncaptured());
                let cause = format!("The authorization of payment {payment} ends at {until}; {open} of it are not captured.");
                found.push(exception(
                    format!("auth_expiring/{payment}"),
                    "auth_expiring",
                    None,
                    cause,
                    "Ship before it ends, ask for another payment, or cancel the rest.",
                ));
            }
            let short = tender.due - tender.asked_captures();
            let now = matches!(self.phase, Phase::Closing { .. }) || tender.terms.is_some_and(|terms| terms.multi_capture);
            if now && !tender.on_account() && short > Decimal::ZERO && !tender.is_busy() {
                let cause = format!("{} are owed on payment {payment} and can no longer be captured.", self.money(short));
                found.push(exception(
                    format!("auth_lost/{payment}"),
                    "auth_lost",
                    None,
                    cause,
                    "Collect it another way, then give `close` with what was captured.",
                ));
            }
            for operation in &tender.operations {
                found.extend(trouble(payment, operation));
            }
        }
        for (at, news) in self.unexpected.iter().enumerate() {
            let amount = news.amount.map(|amount| format!(" {amount}")).unwrap_or_default();
            let cause = format!(
                "The provider tells of `{}`{amount} on payment {}, which nobody here asked for.",
                news.what, news.payment
            );
            found.push(exception(
                format!("unexpected/{at}"),
                "payment_unexpected",
                None,
                cause,
                "Find out who did it, then give `acknowledge`.",
            ));
        }
        found
    }

    fn summary(&self, effects: &[Effect], exceptions: &[Exception]) -> Summary {
        let (stage, status) = match &self.phase {
            Phase::Authorizing => ("authorizing", Status::Open),
            Phase::Authorized if self.tenders.iter().any(|tender| tender.captured() > Decimal::ZERO) => {
                ("part_captured", Status::Open)
            }
            Phase::Authorized => ("authorized", Status::Open),
            Phase::Failing { .. } => ("failing", Status::Open),
            Phase::Failed { .. } => ("failed", Status::Failed),
            Phase::Voiding => ("voiding", Status::Open),
            Phase::Voided => ("voided", Status::Cancelled),
            Phase::Closing { .. } => ("closing", Status::Open),
            Phase::Closed { .. } => ("closed", Status::Closed),
        };
        let waiting_for = match (exceptions.first(), effects.first()) {
            (Some(exception), _) => format!("person: {}", exception.class),
            (None, Some(Effect { target: Target::System(system), step, intent, .. })) => format!("{system}: {step} {intent}"),
            (None, _) if self.phase == Phase::Authorized => "order: capture, void or close".to_owned(),
            (None, _) => String::new(),
        };
        Summary { stage: stage.into(), status, waiting_for }
    }
}

/// What is wrong with one operation.
fn trouble(payment: &str, operation: &Operation) -> Option<Exception> {
    let step = Some((operation.step, operation.intent.as_str()));
    let name = |kind: &str| format!("{kind}/{}/{}", operation.step.name(), operation.intent);
    let (amount, code) = (operation.amount, &operation.code);
    if operation.skipped {
        return None;
    }
    if operation.state == OpState::Reversed {
        let cause = format!(
            "{} of {amount} on payment {payment} had succeeded and was undone by the provider ({code}).",
            operation.step.name()
        );
        return Some(exception(
            name("reversed"),
            "payment_reversed",
            step,
            cause,
            "Retry it, collect the money another way and skip, or cancel the order.",
        ));
    }
    if operation.state != OpState::Failed {
        return None;
    }
    let (class, suggestion) = match operation.step {
        Step::CaptureTender => ("capture_refused", "Retry; or collect the money another way and skip with a reason."),
        Step::RefundTender => ("refund_refused", "Retry; or pay back another way and skip with a reason."),
        Step::VoidTender => ("compensation_refused", "Void it at the provider and skip with a reason, or retry."),
        // The flow acts on these itself.
        Step::VerifyTender | Step::AuthorizeTender | Step::ReauthorizeTender => return None,
    };
    Some(exception(
        name("refused"),
        class,
        step,
        format!("The provider refused {} of {amount} on payment {payment} ({code}).", operation.step.name()),
        suggestion,
    ))
}

fn exception(name: String, class: &str, step: Option<(Step, &str)>, cause: String, suggestion: &str) -> Exception {
    Exception {
        name,
        class: class.into(),
        step: step.map(|(step, _)| step.name().to_owned()),
        intent: step.map(|(_, intent)| intent.to_owned()),
        cause,
        suggestion: suggestion.into(),
    }
}

fn authorized(tender: &Tender) -> Value {
    let mut entry = value!({"payment": tender.payment.as_str(), "amount": json(&tender.granted())});
    if let Some(transaction) = &tender.transaction {
        entry.insert("transaction", transaction.as_str());
    }
    if let Some(expires) = &tender.expires_at {
        entry.insert("expires_at", json(expires));
    }
    entry
}

/// Money that moved, as replies carry it. What a person gave up on did not move.
fn moved<'a>(operations: impl Iterator<Item = (&'a Tender, &'a Operation)>) -> Value {
    let entry = |(tender, operation): (&Tender, &Operation)| {
        let mut entry = value!({"payment": tender.payment.as_str(), "amount": json(&operation.amount)});
        if let Some(transaction) = operation.transaction.as_ref().or(operation.on.as_ref()) {
            entry.insert("transaction", transaction.as_str());
        }
        entry
    };
    operations.filter(|(_, operation)| operation.holds()).map(entry).collect()
}
