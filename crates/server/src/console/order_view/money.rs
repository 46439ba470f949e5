//! The money of an order: what its payment process has on record.

use super::{Told, list, money, shown, state};
use crate::console::{draw::MoneyBar, words};
use crossdock_canonical::Money;
use crossdock_value::Value;

/// Authorized, captured, still to capture, refunded: always all four.
pub struct MoneyView {
    pub currency: String,
    pub authorized: String,
    pub captured: String,
    pub open: String,
    pub refunded: String,
    pub bar: MoneyBar,
    pub tenders: Vec<Tender>,
}

pub struct Tender {
    pub name: String,
    pub sold: String,
    pub captured: String,
}

/// What providers confirmed of one tender.
#[derive(Clone, Copy)]
struct Sums {
    authorized: Money,
    captured: Money,
    refunded: Money,
    /// What is authorized may still be captured.
    stands: bool,
}

impl Sums {
    /// Sums the succeeded operations of a tender. A new authorization replaces the one before; a void ends it; a sale is a
    /// capture at once.
    fn of(tender: &Value, zero: Money) -> Self {
        let mut sums = Self { authorized: zero, captured: zero, refunded: zero, stands: false };
        let sale = tender.at("terms.sale").as_bool() == Some(true);
        for operation in list(tender.get("operations")) {
            let Some(amount) = money(operation.get("amount")) else { continue };
            if operation.get("state").as_str() != Some("succeeded") {
                continue;
            }
            match operation.get("step").as_str().unwrap_or_default() {
                "verify-tender" | "authorize-tender" | "reauthorize-tender" => {
                    (sums.authorized, sums.stands) = (amount, !sale);
                    if sale {
                        sums.captured = amount;
                    }
                }
                "capture-tender" => sums.captured = sums.captured.plus(amount).unwrap_or(sums.captured),
                "refund-tender" => sums.refunded = sums.refunded.plus(amount).unwrap_or(sums.refunded),
                "void-tender" => sums.stands = false,
                _ => {}
            }
            if operation.get("last").as_bool() == Some(true) {
                sums.stands = false;
            }
        }
        sums
    }

    fn plus(self, other: &Self) -> Self {
        let add = |a: Money, b: Money| a.plus(b).unwrap_or(a);
        Self {
            authorized: add(self.authorized, other.authorized),
            captured: add(self.captured, other.captured),
            refunded: add(self.refunded, other.refunded),
            stands: self.stands || other.stands,
        }
    }

    fn open(&self, zero: Money) -> Money {
        let open = self.authorized.minus(self.captured).unwrap_or(zero);
        if self.stands && open.is_positive() { open } else { zero }
    }
}

/// What the providers confirmed, summed from the payment process's own record of its operations.
pub fn money_view(order: &Told<'_>, payment: Option<&Told<'_>>) -> Option<MoneyView> {
    let sold = state(order.detail);
    let total = money(sold.at("sold.total"))?;
    let zero = Money::zero(total.currency);
    let account = payment.map_or(Value::Null, |payment| state(payment.detail));
    let tenders = list(account.get("tenders"));
    // Before the payment process began there is only what was sold.
    let tenders = if tenders.is_empty() { list(sold.at("sold.tenders")) } else { tenders };
    let sums: Vec<Sums> = tenders.iter().map(|tender| Sums::of(tender, zero)).collect();
    let all = sums.iter().fold(Sums { authorized: zero, captured: zero, refunded: zero, stands: false }, Sums::plus);
    let open = sums.iter().fold(zero, |open, sums| open.plus(sums.open(zero)).unwrap_or(open));
    let tenders = tenders.iter().zip(&sums).map(|(tender, sums)| Tender {
        name: tender.get("method").as_str().map_or_else(|| "Payment".into(), |method| words::sentence(&method.to_lowercase())),
        sold: money(tender.get("amount")).map_or(String::new(), shown),
        captured: shown(sums.captured),
    });
    Some(MoneyView {
        currency: total.currency.to_string(),
        authorized: shown(all.authorized),
        captured: shown(all.captured),
        open: shown(open),
        refunded: shown(all.refunded),
        bar: MoneyBar { captured: all.captured.amount, authorized: all.authorized.amount, currency: total.currency.to_string() },
        tenders: tenders.collect(),
    })
}
