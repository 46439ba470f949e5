//! What was sold, without the person: the part of the order document that decisions need. Made once, when the order is accepted.
//!
//! Every line gets what it is *worth*: its gross amount with its share of the order's own discounts, in whole minor units, so that
//! the lines and the shipping charges add up to exactly what the shopper owes. Captures, invoices and refunds are sums of these.

use crossdock_canonical::{
    Currency, LineId, Money, Order, Quantity, ShipmentId, Sku,
    order::{Delivery, LineKind},
    payment::Tender,
};
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sold {
    pub currency: Currency,
    /// What the shopper owes.
    pub total: Money,
    /// The tax within it.
    pub tax: Money,
    pub lines: Vec<SoldLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shipments: Vec<Planned>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charges: Vec<Charge>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenders: Vec<SoldTender>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoldLine {
    pub id: LineId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<Sku>,
    pub kind: LineKind,
    pub quantity: Quantity,
    pub worth: Money,
    pub tax: Money,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipment: Option<ShipmentId>,
    /// What is picked for one of a bundle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    pub sku: Sku,
    pub quantity: Quantity,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    pub id: ShipmentId,
    pub delivery: Delivery,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
}

/// A shipping charge, owed when something of its shipment leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Charge {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipment: Option<ShipmentId>,
    pub worth: Money,
    pub tax: Money,
}

/// A tender as the `authorize` command of the payment process carries it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoldTender {
    pub payment: String,
    pub method: String,
    pub kind: Tender,
    pub amount: Money,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
    /// The provider's token, a reference like the transaction; never a card number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl SoldLine {
    /// Whether a warehouse or store picks it. Digital goods and gift cards are fulfilled by being told.
    pub fn is_picked(&self) -> bool {
        match self.kind {
            LineKind::Physical | LineKind::Bonus => true,
            LineKind::Digital | LineKind::GiftCard => false,
        }
    }

    pub fn of(&self, value: Decimal) -> Quantity {
        Quantity { value, unit: self.quantity.unit.clone() }
    }

    /// The worth of the pieces between the `from`th and the `to`th, so that any way of cutting a line adds up to the whole.
    pub fn worth_between(&self, from: Decimal, to: Decimal) -> Decimal {
        share(self.worth, to, self.quantity.value) - share(self.worth, from, self.quantity.value)
    }

    pub fn tax_between(&self, from: Decimal, to: Decimal) -> Decimal {
        share(self.tax, to, self.quantity.value) - share(self.tax, from, self.quantity.value)
    }
}

impl Sold {
    pub fn of(order: &Order) -> Self {
        let currency = order.currency;
        let sum = |parts: &mut dyn Iterator<Item = Decimal>| parts.fold(Decimal::ZERO, Decimal::saturating_add);
        let line_gross: Vec<Decimal> = order.lines.iter().map(|line| line.gross.amount).collect();
        let line_tax: Vec<Decimal> = order.lines.iter().map(|line| line.tax.amount).collect();
        let shipping = sum(&mut order.shipping.iter().map(|charge| charge.gross.amount));
        let shipping_tax = sum(&mut order.shipping.iter().map(|charge| charge.tax.amount));

        // Order-level discounts fall on the lines; only what they cannot carry falls on the shipping charges.
        let (grand, tax) = (order.totals.grand.amount, order.totals.tax.amount);
        let for_lines = grand.saturating_sub(shipping).max(Decimal::ZERO);
        let tax_for_lines = tax.saturating_sub(shipping_tax).max(Decimal::ZERO);
        let charge_gross: Vec<Decimal> = order.shipping.iter().map(|charge| charge.gross.amount).collect();
        let charge_tax: Vec<Decimal> = order.shipping.iter().map(|charge| charge.tax.amount).collect();
        let worth = distribute(for_lines, &line_gross, currency);
        let taxes = distribute(tax_for_lines, &line_tax, currency);
        let charge_worth = distribute(grand.saturating_sub(for_lines), &charge_gross, currency);
        let charge_taxes = distribute(tax.saturating_sub(tax_for_lines), &charge_tax, currency);

        let money = |amount| Money::new(amount, currency);
        let lines = order.lines.iter().zip(worth.into_iter().zip(taxes)).map(|(line, (worth, tax))| SoldLine {
            id: line.id.clone(),
            sku: line.sku.clone(),
            kind: line.kind,
            quantity: line.quantity.clone(),
            worth: money(worth),
            tax: money(tax),
            shipment: line.shipment.clone(),
            components: line
                .components
                .iter()
                .map(|part| Part { sku: part.sku.clone(), quantity: part.quantity.clone() })
                .collect(),
        });
        let charges = order
            .shipping
            .iter()
            .zip(charge_worth.into_iter().zip(charge_taxes))
            .map(|(charge, (worth, tax))| Charge { shipment: charge.shipment.clone(), worth: money(worth), tax: money(tax) });
        let mut tenders: Vec<SoldTender> = order.payments.iter().map(SoldTender::of).collect();
        tenders.sort_by_key(|tender| tender.kind != Tender::GiftCard);
        Self {
            currency,
            total: order.totals.grand,
            tax: order.totals.tax,
            lines: lines.collect(),
            shipments: order
                .shipments
                .iter()
                .map(|planned| Planned { id: planned.id.clone(), delivery: planned.delivery, store: planned.store.clone() })
                .collect(),
            charges: charges.collect(),
            tenders,
        }
    }

    /// The same lines, sums and shipments. Payments are not compared: a storefront fills in transactions after placement.
    pub fn is_same_goods(&self, other: &Self) -> bool {
        let Self { currency, total, tax, lines, shipments, charges, tenders: _ } = self;
        *currency == other.currency
            && *total == other.total
            && *tax == other.tax
            && *lines == other.lines
            && *shipments == other.shipments
            && *charges == other.charges
    }

    pub fn line(&self, id: &LineId) -> Option<&SoldLine> {
        self.lines.iter().find(|line| line.id == *id)
    }

    pub fn money(&self, amount: Decimal) -> Money {
        Money::new(amount, self.currency)
    }
}

impl SoldTender {
    fn of(payment: &crossdock_canonical::payment::Payment) -> Self {
        Self {
            payment: payment.id.clone(),
            method: payment.method.clone(),
            kind: payment.kind,
            amount: payment.amount,
            transaction: payment.transaction.clone(),
            token: payment.token.clone(),
        }
    }
}

/// Cuts `total` by weight into minor units. The parts add up to `total` exactly: each cut is made on the running sum, so no
/// rounding is lost and none is given twice.
fn distribute(total: Decimal, weights: &[Decimal], currency: Currency) -> Vec<Decimal> {
    let positive = |weight: &Decimal| (*weight).max(Decimal::ZERO);
    let all = weights.iter().map(positive).fold(Decimal::ZERO, Decimal::saturating_add);
    let mut running = Decimal::ZERO;
    let mut given = Decimal::ZERO;
    let last = weights.iter().rposition(|weight| all.is_zero() || *weight > Decimal::ZERO);
    weights
        .iter()
        .enumerate()
        .map(|(at, weight)| {
            running = running.saturating_add(positive(weight));
            let upto = match Some(at) >= last {
                true => total,
                false if running.is_zero() => Decimal::ZERO,
                false => share(Money::new(total, currency), running, all),
            };
            let part = upto - given;
            given = upto;
            part
        })
        .collect()
}

/// `whole * count / of`, in minor units; exactly `whole` when all are counted, nothing when none are.
fn share(whole: Money, count: Decimal, of: Decimal) -> Decimal {
    if count >= of {
        return whole.amount;
    }
    if count <= Decimal::ZERO {
        return Decimal::ZERO;
    }
    let fraction = whole.amount.checked_mul(count).and_then(|product| product.checked_div(of));
    let exact = fraction.unwrap_or_else(|| (whole.amount / of).saturating_mul(count));
    exact.round_dp_with_strategy(whole.currency.minor_digits(), RoundingStrategy::MidpointNearestEven)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().expect("decimal")
    }

    #[test]
    fn the_parts_are_in_minor_units_and_add_up() {
        for (total, weights, currency, parts) in [
            ("10.00", vec!["1", "1", "1"], "EUR", vec!["3.33", "3.34", "3.33"]),
            ("100", vec!["1", "1", "1"], "JPY", vec!["33", "34", "33"]),
            ("1.000", vec!["2", "1"], "KWD", vec!["0.667", "0.333"]),
            ("5.00", vec!["0", "0"], "USD", vec!["0", "5.00"]),
            ("5.00", vec!["3", "0"], "USD", vec!["5.00", "0"]),
        ] {
            let weights: Vec<Decimal> = weights.into_iter().map(decimal).collect();
            let parts: Vec<Decimal> = parts.into_iter().map(decimal).collect();
            assert_eq!(distribute(decimal(total), &weights, currency.parse().expect("currency")), parts, "{total} {currency}");
        }
    }

    proptest! {
        #[test]
        fn no_cut_of_a_sum_loses_or_makes_money(total in 0_i64..10_000_000, weights in prop::collection::vec(0_i64..100_000, 1..12)) {
            let currency: Currency = "EUR".parse().expect("currency");
            let weights: Vec<Decimal> = weights.into_iter().map(|w| Decimal::new(w, 2)).collect();
            let parts = distribute(Decimal::new(total, 2), &weights, currency);
            prop_assert!(parts.iter().all(|part| *part >= Decimal::ZERO));
            prop_assert_eq!(parts.into_iter().sum::<Decimal>(), Decimal::new(total, 2));
        }
    }
}
