//! Seeded orders as shoppers would place them, in the shape of `GET /orders/{orderNo}`, with what should become of each.
//!
//! Sums are exact and follow the vendor's definitions of the members (see `price.rs`); people are obviously invented. The side
//! record never travels with the order: whoever judges a run keeps it apart.

mod build;
mod people;
mod price;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::catalog::{self, Kind as Product, Site};
use crate::json::Json;
use crate::rng::Rng;

/// Why an order was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Ordinary,
    /// Screening asks for a review that never ends.
    FraudHold,
    /// Screening asks for a review that approves.
    FraudApproved,
    /// Screening asks for a review that rejects.
    FraudDeclined,
    /// Screening rejects at once.
    FraudReject,
    /// The shipping address has a region that is no ISO code.
    BadRegion,
    /// The shipping address lacks its postal code.
    MissingPostalCode,
    /// The shopper cancels at once.
    CancelEarly,
    /// The shopper cancels about when the warehouse picks.
    CancelLate,
    /// The shopper cancels one line.
    CancelLine,
    /// A line no place can fill.
    OutOfStock,
}

/// Where an order should end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Closed,
    Cancelled,
    /// A race decides: both are right, a mixture is not.
    CancelledOrClosed,
    /// Waits for a person, with an exception of this class.
    Parked(String),
}

/// What a judge keeps about an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectation {
    pub site: String,
    pub order: String,
    pub kind: Kind,
    pub expected_end: End,
    /// When the shopper asks to cancel, counted from placing.
    pub cancel_after_ms: Option<u64>,
    /// Which lines (`itemId`) he cancels; none means the whole order.
    pub cancel_lines: Vec<String>,
    /// What else the order has: `gift_card`, `pickup`, `bundle`, ...
    pub features: Vec<String>,
}

/// One generated order.
#[derive(Clone, Debug)]
pub struct OrderJson {
    pub site: &'static str,
    pub number: String,
    pub currency: &'static str,
    pub total: Decimal,
    pub json: Json,
    /// What the storefront authorised on a card, if it authorises.
    pub card: Option<Decimal>,
    /// The gift card used and the amount.
    pub gift_card: Option<(String, Decimal)>,
}

/// How many orders of each kind, and how often each feature appears. Rates are shares of all orders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mix {
    /// Site ids; each order picks one evenly.
    pub sites: Vec<String>,
    /// Sites whose cards are authorised by the hub; their orders carry a card token and no transaction.
    pub hub_authorised_sites: Vec<String>,
    pub fraud_hold: f64,
    pub fraud_approved: f64,
    pub fraud_declined: f64,
    pub fraud_reject: f64,
    pub bad_region: f64,
    pub missing_postal_code: f64,
    pub cancel_early: f64,
    pub cancel_late: f64,
    pub cancel_line: f64,
    pub out_of_stock: f64,
    /// What the retailer's policy makes of a line nobody can fill.
    pub out_of_stock_end: End,
    pub guest: f64,
    pub item_discount: f64,
    pub order_coupon: f64,
    pub shipping_promotion: f64,
    pub bundle: f64,
    pub option: f64,
    pub bonus: f64,
    pub gift_certificate: f64,
    pub gift_card: f64,
    pub pickup: f64,
    pub split: f64,
    pub digital: f64,
    /// The bounds of the pause before a cancellation, in ms.
    pub cancel_early_after_ms: (u64, u64),
    pub cancel_late_after_ms: (u64, u64),
}

impl Default for Mix {
    fn default() -> Self {
        Mix {
            sites: catalog::SITES.iter().map(|s| s.id.to_owned()).collect(),
            hub_authorised_sites: Vec::new(),
            fraud_hold: 0.008,
            fraud_approved: 0.015,
            fraud_declined: 0.005,
            fraud_reject: 0.008,
            bad_region: 0.005,
            missing_postal_code: 0.005,
            cancel_early: 0.015,
            cancel_late: 0.015,
            cancel_line: 0.01,
            out_of_stock: 0.008,
            out_of_stock_end: End::Cancelled,
            guest: 0.45,
            item_discount: 0.2,
            order_coupon: 0.15,
            shipping_promotion: 0.15,
            bundle: 0.08,
            option: 0.08,
            bonus: 0.06,
            gift_certificate: 0.04,
            gift_card: 0.1,
            pickup: 0.08,
            split: 0.08,
            digital: 0.06,
            cancel_early_after_ms: (0, 50),
            cancel_late_after_ms: (800, 2_500),
        }
    }
}

impl Mix {
    /// Ordinary orders only: every one should close.
    pub fn plain() -> Self {
        Mix {
            fraud_hold: 0.0,
            fraud_approved: 0.0,
            fraud_declined: 0.0,
            fraud_reject: 0.0,
            bad_region: 0.0,
            missing_postal_code: 0.0,
            cancel_early: 0.0,
            cancel_late: 0.0,
            cancel_line: 0.0,
            out_of_stock: 0.0,
            ..Mix::default()
        }
    }
}

pub struct Generator {
    mix: Mix,
    sites: Vec<&'static Site>,
    rng: Rng,
    next_number: u64,
}

impl Generator {
    /// Unknown sites in the mix are left out; if none is left, the catalog's first is used.
    pub fn new(seed: u64, mix: Mix) -> Self {
        let mut sites: Vec<_> = mix.sites.iter().filter_map(|id| catalog::site(id)).collect();
        if sites.is_empty() {
            sites.push(&catalog::SITES[0]);
        }
        Generator { mix, sites, rng: Rng::named(seed, "generator"), next_number: 1 }
    }

    /// The number of the next order, so that a second run does not repeat the first one's.
    pub fn starting_at(mut self, number: u64) -> Self {
        self.next_number = number;
        self
    }

    /// The next order and what should become of it.
    pub fn next(&mut self, now_ms: i64) -> (OrderJson, Expectation) {
        let kind = self.kind();
        let site = match kind {
            // A missing postal code is a fault only where there are postal codes, and no region can be wrong where none is given.
            Kind::BadRegion | Kind::MissingPostalCode if self.sites.iter().any(|s| s.country != "KW") => loop {
                let site = *self.rng.pick(&self.sites);
                if site.country != "KW" {
                    break site;
                }
            },
            _ => *self.rng.pick(&self.sites),
        };
        let number = format!("{:08}", self.next_number);
        self.next_number += 1;
        let (order, features) = build::order(&mut self.rng, &self.mix, site, kind, &number, now_ms);
        let expectation = self.expectation(kind, &order, features);
        (order, expectation)
    }

    fn kind(&mut self) -> Kind {
        let mix = &self.mix;
        let shares = [
            (mix.fraud_hold, Kind::FraudHold),
            (mix.fraud_approved, Kind::FraudApproved),
            (mix.fraud_declined, Kind::FraudDeclined),
            (mix.fraud_reject, Kind::FraudReject),
            (mix.bad_region, Kind::BadRegion),
            (mix.missing_postal_code, Kind::MissingPostalCode),
            (mix.cancel_early, Kind::CancelEarly),
            (mix.cancel_late, Kind::CancelLate),
            (mix.cancel_line, Kind::CancelLine),
            (mix.out_of_stock, Kind::OutOfStock),
        ];
        let mut drawn = (self.rng.draw() >> 11) as f64 / (1u64 << 53) as f64;
        for (share, kind) in shares {
            if drawn < share {
                return kind;
            }
            drawn -= share;
        }
        Kind::Ordinary
    }

    fn expectation(&mut self, kind: Kind, order: &OrderJson, features: Vec<&'static str>) -> Expectation {
        let expected_end = match kind {
            // The only line cancelled in time is the whole order.
            Kind::CancelLine if order.json.list("productItems").len() == 1 => End::CancelledOrClosed,
            Kind::Ordinary | Kind::FraudApproved | Kind::CancelLine => End::Closed,
            Kind::FraudDeclined | Kind::FraudReject => End::Cancelled,
            Kind::CancelEarly | Kind::CancelLate => End::CancelledOrClosed,
            Kind::OutOfStock => self.mix.out_of_stock_end.clone(),
            Kind::FraudHold => End::Parked("fraud_review".into()),
            Kind::BadRegion | Kind::MissingPostalCode => End::Parked("bad_address".into()),
        };
        let pause = |rng: &mut Rng, (from, to): (u64, u64)| Some(rng.between(from..=to));
        let cancel_after_ms = match kind {
            Kind::CancelEarly => pause(&mut self.rng, self.mix.cancel_early_after_ms),
            Kind::CancelLine => pause(&mut self.rng, self.mix.cancel_early_after_ms),
            Kind::CancelLate => pause(&mut self.rng, self.mix.cancel_late_after_ms),
            _ => None,
        };
        let cancel_lines = match (kind, order.json.list("productItems").last()) {
            (Kind::CancelLine, Some(line)) => vec![line.text("itemId").to_owned()],
            _ => Vec::new(),
        };
        Expectation {
            site: order.site.to_owned(),
            order: order.number.clone(),
            kind,
            expected_end,
            cancel_after_ms,
            cancel_lines,
            features: features.into_iter().map(str::to_owned).collect(),
        }
    }
}

/// The SKUs of one kind.
fn skus(kind: Product) -> Vec<&'static catalog::Product> {
    catalog::PRODUCTS.iter().filter(|p| p.kind == kind).collect()
}
