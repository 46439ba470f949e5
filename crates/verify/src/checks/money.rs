//! Money at the payment systems: captured within authorized (I3), refunded within captured (I4).
//!
//! Sums are worked out row by row in each ledger's own order, exactly, and once more over all payment systems of an order against
//! what the storefront sold it for. Both hold for every identity class; only "twice under one intent" needs a key or a reference.

use crate::{
    report::{Finding, Tally, Verdict},
    world::{Entry, Order, World},
};
use crossdock_canonical::{Currency, Money};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, HashMap};

/// An authorization as its ledger tells it, up to some row.
#[derive(Clone, Debug)]
pub(crate) struct Held<'a> {
    pub order: String,
    pub currency: &'a str,
    pub authorized: Decimal,
    pub captured: Decimal,
    /// Given back without being taken: voided, expired, released with the last capture.
    pub released: Decimal,
    pub refunded: Decimal,
    ended: Option<&'static str>,
}

impl Held<'_> {
    /// Still blocked on the shopper's account.
    pub fn open(&self) -> Decimal {
        self.authorized - self.captured - self.released
    }
}

type Transactions<'a> = BTreeMap<(&'a str, &'a str), Held<'a>>;

/// I3: nothing is captured beyond its authorization, twice, in another currency, or after the authorization was voided or ran out;
/// and an order is not charged more than it was sold for.
///
/// From the payment ledgers, against the storefront's totals. Amounts must fit their currency's minor unit, so that a factor of a
/// hundred in a currency without cents shows in the sums.
pub(crate) fn captured_within_authorized(world: &World<'_>) -> Verdict {
    let mut tally = Tally::default();
    let held = replay(world, |finding| {
        if let Broken::Capture(finding) = finding {
            tally.found(finding)
        }
    });
    tally.saw_many(held.len());
    for row in twice(world, "capture") {
        tally.found(row.finding(format!("captured twice: {} {} under one intent", row.amount(), row.currency)));
    }
    for order in &world.orders {
        charged_within_sold(order, &mut tally);
    }
    tally.verdict("no ledger shows an authorization or capture")
}

fn charged_within_sold(order: &Order<'_>, tally: &mut Tally) {
    let Some(placed) = order.placed() else { return };
    for row in order.all("capture").chain(order.all("authorise")).filter(|row| row.currency != placed.currency) {
        tally.found(row.finding(format!("{} in {}, sold in {}", row.operation, row.currency, placed.currency)));
    }
    let charged: Decimal = order.all("capture").filter(|row| row.currency == placed.currency).map(|row| row.amount()).sum();
    let corrected = order.process.and_then(|process| process.total.parse::<Decimal>().ok()).unwrap_or_default();
    let sold = placed.amount().max(corrected);
    if charged > sold {
        tally.found(order.finding(format!("charged {charged} {}, sold for {sold}", placed.currency)));
    }
}

/// I4: nothing is refunded beyond what was captured of the same authorization, twice, in another currency, or beyond what the line
/// cost; and the ERP credits no more than it invoiced.
///
/// From the payment ledgers and the ERP's. Refunds that failed later count as given back. Return lines are compared where a refund row
/// names its line.
pub(crate) fn refunded_within_captured(world: &World<'_>) -> Verdict {
    let mut tally = Tally::default();
    let held = replay(world, |finding| {
        if let Broken::Refund(finding) = finding {
            tally.found(finding)
        }
    });
    tally.saw_many(held.values().filter(|held| !held.captured.is_zero() || !held.refunded.is_zero()).count());
    for row in twice(world, "refund") {
        tally.found(row.finding(format!("refunded twice: {} {} under one intent", row.amount(), row.currency)));
    }
    for order in &world.orders {
        let mut by_line: BTreeMap<&str, Decimal> = BTreeMap::new();
        for row in order.all("refund").filter(|row| !row.line.is_empty()) {
            let back = by_line.entry(&row.row.line).or_default();
            *back += row.amount();
            let paid: Decimal = order.all("order.line").filter(|line| line.line == row.line).map(|line| line.amount()).sum();
            if *back > paid {
                tally.found(row.finding(format!("{back} {} refunded for line {}, which cost {paid}", row.currency, row.line)));
            }
        }
        for sale in order.all("sales_order.create") {
            let sum = |operation| order.below(sale, operation).map(|row| row.amount()).sum::<Decimal>();
            let (credited, invoiced) = (sum("credit_note.create"), sum("invoice.create"));
            if credited > invoiced {
                tally.found(sale.finding(format!("credited {credited} {}, invoiced {invoiced}", sale.currency)));
            }
        }
    }
    tally.verdict("no ledger shows a capture or refund")
}

enum Broken {
    Capture(Finding),
    Refund(Finding),
}

/// Every authorization with its end, without judging the way there.
pub(crate) fn transactions<'a>(world: &World<'a>) -> Transactions<'a> {
    replay(world, |_| ())
}

/// Goes through the payment rows in each ledger's order and reports each that its past does not allow.
fn replay<'a>(world: &World<'a>, mut broken: impl FnMut(Broken)) -> Transactions<'a> {
    let mut all = Transactions::new();
    for row in world.rows() {
        let operation = row.row.operation.as_str();
        if !matches!(operation, "authorise" | "capture" | "void" | "release" | "refund" | "refund.fail") {
            continue;
        }
        let amount = row.amount();
        if let Some(text) = misshapen(&row) {
            let finding = row.finding(text);
            broken(if operation.starts_with("refund") { Broken::Refund(finding) } else { Broken::Capture(finding) });
        }
        if operation == "authorise" {
            let held = Held {
                order: row.order_key().unwrap_or_default(),
                currency: &row.row.currency,
                authorized: amount,
                captured: Decimal::ZERO,
                released: Decimal::ZERO,
                refunded: Decimal::ZERO,
                ended: None,
            };
            if all.insert((row.system, &row.row.reference), held).is_some() {
                broken(Broken::Capture(row.finding(format!("{} was authorized twice", row.reference))));
            }
            continue;
        }
        let Some(held) = all.get_mut(&(row.system, row.row.parent.as_str())) else {
            let finding = row.finding(format!("{operation} on {:?}, which was never authorized", row.parent));
            broken(if operation.starts_with("refund") { Broken::Refund(finding) } else { Broken::Capture(finding) });
            continue;
        };
        let unit = held.currency;
        if row.currency != unit {
            let finding = row.finding(format!("{operation} in {}, authorized in {unit}", row.currency));
            broken(if operation.starts_with("refund") { Broken::Refund(finding) } else { Broken::Capture(finding) });
            continue;
        }
        let text = match operation {
            "capture" => {
                let (open, ended) = (held.open(), held.ended);
                held.captured += amount;
                match ended {
                    Some(how) => Some(format!("{amount} {unit} captured after the authorization was {how}")),
                    None if held.captured > held.authorized => {
                        Some(format!("{} {unit} captured of {} authorized", held.captured, held.authorized))
                    }
                    None if amount > open => Some(format!("{amount} {unit} captured, and only {open} was still held")),
                    None => None,
                }
            }
            "void" | "release" => {
                let open = held.open();
                held.released += amount;
                if operation == "void" {
                    held.ended = Some(if row.state == "expired" { "expired" } else { "voided" });
                }
                if operation == "void" && !held.captured.is_zero() && open.is_zero() {
                    Some(format!("voided after all {} {unit} were captured", held.captured))
                } else {
                    (amount > open).then(|| format!("{operation} of {amount} {unit}, and only {open} was still held"))
                }
            }
            _ => {
                held.refunded += if operation == "refund" { amount } else { -amount };
                let over = operation == "refund" && held.refunded > held.captured;
                if over {
                    broken(Broken::Refund(
                        row.finding(format!("{} {unit} refunded of {} captured", held.refunded, held.captured)),
                    ));
                }
                None
            }
        };
        if let Some(text) = text {
            broken(Broken::Capture(row.finding(text)));
        }
    }
    all
}

/// Amounts no payment system could hold.
fn misshapen(row: &Entry<'_>) -> Option<String> {
    let amount = row.amount?;
    let Ok(currency) = row.currency.parse::<Currency>() else { return Some(format!("{:?} is no currency", row.currency)) };
    if amount < Decimal::ZERO {
        return Some(format!("{} of {amount} {currency}", row.operation));
    }
    Money::new(amount, currency).to_minor().err().map(|error| error.to_string())
}

/// Rows of one operation that share an intent, or a key, with one before them.
fn twice<'a>(world: &World<'a>, operation: &str) -> Vec<Entry<'a>> {
    let mut intents: HashMap<usize, Entry<'a>> = HashMap::new();
    let mut keys: HashMap<(&str, &str), Entry<'a>> = HashMap::new();
    let rows = world.rows().filter(|row| row.operation == operation);
    rows.filter(|row| {
        let known = world.trace.of(row).is_some_and(|id| intents.insert(id, *row).is_some());
        let same_key = !row.key.is_empty() && keys.insert((row.system, &row.row.key), *row).is_some();
        known || same_key
    })
    .collect()
}
