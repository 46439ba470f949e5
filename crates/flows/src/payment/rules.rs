//! The rules about money that no path may pass, each one function, and the arithmetic they share.
//!
//! They look at every operation that was ever asked for and has not certainly come to nothing: an open or unclear capture counts as
//! captured, an open refund as refunded. So whatever becomes of them, the sums hold.

use super::{Account, Authorization, OpState, Operation, Step, Tender};
use crossdock_canonical::Money;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// Why something was not allowed, with its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub code: String,
    pub text: String,
}

impl Refusal {
    pub fn new(code: &str, text: impl Into<String>) -> Self {
        Self { code: code.to_owned(), text: text.into() }
    }
}

/// Captured, in all, is at most what was authorized; a tender without `multi_capture` is captured once.
pub fn allow_capture(tender: &Tender, amount: Money) -> Result<(), Refusal> {
    same_currency(tender, amount)?;
    let (granted, captured) = (tender.granted().amount, tender.committed_captures());
    let fits = captured.checked_add(amount.amount).is_some_and(|sum| sum <= granted);
    if !amount.is_positive() || !fits {
        return Err(Refusal::new(
            "capture_over_authorized",
            format!(
                "capture of {amount} on payment {} refused: authorized {granted}, captured or being captured {captured}",
                tender.payment
            ),
        ));
    }
    let once = !tender.terms.is_some_and(|terms| terms.multi_capture);
    if once && captured > Decimal::ZERO {
        return Err(Refusal::new("captured_once", format!("payment {} can be captured once, and was", tender.payment)));
    }
    if tender.is_voided() {
        return Err(Refusal::new("voided", format!("the authorization of payment {} was voided", tender.payment)));
    }
    Ok(())
}

/// Refunded, in all, is at most what was captured for certain.
pub fn allow_refund(tender: &Tender, amount: Money) -> Result<(), Refusal> {
    same_currency(tender, amount)?;
    let refundable = tender.refundable();
    if amount.is_positive() && amount.amount <= refundable {
        return Ok(());
    }
    let text =
        format!("refund of {amount} on payment {} refused: captured and not yet paid back is {refundable}", tender.payment);
    Err(Refusal::new("refund_over_captured", text))
}

/// An authorization of which something was captured, or may be, cannot be voided; where it can be captured in parts, what no capture
/// has let go of can.
pub fn allow_void(tender: &Tender) -> Result<(), Refusal> {
    if tender.on_account() || tender.is_voided() {
        return Err(Refusal::new("nothing_to_void", format!("payment {} has no authorization to void", tender.payment)));
    }
    if (tender.committed_captures() > Decimal::ZERO && !tender.keeps_a_rest())
        || tender.terms.is_some_and(|terms| terms.sale && tender.granted().is_positive())
    {
        return Err(Refusal::new("void_after_capture", format!("payment {} was captured; use refund", tender.payment)));
    }
    // What the storefront authorized is there, whether we looked or not.
    let unseen = matches!(tender.authorization_state(), Authorization::Missing) && tender.transaction.is_some();
    if unseen || tender.granted().is_positive() {
        Ok(())
    } else {
        Err(Refusal::new("nothing_to_void", format!("payment {} has no authorization to void", tender.payment)))
    }
}

/// Whether `amount` more can fall due on the account: [`allow_capture`] for all tenders together.
pub(super) fn allow_due(account: &Account, amount: Money) -> Result<(), Refusal> {
    let (granted, due) = (account.granted(), account.due());
    let fits = due.checked_add(amount.amount).is_some_and(|sum| sum <= granted);
    if amount.currency == account.currency && amount.is_positive() && fits {
        return Ok(());
    }
    let text = format!("capture of {amount} refused: authorized {granted} {}, captured or due {due}", account.currency);
    Err(Refusal::new("capture_over_authorized", text))
}

/// Whether the account can be settled at `amount` in all.
pub(super) fn allow_close(account: &Account, amount: Money) -> Result<(), Refusal> {
    let granted = account.granted();
    if amount.currency == account.currency && amount.amount >= Decimal::ZERO && amount.amount <= granted {
        return Ok(());
    }
    Err(Refusal::new(
        "capture_over_authorized",
        format!("settling at {amount} refused: authorized {granted} {}", account.currency),
    ))
}

/// Whether `amount` can be paid back out of all tenders together: [`allow_refund`] for the account.
pub(super) fn allow_refund_in_all(account: &Account, amount: Money) -> Result<(), Refusal> {
    let refundable: Decimal = account.tenders.iter().map(Tender::refundable).sum();
    if amount.currency == account.currency && amount.is_positive() && amount.amount <= refundable {
        return Ok(());
    }
    let text = format!("refund of {amount} refused: captured and not yet paid back is {refundable} {}", account.currency);
    Err(Refusal::new("refund_over_captured", text))
}

/// Adds `amount` to what is due, on the tenders in their order, as far as each was authorized.
pub(super) fn raise_due(account: &mut Account, amount: Money) {
    let mut open = amount.amount;
    for tender in &mut account.tenders {
        let part = open.min(tender.granted().amount - tender.due).max(Decimal::ZERO);
        tender.due += part;
        open -= part;
    }
}

/// Makes what is due `amount` in all: adds to the first tenders, takes off the last.
pub(super) fn settle_due(account: &mut Account, amount: Money) {
    let target = amount.amount.max(Decimal::ZERO);
    let due = account.due();
    if target >= due {
        raise_due(account, Money::new(target - due, account.currency));
        return;
    }
    let mut too_much = due - target;
    for tender in account.tenders.iter_mut().rev() {
        let part = too_much.min(tender.due);
        tender.due -= part;
        too_much -= part;
    }
}

fn same_currency(tender: &Tender, amount: Money) -> Result<(), Refusal> {
    if tender.amount.currency == amount.currency {
        return Ok(());
    }
    Err(Refusal::new(
        "currency",
        format!("{amount} is not in {}, the currency of payment {}", tender.amount.currency, tender.payment),
    ))
}

impl Account {
    pub(super) fn granted(&self) -> Decimal {
        self.tenders.iter().map(|tender| tender.granted().amount).sum()
    }

    pub(super) fn due(&self) -> Decimal {
        self.tenders.iter().map(|tender| tender.due).sum()
    }
}

impl Tender {
    pub(super) fn on_account(&self) -> bool {
        self.terms.is_some_and(|terms| terms.on_account)
    }

    /// The authorization in force: the last one that was granted, or asked for.
    pub(super) fn authorization(&self) -> Option<&Operation> {
        self.operations.iter().rev().find(|op| op.step.is_authorization() && (op.holds() || op.step != Step::ReauthorizeTender))
    }

    pub(super) fn authorization_state(&self) -> Authorization {
        if self.on_account() {
            return Authorization::Holds;
        }
        let Some(operation) = self.authorization() else { return Authorization::Missing };
        match operation.state {
            OpState::Requested => Authorization::Open,
            OpState::Accepted | OpState::Succeeded
                if operation.amount.amount >= self.amount.amount || operation.step == Step::ReauthorizeTender =>
            {
                Authorization::Holds
            }
            OpState::Accepted | OpState::Succeeded => Authorization::Lost { code: "authorized_too_little".into() },
            OpState::Failed | OpState::Reversed => Authorization::Lost { code: operation.code.clone() },
        }
    }

    /// What was authorized in all, captured parts included.
    pub(super) fn granted(&self) -> Money {
        let zero = Money::zero(self.amount.currency);
        if self.on_account() {
            return self.amount;
        }
        match self.authorization() {
            None => zero,
            Some(operation) if !operation.holds() => {
                Money::new(self.committed_captures(), self.amount.currency).min(self.amount).unwrap_or(zero)
            }
            // A renewed authorization is for what was not captured by then.
            Some(operation) if operation.step == Step::ReauthorizeTender => {
                let before = self.operations.iter().take_while(|op| *op != operation);
                let captured: Decimal =
                    before.filter(|op| op.step == Step::CaptureTender && op.counts()).map(|op| op.amount.amount).sum();
                Money::new(captured + operation.amount.amount, self.amount.currency)
            }
            Some(operation) => operation.amount,
        }
    }

    pub(super) fn captures(&self) -> impl DoubleEndedIterator<Item = &Operation> {
        self.operations.iter().filter(|op| op.step == Step::CaptureTender)
    }

    /// Captured, or possibly captured: everything that has not certainly come to nothing.
    pub(super) fn committed_captures(&self) -> Decimal {
        self.sold() + self.captures().filter(|op| op.counts()).map(|op| op.amount.amount).sum::<Decimal>()
    }

    /// Captures that were ever asked for; a failed one is retried by a person, not asked for anew.
    pub(super) fn asked_captures(&self) -> Decimal {
        self.sold() + self.captures().map(|op| op.amount.amount).sum::<Decimal>()
    }

    /// A sale is captured by being authorized.
    fn sold(&self) -> Decimal {
        if self.terms.is_some_and(|terms| terms.sale) {
            self.authorization().filter(|op| op.holds()).map_or(Decimal::ZERO, |op| op.amount.amount)
        } else {
            Decimal::ZERO
        }
    }

    /// Captured for certain.
    pub(super) fn captured(&self) -> Decimal {
        self.sold() + self.captures().filter(|op| op.holds()).map(|op| op.amount.amount).sum::<Decimal>()
    }

    fn refunded(&self) -> Decimal {
        self.operations.iter().filter(|op| op.step == Step::RefundTender && op.counts()).map(|op| op.amount.amount).sum()
    }

    /// Captured for certain, less every refund that was asked for and has not certainly come to nothing.
    pub(super) fn refundable(&self) -> Decimal {
        (self.captured() - self.refunded()).max(Decimal::ZERO)
    }

    /// Captured, and neither owed nor given back by settling. Refunds by command are a matter of their own and change nothing of it.
    pub(super) fn not_owed(&self) -> Decimal {
        let settled = self.operations.iter().filter(|op| op.step == Step::RefundTender && op.label == "close" && op.counts());
        self.captured() - self.due - settled.map(|op| op.amount.amount).sum::<Decimal>()
    }

    /// Captured in parts, none of them the last, and the rest is still held.
    pub(super) fn keeps_a_rest(&self) -> bool {
        let in_parts = self.terms.is_some_and(|terms| terms.multi_capture && !terms.sale);
        let released = self.captures().any(|op| op.last && op.counts());
        in_parts && !self.is_busy() && !released && self.captured() > Decimal::ZERO && self.uncaptured() > Decimal::ZERO
    }

    /// What a void lets go: the rest, the authorization, or what the storefront says it authorized.
    pub(super) fn voidable(&self) -> Money {
        if self.keeps_a_rest() {
            return Money::new(self.uncaptured(), self.amount.currency);
        }
        let granted = self.granted();
        if granted.is_positive() { granted } else { self.amount }
    }

    /// What of the authorization can still be taken.
    pub(super) fn uncaptured(&self) -> Decimal {
        if self.is_voided() { Decimal::ZERO } else { (self.granted().amount - self.committed_captures()).max(Decimal::ZERO) }
    }

    /// Voided, or being voided.
    pub(super) fn is_voided(&self) -> bool {
        self.operations.iter().any(|op| op.step == Step::VoidTender && (op.counts() || op.skipped))
    }

    pub(super) fn is_busy(&self) -> bool {
        self.operations.iter().any(|op| op.state == OpState::Requested)
    }

    pub(super) fn first_step(&self) -> Step {
        if self.terms.is_some_and(|terms| terms.verified) { Step::VerifyTender } else { Step::AuthorizeTender }
    }

    pub(super) fn next_reauthorization(&self) -> String {
        (self.operations.iter().filter(|op| op.step == Step::ReauthorizeTender).count() + 1).to_string()
    }

    /// The provider would not renew the authorization.
    pub(super) fn lost_reauthorization(&self) -> bool {
        self.operations
            .iter()
            .rev()
            .find(|op| op.step.is_authorization())
            .is_some_and(|op| op.step == Step::ReauthorizeTender && op.state == OpState::Failed)
    }

    /// The operation a provider's news is about: by its own transaction, else the only one of that kind and amount.
    pub(super) fn named_by(&self, steps: &[Step], transaction: Option<&str>, amount: Option<Money>) -> Option<&Operation> {
        let of = || self.operations.iter().filter(|op| steps.contains(&op.step));
        let exact = of().find(|op| op.transaction.is_some() && op.transaction.as_deref() == transaction);
        let alike = || {
            let mut alike = of().filter(|op| amount.is_none_or(|amount| amount == op.amount));
            alike.next().filter(|_| alike.next().is_none())
        };
        exact.or_else(alike)
    }
}

impl Operation {
    /// Has certainly been done.
    pub(super) fn holds(&self) -> bool {
        matches!(self.state, OpState::Accepted | OpState::Succeeded)
    }

    /// Was or may be done. A failed one may be retried by a person, unless he gave up on it.
    pub(super) fn counts(&self) -> bool {
        match self.state {
            OpState::Requested | OpState::Accepted | OpState::Succeeded => true,
            OpState::Failed | OpState::Reversed => !self.skipped,
        }
    }

    /// Nothing more is expected of it.
    pub(super) fn is_through(&self) -> bool {
        self.holds() || self.skipped || (self.step.is_authorization() && self.state != OpState::Requested)
    }
}
