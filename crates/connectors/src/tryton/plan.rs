//! What is to be booked, worked out from the order before anything is sent: the bytes that the intent stores.
//!
//! Tryton computes taxes itself, rounded once for each rate over the whole sale, and takes amounts as quantity times unit price. The
//! plan predicts what it will compute, moves prices by cents and adds a rounding line where that differs from what the shopper paid.

use super::Settings;
use crossdock_canonical::order::{LineKind, Order, Taxation};
use crossdock_canonical::{Currency, Money, OrderRef};
use crossdock_connect::{Call, PrepareError};
use crossdock_value::{Decimal, Value, value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Decimals of a unit price.
const PRICE_DIGITS: u32 = 4;
/// How far a taxed amount is moved to make its tax come out, in minor units.
const SHIFT_MAX: i64 = 60;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sale {
    /// The natural key, unique with the shop.
    pub web_id: String,
    pub shop: i64,
    pub number: String,
    pub currency: i64,
    pub warehouse: Option<i64>,
    /// The store's address for a pickup.
    pub pickup_address: Option<i64>,
    pub party: Party,
    pub lines: Vec<SaleLine>,
    pub total: Money,
    pub tax: Money,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Party {
    /// The natural key of the party.
    pub code: String,
    pub name: String,
    pub email: Option<String>,
    pub invoice: Option<Place>,
    pub delivery: Option<Place>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Place {
    pub name: String,
    pub street: String,
    pub postal_code: Option<String>,
    pub city: Option<String>,
    pub country: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SaleLine {
    /// The order's line; absent for charges and rounding.
    pub line: Option<String>,
    pub code: String,
    pub quantity: Decimal,
    pub unit_price: Decimal,
    /// As a key of `settings.taxes`; absent for what is not taxed.
    pub rate: Option<String>,
}

/// A wanted line before it has a unit price.
struct Wanted {
    line: Option<String>,
    code: String,
    quantity: Decimal,
    rate: Decimal,
    /// In the order's taxation.
    amount: Decimal,
    taxed: bool,
}

pub(super) fn sale(settings: &Settings, call: &Call) -> Result<Sale, PrepareError> {
    let failed = |target: &str, reason: String| PrepareError::Mapping { target: target.into(), reason };
    let order: Order = crossdock_value::from_value(&call.document).map_err(|e| failed("document", e.to_string()))?;
    let shop = settings
        .shops
        .get(order.site.as_str())
        .ok_or_else(|| PrepareError::Misconfigured(format!("`settings.web_shops` has no shop for the site {}", order.site)))?;
    let currency = settings
        .currencies
        .get(order.currency.as_str())
        .ok_or_else(|| PrepareError::Misconfigured(format!("`settings.currencies` has no {}", order.currency)))?;
    let store =
        order.shipments.iter().find_map(|shipment| shipment.store.as_ref()).and_then(|store| settings.locations.get(store));
    let from = order.lines.iter().find_map(|line| line.inventory.as_ref()).and_then(|place| settings.locations.get(place));
    let total: Money = match call.args.get("total") {
        Value::Null => order.totals.grand,
        total => crossdock_value::from_value(total).map_err(|e| failed("total", e.to_string()))?,
    };
    let mut wanted = wanted(settings, call, &order)?;
    if total.amount == order.totals.grand.amount {
        move_discount(&mut wanted, &order);
    }
    let lines = price(settings, &order, wanted, total)?;
    let delivery = order.shipments.iter().find_map(|shipment| shipment.ship_to.as_ref());
    let place = |address: &crossdock_canonical::order::Address| place(settings, address);
    Ok(Sale {
        web_id: web_id(&call.order),
        shop: shop.id,
        number: order.number.to_string(),
        currency: *currency,
        warehouse: store.or(from).and_then(|location| location.warehouse).or(shop.warehouse),
        pickup_address: store.and_then(|location| location.address),
        party: Party {
            code: party_code(&order),
            name: order.customer.name.clone().or_else(|| delivery.and_then(|a| a.name.clone())).unwrap_or_else(|| "Guest".into()),
            email: order.customer.email.clone(),
            invoice: order.bill_to.as_ref().map(place),
            delivery: delivery.map(place),
        },
        lines,
        total,
        tax: order.totals.tax,
    })
}

/// The order's name in Tryton.
pub(super) fn web_id(order: &OrderRef) -> String {
    order.to_string()
}

/// An account is one party; a guest is one for each order.
fn party_code(order: &Order) -> String {
    order.subject()
}

fn place(settings: &Settings, address: &crossdock_canonical::order::Address) -> Place {
    let street = [address.line1.as_deref(), address.line2.as_deref()].into_iter().flatten().collect::<Vec<_>>().join("\n");
    Place {
        name: address.name.clone().unwrap_or_default(),
        street,
        postal_code: address.postal_code.clone(),
        city: address.city.clone(),
        country: address.country.as_ref().and_then(|code| settings.countries.get(code).copied()),
    }
}

/// The pieces that are still wanted, the order's own discounts spread over them, and the shipping.
fn wanted(settings: &Settings, call: &Call, order: &Order) -> Result<Vec<Wanted>, PrepareError> {
    let basis = |net: &Money, gross: &Money| if order.taxation == Taxation::Gross { gross.amount } else { net.amount };
    let mut lines = Vec::new();
    let mut parts = Vec::new();
    for line in &order.lines {
        let pieces = match call.args.get("lines").as_arr() {
            None => line.quantity.value,
            Some(given) => match given.iter().find(|entry| entry.get("line").as_str() == Some(line.id.as_str())) {
                Some(entry) => read_number(entry.at("quantity.value")).unwrap_or(line.quantity.value),
                None => continue,
            },
        };
        if pieces.is_zero() || line.quantity.value.is_zero() {
            continue;
        }
        let amount = basis(&line.net, &line.gross) * pieces / line.quantity.value;
        let taxed = line.kind != LineKind::GiftCard && !(line.tax.amount.is_zero() && line.tax_rate.is_none());
        let code = match (&line.sku, line.kind) {
            (Some(sku), _) => sku.to_string(),
            (None, LineKind::GiftCard) => settings.items.gift_card.clone(),
            (None, _) => settings.items.digital.clone(),
        };
        lines.push(Wanted {
            line: Some(line.id.to_string()),
            code,
            quantity: pieces,
            rate: line.tax_rate.unwrap_or_default(),
            amount: round(amount, order.currency),
            taxed,
        });
        // A bundle is sold as one and shipped in parts.
        for component in &line.components {
            parts.push(Wanted {
                line: Some(line.id.to_string()),
                code: component.sku.to_string(),
                quantity: component.quantity.value * pieces,
                rate: Decimal::ZERO,
                amount: Decimal::ZERO,
                taxed: false,
            });
        }
    }
    spread(&mut lines, discount(order), order.currency);
    lines.extend(parts);
    for charge in &order.shipping {
        lines.push(Wanted {
            line: None,
            code: settings.items.shipping.clone(),
            quantity: Decimal::ONE,
            rate: charge.tax_rate.unwrap_or_default(),
            amount: basis(&charge.net, &charge.gross),
            taxed: true,
        });
    }
    Ok(lines)
}

fn discount(order: &Order) -> Decimal {
    order.adjustments.iter().map(|adjustment| adjustment.amount.amount).sum()
}

/// Spreads a discount over the goods by what they cost, in minor units, the rest on the dearest.
fn spread(lines: &mut [Wanted], discount: Decimal, currency: Currency) {
    let goods = |line: &Wanted| line.taxed || line.rate > Decimal::ZERO;
    let sum: Decimal = lines.iter().filter(|line| goods(line)).map(|line| line.amount).sum();
    if discount.is_zero() || sum.is_zero() {
        return;
    }
    let mut left = discount;
    for line in lines.iter_mut().filter(|line| goods(line)) {
        let share = (discount * line.amount / sum).trunc_with_scale(currency.minor_digits());
        line.amount += share;
        left -= share;
    }
    if let Some(dearest) = lines.iter_mut().filter(|line| goods(line)).max_by_key(|line| line.amount) {
        dearest.amount += left;
    }
}

/// A channel may have spread the order's discount otherwise, say not over options. Between goods of one rate that makes no odds; between
/// two rates it shows in the tax, which then tells how much of the discount was the other's.
fn move_discount(lines: &mut [Wanted], order: &Order) {
    let (discount, currency) = (discount(order), order.currency);
    let computed: Decimal = lines.iter().map(|line| tax(line, order.taxation, currency)).sum();
    let missing = order.totals.tax.amount - computed;
    let rounding = Decimal::from(lines.len()) * minor_unit(currency);
    if discount.is_zero() || missing.abs() <= rounding {
        return;
    }
    let share = |rate: Decimal| if order.taxation == Taxation::Gross { rate / (Decimal::ONE + rate) } else { rate };
    let mut goods: Vec<usize> = (0..lines.len()).filter(|n| lines[*n].line.is_some() && lines[*n].taxed).collect();
    goods.sort_by_key(|n| std::cmp::Reverse(lines[*n].amount));
    let Some(dearest) = goods.first().copied() else { return };
    let Some(other) = goods.into_iter().find(|n| lines[*n].rate != lines[dearest].rate) else { return };
    let moved = round(missing / (share(lines[dearest].rate) - share(lines[other].rate)), currency);
    let stays_positive = lines[dearest].amount + moved > Decimal::ZERO && lines[other].amount - moved > Decimal::ZERO;
    if moved.abs() <= discount.abs() && stays_positive {
        lines[dearest].amount += moved;
        lines[other].amount -= moved;
    }
}

/// The tax in, or on, an amount in the order's taxation.
fn tax(line: &Wanted, taxation: Taxation, currency: Currency) -> Decimal {
    match (taxation, line.taxed) {
        (_, false) => Decimal::ZERO,
        (Taxation::Net, true) => round(line.amount * line.rate, currency),
        (Taxation::Gross, true) => round(line.amount * line.rate / (Decimal::ONE + line.rate), currency),
    }
}

/// What is taxed at one rate: the lines, what Tryton will tax, and the tax that the shopper paid.
struct Rate {
    rate: Decimal,
    lines: Vec<usize>,
    base: Decimal,
    paid: Decimal,
}

/// Gives each line its unit price, so that the sums come out as they were paid.
fn price(settings: &Settings, order: &Order, wanted: Vec<Wanted>, total: Money) -> Result<Vec<SaleLine>, PrepareError> {
    let currency = order.currency;
    let mut lines = Vec::new();
    let mut rates: BTreeMap<String, Rate> = BTreeMap::new();
    for line in wanted {
        let tax = tax(&line, order.taxation, currency);
        let net = if order.taxation == Taxation::Gross { line.amount - tax } else { line.amount };
        let rate = match line.taxed {
            true => Some(tax_key(settings, line.rate)?),
            false => None,
        };
        let priced = SaleLine {
            line: line.line,
            code: line.code,
            quantity: line.quantity,
            unit_price: (net / line.quantity).round_dp(PRICE_DIGITS),
            rate,
        };
        if let Some(key) = &priced.rate {
            let of = Rate { rate: line.rate, lines: Vec::new(), base: Decimal::ZERO, paid: Decimal::ZERO };
            let of = rates.entry(key.clone()).or_insert(of);
            of.lines.push(lines.len());
            of.base += priced.unit_price * priced.quantity;
            of.paid += tax;
        }
        lines.push(priced);
    }
    // What the channel says the tax is counts, where the parts do not add up to it.
    let stated: Decimal = rates.values().map(|rate| rate.paid).sum();
    if total.amount == order.totals.grand.amount
        && let Some(largest) = rates.values_mut().filter(|rate| !rate.rate.is_zero()).max_by_key(|rate| rate.base)
    {
        largest.paid += order.totals.tax.amount - stated;
    }
    let before = difference(&lines, &rates, total);
    if before.abs() > Decimal::from(settings.rounding_within) * minor_unit(currency) {
        // More than rounding: it is booked as it is and told, not smoothed over.
        return Ok(lines);
    }
    if settings.match_tax {
        for rate in rates.values_mut() {
            move_tax(&mut lines, rate, currency);
        }
    }
    let left = difference(&lines, &rates, total);
    if !left.is_zero() {
        let code = settings.items.rounding.clone();
        lines.push(SaleLine { line: None, code, quantity: Decimal::ONE, unit_price: left, rate: None });
    }
    Ok(lines)
}

/// What a line comes to: Tryton rounds each to the currency. The tax it takes of the prices as they are, and rounds only that.
fn booked(line: &SaleLine, currency: Currency) -> Decimal {
    round(line.unit_price * line.quantity, currency)
}

/// What the shopper paid beyond what Tryton will compute.
fn difference(lines: &[SaleLine], rates: &BTreeMap<String, Rate>, total: Money) -> Decimal {
    let untaxed: Decimal = lines.iter().map(|line| booked(line, total.currency)).sum();
    let tax: Decimal = rates.values().map(|rate| round(rate.base * rate.rate, total.currency)).sum();
    total.amount - untaxed - tax
}

/// Moves the price of the dearest line that can take it by the few cents that make the tax of its rate the one that was paid.
///
/// A line of its own would not do: Tryton rounds what is taxed negatively apart from what is taxed positively.
fn move_tax(lines: &mut [SaleLine], rate: &mut Rate, currency: Currency) {
    let fits = |base: Decimal| round(base * rate.rate, currency) == rate.paid;
    if fits(rate.base) {
        return;
    }
    let step = minor_unit(currency);
    let mut dearest = rate.lines.clone();
    dearest.sort_by_key(|n| std::cmp::Reverse(booked(&lines[*n], currency)));
    for moved in (0..=SHIFT_MAX).flat_map(|n| [Decimal::from(n) * step, -Decimal::from(n) * step]) {
        for n in &dearest {
            let line = &lines[*n];
            let wanted = booked(line, currency) + moved;
            let unit_price = (wanted / line.quantity).round_dp(PRICE_DIGITS);
            let base = rate.base + (unit_price - line.unit_price) * line.quantity;
            let changed = SaleLine { unit_price, ..line.clone() };
            if wanted > Decimal::ZERO && booked(&changed, currency) == wanted && fits(base) {
                rate.base = base;
                lines[*n] = changed;
                return;
            }
        }
    }
}

fn minor_unit(currency: Currency) -> Decimal {
    Decimal::new(1, currency.minor_digits())
}

fn tax_key(settings: &Settings, rate: Decimal) -> Result<String, PrepareError> {
    let rate = rate.normalize();
    settings
        .taxes
        .keys()
        .find(|key| crossdock_value::decimal::read(key).is_some_and(|known| known == rate))
        .cloned()
        .ok_or_else(|| PrepareError::Misconfigured(format!("`settings.taxes` has no tax of rate {rate}")))
}

fn round(amount: Decimal, currency: Currency) -> Decimal {
    Money::new(amount, currency).rounded().amount
}

/// A decimal that came as a number or as text.
pub(super) fn read_number(value: &Value) -> Option<Decimal> {
    match value {
        Value::Num(number) => Some(*number),
        Value::Str(text) => crossdock_value::decimal::read(text),
        _ => None,
    }
}

/// The stored form of a plan.
pub(super) fn store(plan: &impl Serialize) -> Result<Value, PrepareError> {
    crossdock_value::to_value(plan).map_err(|e| PrepareError::Mapping { target: "plan".into(), reason: e.to_string() })
}

/// What all operations but creation need: which sale, and the arguments as they were.
pub(super) fn step(settings: &Settings, call: &Call) -> Result<Value, PrepareError> {
    let shop = settings.shops.get(call.order.site.as_str()).ok_or_else(|| {
        PrepareError::Misconfigured(format!("`settings.web_shops` has no shop for the site {}", call.order.site))
    })?;
    Ok(value!({"web_id": (web_id(&call.order)), "shop": (shop.id), "reference": (&call.reference), "args": (&call.args)}))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three pieces of a price that does not divide by three: their sum is a hair below what the line is booked at, and that hair
    /// decides how the tax is rounded.
    #[test]
    fn tax_is_that_of_the_prices_and_not_of_rounded_lines() {
        let jpy: Currency = "JPY".parse().expect("a currency");
        let number = |text: &str| text.parse::<Decimal>().expect("a number");
        let line = |quantity: i64, price: &str| SaleLine {
            line: None,
            code: String::new(),
            quantity: Decimal::from(quantity),
            unit_price: number(price),
            rate: Some("0.1".into()),
        };
        let mut lines = vec![line(3, "6745.3333"), line(1, "5239"), line(2, "13322"), line(1, "736")];
        let base = |lines: &[SaleLine]| lines.iter().map(|line| line.unit_price * line.quantity).sum::<Decimal>();
        let mut rate = Rate { rate: number("0.1"), lines: vec![0, 1, 2, 3], base: base(&lines), paid: number("5286") };
        assert_eq!(round(rate.base * rate.rate, jpy), number("5285"), "a yen too little");
        move_tax(&mut lines, &mut rate, jpy);
        assert_eq!((round(base(&lines) * rate.rate, jpy), rate.base), (rate.paid, base(&lines)));
    }
}
