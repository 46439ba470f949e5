//! The sums of an order, exact, per the vendor's descriptions of the members:
//!
//! - `basePrice` is the unit price in the site's taxation (with tax if gross, without if net); `netPrice`, `grossPrice` and `tax`
//!   are of the whole line **before** adjustments.
//! - `priceAfterItemDiscount` and `priceAfterOrderDiscount` are in the site's taxation; `adjustedTax` is the tax on the latter.
//! - An adjustment is negative; its `tax` is what it takes off, so line tax + adjustment taxes = `adjustedTax` summed.
//! - `productSubTotal` = items after item discounts + options; `productTotal` = items after order discounts + options.
//! - `orderTotal` = `productTotal` + `shippingTotal` + gift certificates sold, + `taxTotal` on a net site.
//! - `taxTotal` = `adjustedMerchandizeTotalTax` + `adjustedShippingTotalTax`.

use rust_decimal::Decimal;

use crate::catalog::{Site, Taxation};
use crate::json::{Json, object};
use crate::money;

/// A price with its tax.
#[derive(Clone, Copy, Debug)]
pub struct Taxed {
    /// In the site's taxation.
    pub price: Decimal,
    pub net: Decimal,
    pub gross: Decimal,
    pub tax: Decimal,
}

impl Taxed {
    pub fn new(price: Decimal, rate: Decimal, site: &Site) -> Self {
        let price = money::round(price, site.currency);
        let tax = match site.taxation {
            Taxation::Net => price * rate,
            Taxation::Gross => price * rate / (Decimal::ONE + rate),
        };
        let tax = money::round(tax, site.currency);
        match site.taxation {
            Taxation::Net => Taxed { price, net: price, gross: price + tax, tax },
            Taxation::Gross => Taxed { price, net: price - tax, gross: price, tax },
        }
    }

    pub fn minus(self, other: Taxed) -> Taxed {
        Taxed {
            price: self.price - other.price,
            net: self.net - other.net,
            gross: self.gross - other.gross,
            tax: self.tax - other.tax,
        }
    }

    pub fn plus(self, other: Taxed) -> Taxed {
        Taxed {
            price: self.price + other.price,
            net: self.net + other.net,
            gross: self.gross + other.gross,
            tax: self.tax + other.tax,
        }
    }

    pub fn zero(site: &Site) -> Taxed {
        Taxed::new(Decimal::ZERO, Decimal::ZERO, site)
    }
}

/// A discount as a promotion gives it.
pub struct Promotion {
    pub id: &'static str,
    pub text: &'static str,
    pub coupon: Option<&'static str>,
    pub applied: Json,
}

/// The `priceAdjustments` entry that takes a price from `before` to `after`.
pub fn adjustment(before: Taxed, after: Taxed, promotion: &Promotion, id: String, instant: &str) -> Json {
    let off = after.minus(before);
    let mut json = object! {
        "appliedDiscount": promotion.applied.clone(), "basePrice": off.price, "campaignId": "sim-campaign",
        "creationDate": instant, "custom": false, "grossPrice": off.gross, "itemText": promotion.text, "lastModified": instant,
        "manual": false, "netPrice": off.net, "priceAdjustmentId": id, "promotionId": promotion.id, "tax": off.tax,
        "taxBasis": off.price,
    };
    if let Some(code) = promotion.coupon {
        json.set("couponCode", code);
    }
    json
}

/// Shares an amount over weights, in minor units, the remainder on the largest; never more than a weight.
pub fn prorate(amount: Decimal, weights: &[Decimal], currency: &str) -> Vec<Decimal> {
    let total: Decimal = weights.iter().sum();
    if total.is_zero() {
        return vec![Decimal::ZERO; weights.len()];
    }
    let amount = amount.min(total);
    let scale = money::scale(currency);
    let mut shares: Vec<Decimal> = weights.iter().map(|w| (amount * w / total).trunc_with_scale(scale)).collect();
    let rest = amount - shares.iter().sum::<Decimal>();
    let largest = (0..weights.len()).max_by_key(|i| (weights[*i], std::cmp::Reverse(*i)));
    if let Some(largest) = largest {
        shares[largest] += rest;
    }
    shares
}
