//! What follows by itself: from where the account stands, the next operation to ask for, or the next phase. Every operation made here
//! has passed the rules, and passes them again when it is folded.

use super::{Account, Authorization, Event, OpState, Operation, Phase, Step, Tender, Terms, Wants};
use crate::{Policy, policy::CaptureWhen};
use crossdock_canonical::Money;
use rust_decimal::Decimal;

impl Account {
    /// The next event that follows from where the account stands: one operation, or the next phase.
    pub(super) fn consequence(&self, policy: &Policy) -> Option<Event> {
        let nameless = self.tenders.iter().find(|tender| tender.terms.is_none());
        if let Some(tender) = nameless {
            let terms = Terms::of(policy.payment.methods.get(&tender.method)?);
            return Some(Event::TermsSet { payment: tender.payment.clone(), terms });
        }
        match &self.phase {
            Phase::Authorizing => self.authorize_next(policy),
            Phase::Authorized => self.capture_next(),
            Phase::Failing { payment, code } => {
                let failed = || Phase::Failed { payment: payment.clone(), code: code.clone() };
                self.give_back("void").or_else(|| self.when_quiet("void", failed))
            }
            Phase::Voiding => self.give_back("void").or_else(|| self.when_quiet("void", || Phase::Voided)),
            // An authorization that comes too late is given back as well.
            Phase::Failed { .. } | Phase::Voided => self.give_back("void"),
            Phase::Closing { amount } => self.settle_next().or_else(|| self.close_when_settled(*amount)),
            Phase::Closed { .. } => self.refund_next(),
        }
    }

    fn authorize_next(&self, policy: &Policy) -> Option<Event> {
        if self.is_wanted(&Wants::Void) {
            return if self.is_busy() { None } else { Some(Event::PhaseReached { phase: Phase::Voiding }) };
        }
        for tender in &self.tenders {
            match tender.authorization_state() {
                Authorization::Holds => {}
                Authorization::Open => return None,
                Authorization::Missing => return self.request(tender, tender.first_step(), "authorize", tender.amount, false),
                Authorization::Lost { code } => {
                    return Some(Event::PhaseReached { phase: Phase::Failing { payment: tender.payment.clone(), code } });
                }
            }
        }
        // Capturing at accept belongs to authorizing: the reply tells of both.
        if policy.payment.capture == CaptureWhen::Accept {
            let open = self.tenders.iter().find(|tender| tender.amount.amount > tender.asked_captures() && !tender.on_account());
            if let Some(tender) = open {
                let amount = self.money(tender.amount.amount - tender.asked_captures());
                return self.request(tender, Step::CaptureTender, "accept", amount, true);
            }
            if !self.tenders.iter().flat_map(|tender| &tender.operations).all(Operation::is_through) {
                return None;
            }
        }
        Some(Event::PhaseReached { phase: Phase::Authorized })
    }

    fn capture_next(&self) -> Option<Event> {
        if self.is_wanted(&Wants::Void) {
            return if self.is_busy() { None } else { Some(Event::PhaseReached { phase: Phase::Voiding }) };
        }
        let close = self.asks.iter().rev().find_map(|ask| match (&ask.wants, &ask.refused) {
            (Wants::Close { amount }, None) => Some(*amount),
            _ => None,
        });
        if let Some(amount) = close {
            return if self.is_busy() { None } else { Some(Event::PhaseReached { phase: Phase::Closing { amount } }) };
        }
        if let Some(event) = self.refund_next() {
            return Some(event);
        }
        self.tenders.iter().filter(|tender| !tender.on_account()).find_map(|tender| self.capture_next_of(tender))
    }

    fn capture_next_of(&self, tender: &Tender) -> Option<Event> {
        let open = self.money(tender.due - tender.asked_captures());
        let (label, last) = self.last_capture();
        if open.is_positive() && tender.terms.is_some_and(|terms| terms.multi_capture) {
            // On record at once, so that the answer to the command waits for it; `decide` holds the last one back behind others.
            return self.request(tender, Step::CaptureTender, &label, open, last);
        }
        if !tender.expiring || tender.is_busy() || tender.uncaptured() <= Decimal::ZERO {
            return None;
        }
        if tender.terms.is_some_and(|terms| terms.reauthorize) && !tender.lost_reauthorization() {
            let rest = self.money(tender.uncaptured());
            return self.request(tender, Step::ReauthorizeTender, &tender.next_reauthorization(), rest, false);
        }
        // The money of what has shipped is made sure of; the rest is for a person.
        open.is_positive().then(|| self.request(tender, Step::CaptureTender, "expiry", open, true)).flatten()
    }

    /// Undoes every tender: void what was only authorized, pay back what was taken.
    fn give_back(&self, label: &str) -> Option<Event> {
        let tenders = self.tenders.iter().rev().filter(|tender| !tender.on_account() && !tender.is_busy());
        tenders.into_iter().find_map(|tender| {
            let taken = self.money(tender.refundable());
            let refund = taken.is_positive().then(|| self.request(tender, Step::RefundTender, label, taken, false)).flatten();
            refund.or_else(|| self.request(tender, Step::VoidTender, label, tender.voidable(), false))
        })
    }

    /// Brings each tender to what is owed: captures what is missing, pays back what is too much, voids what is not needed.
    fn settle_next(&self) -> Option<Event> {
        self.tenders.iter().filter(|tender| !tender.on_account()).find_map(|tender| {
            let missing = self.money(tender.due - tender.asked_captures());
            if missing.is_positive() {
                return self.request(tender, Step::CaptureTender, "close", missing, true);
            }
            let too_much = self.money(tender.not_owed().min(tender.refundable()));
            if too_much.is_positive() && !tender.is_busy() {
                return self.request(tender, Step::RefundTender, "close", too_much, false);
            }
            let unused = tender.due.is_zero() || tender.keeps_a_rest();
            unused.then(|| self.request(tender, Step::VoidTender, "close", tender.voidable(), false)).flatten()
        })
    }

    fn close_when_settled(&self, amount: Money) -> Option<Event> {
        let settled = self.tenders.iter().all(|tender| tender.on_account() || tender.asked_captures() >= tender.due);
        let quiet = self.tenders.iter().all(|tender| tender.operations.iter().all(Operation::is_through));
        (settled && quiet).then_some(Event::PhaseReached { phase: Phase::Closed { amount } })
    }

    /// Refunds by command, the last tender first: a card before a gift card.
    fn refund_next(&self) -> Option<Event> {
        for ask in self.asks.iter().filter(|ask| ask.refused.is_none()) {
            let Wants::Refund { label, amount, .. } = &ask.wants else { continue };
            let part = |op: &&Operation| op.label == *label;
            let asked: Decimal = self.tenders.iter().flat_map(|t| &t.operations).filter(part).map(|op| op.amount.amount).sum();
            let open = amount.amount - asked;
            let from = self
                .tenders
                .iter()
                .rev()
                .find(|t| t.refundable() > Decimal::ZERO && !t.operations.iter().any(|op| op.label == *label));
            if let (true, Some(tender)) = (open > Decimal::ZERO, from) {
                return self.request(tender, Step::RefundTender, label, self.money(open.min(tender.refundable())), false);
            }
        }
        None
    }

    fn when_quiet(&self, label: &str, phase: impl FnOnce() -> Phase) -> Option<Event> {
        let through = |op: &Operation| op.label != label || op.is_through();
        let quiet = !self.is_busy() && self.tenders.iter().flat_map(|tender| &tender.operations).all(through);
        quiet.then(|| Event::PhaseReached { phase: phase() })
    }

    /// The event that puts an operation on record; none when a rule forbids it.
    fn request(&self, tender: &Tender, step: Step, label: &str, amount: Money, last: bool) -> Option<Event> {
        let base = if self.attempt == 1 { tender.payment.clone() } else { format!("{}~{}", tender.payment, self.attempt) };
        let intent = match step {
            Step::VerifyTender | Step::AuthorizeTender | Step::VoidTender => base,
            Step::ReauthorizeTender | Step::CaptureTender | Step::RefundTender => format!("{base}/{label}"),
        };
        let on = match step {
            // A refund names the capture it gives back, where the provider gave it a name.
            Step::RefundTender => {
                tender.captures().rev().find_map(|op| op.transaction.clone()).or_else(|| tender.transaction.clone())
            }
            Step::VerifyTender | Step::AuthorizeTender | Step::ReauthorizeTender | Step::CaptureTender | Step::VoidTender => {
                tender.transaction.clone()
            }
        };
        let operation = Operation {
            step,
            intent,
            label: label.to_owned(),
            amount,
            state: OpState::Requested,
            on,
            transaction: None,
            last,
            skipped: false,
            code: String::new(),
        };
        tender.allows(&operation).then(|| Event::Requested { payment: tender.payment.clone(), operation })
    }

    fn is_busy(&self) -> bool {
        self.tenders.iter().any(Tender::is_busy)
    }

    fn is_wanted(&self, wants: &Wants) -> bool {
        self.asks.iter().any(|ask| ask.refused.is_none() && ask.wants == *wants)
    }

    /// The shipment captured last, and whether nothing follows it.
    fn last_capture(&self) -> (String, bool) {
        let last = self.asks.iter().rev().find_map(|ask| match (&ask.wants, &ask.refused) {
            (Wants::Capture { shipment, last, .. }, None) => Some((shipment.clone(), *last)),
            _ => None,
        });
        last.unwrap_or_else(|| ("shipment".to_owned(), false))
    }
}
