//! Whether an order can be worked with: its sums tie to its parts, its quantities count something, its parcels have an address.
//!
//! A fault parks the order before anything is asked of anybody but the storefront; an `amend` mends it and the order goes on from
//! there. Nothing here looks at prices or stock: whether the shopper *should* have got this price is the storefront's affair.

use crate::policy::ValidationPolicy;
use crossdock_canonical::{
    LineId, Money, Order, ShipmentId,
    order::{Address, Delivery, LineKind, Taxation},
};
use crossdock_value::Value;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// More than this is not an order of a shopper; it is refused as a fault, not cut.
pub const MAX_LINES: usize = 2_000;

/// What is wrong, with the numbers and without the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum Fault {
    /// A stated sum and the parts it should be made of.
    Sum {
        what: String,
        stated: Money,
        parts: Money,
    },
    /// An amount in another currency than the order's.
    Currency {
        amount: Money,
    },
    /// Finer than the currency can be paid in.
    Fraction {
        amount: Money,
    },
    /// A line that counts nothing, is there twice, or has nothing to be known by.
    Line {
        line: LineId,
        what: String,
    },
    Lines {
        count: usize,
    },
    Payment {
        payment: String,
    },
    /// A field of a shipment's address that is missing or cannot be right.
    Address {
        shipment: ShipmentId,
        field: String,
        country: String,
    },
}

impl Fault {
    /// The exception class it is shown under.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Sum { .. }
            | Self::Currency { .. }
            | Self::Fraction { .. }
            | Self::Line { .. }
            | Self::Lines { .. }
            | Self::Payment { .. } => "bad_totals",
            Self::Address { .. } => "bad_address",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sum { what, stated, parts } => write!(f, "{what}: stated {stated}, the parts make {parts}"),
            Self::Currency { amount } => write!(f, "{amount} is not in the order's currency"),
            Self::Fraction { amount } => write!(f, "{amount} is finer than the currency's minor unit"),
            Self::Line { line, what } => write!(f, "line {line}: {what}"),
            Self::Payment { payment } => write!(f, "payment {payment} is negative or there twice"),
            Self::Lines { count } => write!(f, "{count} lines, where 1 to {MAX_LINES} are possible"),
            Self::Address { shipment, field, country } if country.is_empty() => {
                write!(f, "shipment {shipment}: {field} is missing")
            }
            Self::Address { shipment, field, country } => {
                write!(f, "shipment {shipment} to {country}: {field} is missing or unknown")
            }
        }
    }
}

/// Every fault of an order, at once.
pub fn check(order: &Order, policy: &ValidationPolicy) -> Vec<Fault> {
    let mut faults = currencies(order);
    if faults.is_empty() {
        faults = sums(order, policy.tolerance);
    }
    faults.extend(lines(order));
    faults.extend(addresses(order, policy));
    faults
}

fn currencies(order: &Order) -> Vec<Fault> {
    let totals = &order.totals;
    let all = [totals.lines_net, totals.shipping_net, totals.tax, totals.grand].into_iter();
    let all = all.chain(order.lines.iter().flat_map(|line| [line.unit_price, line.net, line.tax, line.gross]));
    let all = all.chain(order.shipping.iter().flat_map(|charge| [charge.net, charge.tax, charge.gross]));
    let all = all.chain(order.adjustments.iter().map(|adjustment| adjustment.amount));
    let all = all.chain(order.payments.iter().map(|payment| payment.amount));
    all.filter(|amount| amount.currency != order.currency).take(1).map(|amount| Fault::Currency { amount }).collect()
}

fn sums(order: &Order, tolerance: Decimal) -> Vec<Fault> {
    let money = |amount| Money::new(amount, order.currency);
    let total = |parts: &mut dyn Iterator<Item = Money>| parts.fold(Decimal::ZERO, |sum, part| sum.saturating_add(part.amount));
    let lines_net = total(&mut order.lines.iter().map(|line| line.net));
    let shipping_net = total(&mut order.shipping.iter().map(|charge| charge.net));
    let adjustments = total(&mut order.adjustments.iter().map(|adjustment| adjustment.amount));
    // Prices that include tax: the discount is taken off what includes tax. Prices without: tax is what the channel says it is.
    let grand = match order.taxation {
        Taxation::Gross => {
            total(&mut order.lines.iter().map(|line| line.gross))
                + total(&mut order.shipping.iter().map(|charge| charge.gross))
                + adjustments
        }
        Taxation::Net => lines_net + shipping_net + adjustments + order.totals.tax.amount,
    };
    let mut pairs = vec![
        ("lines before tax".to_owned(), order.totals.lines_net.amount, lines_net),
        ("shipping before tax".to_owned(), order.totals.shipping_net.amount, shipping_net),
        ("order total".to_owned(), order.totals.grand.amount, grand),
    ];
    for line in &order.lines {
        pairs.push((format!("line {} with tax", line.id), line.gross.amount, line.net.amount + line.tax.amount));
    }
    if !order.payments.is_empty() || order.totals.grand.is_positive() {
        let payments = total(&mut order.payments.iter().map(|payment| payment.amount));
        pairs.push(("payments".to_owned(), payments, order.totals.grand.amount));
    }
    let ties = |stated: Decimal, parts: Decimal| (stated - parts).abs() <= tolerance;
    let mut faults: Vec<Fault> = pairs
        .into_iter()
        .filter(|(_, stated, parts)| !ties(*stated, *parts))
        .map(|(what, stated, parts)| Fault::Sum { what, stated: money(stated), parts: money(parts) })
        .collect();
    let mut seen = BTreeSet::new();
    for payment in &order.payments {
        if payment.amount.amount < Decimal::ZERO || !seen.insert(&payment.id) {
            faults.push(Fault::Payment { payment: payment.id.clone() });
        }
    }
    let payable = std::iter::once(order.totals.grand).chain(order.payments.iter().map(|payment| payment.amount));
    faults.extend(payable.filter(|amount| amount.to_minor().is_err()).take(1).map(|amount| Fault::Fraction { amount }));
    faults
}

fn lines(order: &Order) -> Vec<Fault> {
    let mut faults = Vec::new();
    if order.lines.is_empty() || order.lines.len() > MAX_LINES {
        faults.push(Fault::Lines { count: order.lines.len() });
    }
    let planned: BTreeSet<&ShipmentId> = order.shipments.iter().map(|shipment| &shipment.id).collect();
    let mut seen = BTreeSet::new();
    for line in order.lines.iter().take(MAX_LINES) {
        let mut wrong = |what: &str| faults.push(Fault::Line { line: line.id.clone(), what: what.to_owned() });
        if !line.quantity.is_positive() {
            wrong("the quantity is not positive");
        }
        if !seen.insert(&line.id) {
            wrong("the line is there twice");
        }
        if line.sku.is_none() && line.kind != LineKind::GiftCard {
            wrong("there is no SKU");
        }
        if line.shipment.as_ref().is_some_and(|shipment| !planned.contains(shipment)) {
            wrong("its shipment is not in the order");
        }
    }
    faults
}

fn addresses(order: &Order, policy: &ValidationPolicy) -> Vec<Fault> {
    let picked = |shipment: &ShipmentId| {
        order
            .lines
            .iter()
            .any(|line| line.shipment.as_ref() == Some(shipment) && matches!(line.kind, LineKind::Physical | LineKind::Bonus))
    };
    let shipped = order.shipments.iter().filter(|planned| planned.delivery == Delivery::Ship && picked(&planned.id));
    shipped.flat_map(|planned| address_faults(&planned.id, planned.ship_to.as_ref(), policy)).collect()
}

fn address_faults(shipment: &ShipmentId, address: Option<&Address>, policy: &ValidationPolicy) -> Vec<Fault> {
    let Some(address) = address else {
        return vec![Fault::Address { shipment: shipment.clone(), field: "ship_to".into(), country: String::new() }];
    };
    let country = address.country.as_deref().unwrap_or_default();
    FIELDS
        .iter()
        .filter(|field| !is_good(field, text_of(address, field), country, policy))
        .map(|field| Fault::Address { shipment: shipment.clone(), field: (*field).into(), country: country_code(country) })
        .collect()
}

const FIELDS: [&str; 5] = ["line1", "city", "postal_code", "region", "country"];

/// Countries where nothing is delivered without a postal code.
const POSTAL: [&str; 19] =
    ["AT", "AU", "BE", "CA", "CH", "DE", "DK", "ES", "FI", "FR", "GB", "IT", "JP", "NL", "NO", "PL", "PT", "SE", "US"];

fn text_of<'a>(address: &'a Address, field: &str) -> &'a str {
    let text = match field {
        "line1" => &address.line1,
        "city" => &address.city,
        "postal_code" => &address.postal_code,
        "region" => &address.region,
        _ => &address.country,
    };
    text.as_deref().unwrap_or_default()
}

fn is_good(field: &str, text: &str, country: &str, policy: &ValidationPolicy) -> bool {
    let text = text.trim();
    match field {
        "country" => !country_code(text).is_empty(),
        "postal_code" => !text.is_empty() || !POSTAL.contains(&country),
        "region" => match policy.regions.get(country) {
            // Nobody listed the codes; ISO 3166-2 has one to three letters or digits, so a name written out is wrong anywhere.
            None => text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()),
            Some(codes) => !text.is_empty() && (codes.is_empty() || codes.iter().any(|code| code == text)),
        },
        _ => !text.is_empty(),
    }
}

/// The country if it is a code; free text could hold anything, so it is not repeated.
fn country_code(text: &str) -> String {
    if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()) { text.to_owned() } else { String::new() }
}

/// The faults left after an address was amended with `{"shipment"?: id, "ship_to": {field: text}}`. The person's address is in the
/// sealed document only, so a fault is judged by the field it names.
pub fn after_amend(faults: &[Fault], body: &Value, policy: &ValidationPolicy) -> Vec<Fault> {
    let patch = body.get("ship_to");
    let given = |field: &str| patch.get(field).as_str().map(str::trim);
    let only = body.get("shipment").as_str();
    let mut left = Vec::new();
    for fault in faults {
        let Fault::Address { shipment, field, country } = fault else {
            left.push(fault.clone());
            continue;
        };
        if only.is_some_and(|only| only != shipment.as_str()) {
            left.push(fault.clone());
            continue;
        }
        let country = given("country").unwrap_or(country);
        let still =
            |field: &str| Fault::Address { shipment: shipment.clone(), field: field.into(), country: country_code(country) };
        let checked: &[&str] = if field == "ship_to" { &FIELDS } else { &[field.as_str()] };
        let wrong = checked.iter().filter(|field| !is_good(field, given(field).unwrap_or_default(), country, policy));
        left.extend(wrong.map(|field| still(field)));
        // Another country may want a region that nobody gave.
        if given("country").is_some()
            && field != "region"
            && !is_good("region", given("region").unwrap_or_default(), country, policy)
        {
            left.push(still("region"));
        }
    }
    left.dedup();
    left
}

/// The document after an amendment was taken: `{"order": {..}}` replaces it, `{"shipment"?, "ship_to": {..}}` changes those fields.
pub fn amended(document: &Value, body: &Value) -> Value {
    if !body.get("order").is_null() {
        return body.get("order").clone();
    }
    let (Some(shipments), Some(patch)) = (document.get("shipments").as_arr(), body.get("ship_to").as_obj()) else {
        return document.clone();
    };
    let only = body.get("shipment").as_str();
    let shipments: Value = shipments
        .iter()
        .map(|shipment| {
            let mut shipment = shipment.clone();
            if only.is_none() || only == shipment.get("id").as_str() {
                let mut address = shipment.get("ship_to").clone();
                for (field, text) in patch.iter() {
                    address.insert(field.clone(), text.clone());
                }
                shipment.insert("ship_to", address);
            }
            shipment
        })
        .collect();
    let mut document = document.clone();
    document.insert("shipments", shipments);
    document
}
