//! Tryton's tables against the storefront's orders.

use super::{
    hub::Found,
    orders::{Placed, Purpose, ROUNDING_WITHIN},
    tables::Sale,
};
use crossdock_simulators::money;
use crossdock_value::Decimal;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Of a hundred booked orders, how many must be equal to the cent.
const EQUAL_MIN: usize = 95;
/// Lines of a kind that are told.
const TOLD_MAX: usize = 20;

#[derive(Debug, Default, Serialize)]
pub(super) struct Judged {
    /// Orders that were to be booked, planted ones among them.
    pub to_book: usize,
    /// Of them, those whose totals, tax, goods and payments in Tryton are the storefront's to the cent.
    pub equal: usize,
    /// Planted orders that are posted with the difference planted.
    pub posted_as_planted: usize,
    /// Planted orders that are held as a quotation.
    pub held_as_planted: usize,
    /// Orders whose shopper cancelled and that Tryton has not, or has undone.
    pub cancelled: usize,
    /// Of them, those Tryton had as a sale.
    pub cancelled_with_a_sale: usize,
    /// Orders whose shopper came too late: shipped, and equal.
    pub too_late: usize,
    /// Orders as the hub ended them.
    pub ends: BTreeMap<String, usize>,
    pub sales: usize,
    pub invoices: usize,
    pub payments: usize,
    /// Pairs of shop and web id that more than one sale has.
    pub second_sales: usize,
    /// Sales with more than one invoice that stands, or a payment that stands twice.
    pub second_invoices: usize,
    pub second_payments: usize,
    /// What is not as it must be.
    pub findings: Vec<String>,
}

pub(super) fn judge(placed: &[Placed], found: &BTreeMap<String, Found>, sales: &[Sale], sites: &BTreeMap<i64, String>) -> Judged {
    let mut judged = Judged { sales: sales.len(), ..Judged::default() };
    let mut booked: BTreeMap<String, &Sale> = BTreeMap::new();
    for sale in sales {
        // Our reference is `channel/site/number`; the site must be the shop's.
        let site = sale.shop.and_then(|shop| sites.get(&shop));
        let name = sale.web_id.as_deref().and_then(|id| id.split_once('/')).map_or("", |(_, name)| name);
        if site.is_none_or(|site| !name.starts_with(&format!("{site}/"))) {
            judged.findings.push(format!("a sale is nobody's: shop {:?}, web id {:?}", sale.shop, sale.web_id));
        } else if booked.insert(name.to_owned(), sale).is_some() {
            judged.second_sales += 1;
            judged.findings.push(format!("{name}: a second sale"));
        }
        judged.count(name, sale);
    }
    let known: BTreeSet<String> = placed.iter().map(Placed::name).collect();
    for name in booked.keys().filter(|name| !known.contains(*name)) {
        judged.findings.push(format!("{name}: a sale that nobody ordered"));
    }
    for order in placed {
        let name = order.name();
        let end = found.get(&name);
        judged.order(order, end, booked.get(&name).copied());
        *judged.ends.entry(end.map_or_else(|| "lost".to_owned(), word)).or_default() += 1;
    }
    judged
}

fn word(found: &Found) -> String {
    match found.exceptions.first() {
        Some((class, _)) if !found.is_ended() => format!("parked {class}"),
        _ => found.status.clone(),
    }
}

impl Judged {
    /// Counts what hangs on a sale, and what is there twice.
    fn count(&mut self, name: &str, sale: &Sale) {
        let standing = sale.invoices.iter().filter(|invoice| invoice.state != "cancelled").count();
        self.invoices += standing;
        if standing > 1 {
            self.second_invoices += 1;
            let ids: Vec<i64> = sale.invoices.iter().map(|invoice| invoice.id).collect();
            self.findings.push(format!("{name}: a second invoice: {ids:?}"));
        }
        let mut references = BTreeSet::new();
        for payment in sale.payments.iter().filter(|payment| payment.state != "failed") {
            self.payments += 1;
            if !references.insert((&payment.kind, &payment.reference)) {
                self.second_payments += 1;
                self.findings.push(format!("{name}: payment {:?} is there twice", payment.reference));
            }
        }
    }

    fn order(&mut self, order: &Placed, found: Option<&Found>, sale: Option<&Sale>) {
        let status = found.map_or("lost", |found| &found.status);
        let wrong = match order.purpose {
            Purpose::Booked => {
                self.to_book += 1;
                let wrong = booked(order, status, sale);
                self.equal += usize::from(wrong.is_empty());
                wrong
            }
            Purpose::Posted => {
                self.to_book += 1;
                let wrong = posted(order, status, sale);
                self.posted_as_planted += usize::from(wrong.is_empty());
                wrong
            }
            Purpose::Held => {
                self.to_book += 1;
                let wrong = held(found, sale);
                self.held_as_planted += usize::from(wrong.is_empty());
                wrong
            }
            Purpose::Cancelled { .. } if status == "closed" => {
                let wrong = booked(order, status, sale);
                self.too_late += usize::from(wrong.is_empty());
                wrong
            }
            Purpose::Cancelled { .. } => {
                let wrong = cancelled(status, sale);
                self.cancelled += usize::from(wrong.is_empty());
                self.cancelled_with_a_sale += usize::from(wrong.is_empty() && sale.is_some());
                wrong
            }
        };
        if !wrong.is_empty() {
            let hub = found.map_or_else(
                || "the hub does not know it".to_owned(),
                |found| format!("{} at {}, waits for {:?} {:?}", found.status, found.stage, found.waiting_for, found.exceptions),
            );
            self.findings.push(format!("{} ({:?}): {}; {hub}", order.name(), order.purpose, wrong.join("; ")));
        }
    }

    pub fn is_good(&self) -> bool {
        self.findings.is_empty() && self.equal * 100 >= self.to_book * EQUAL_MIN
    }
}

/// Tells an amount that is another than it should be.
fn differs(what: &str, expected: Decimal, found: Decimal) -> Option<String> {
    (expected != found).then(|| format!("{what} is {found}, not {expected}"))
}

fn booked(order: &Placed, status: &str, sale: Option<&Sale>) -> Vec<String> {
    let Some(sale) = sale else { return vec!["Tryton has no sale".into()] };
    let mut wrong = settled(order, status, sale);
    wrong.extend(differs("the sale's tax", order.tax, sale.tax.unwrap_or_default()));
    let invoiced = sale.invoices.iter().find(|invoice| invoice.state != "cancelled").and_then(|invoice| invoice.tax);
    wrong.extend(differs("the invoice's tax", order.tax, invoiced.unwrap_or_default()));
    wrong
}

/// Booked as Tryton computes it: what was planted, and nothing else, is another.
fn posted(order: &Placed, status: &str, sale: Option<&Sale>) -> Vec<String> {
    let Some(sale) = sale else { return vec!["Tryton has no sale".into()] };
    let mut wrong = settled(order, status, sale);
    let off = order.tax - sale.tax.unwrap_or_default();
    let rounding = money::from_minor(ROUNDING_WITHIN, &order.currency);
    if (off - order.off()).abs() > rounding {
        wrong.push(format!("tax is off by {off}, planted was {}", order.off()));
    }
    wrong
}

/// What every order that went through must show: one invoice that is paid, its total, its money, its goods.
fn settled(order: &Placed, status: &str, sale: &Sale) -> Vec<String> {
    let mut wrong = Vec::new();
    if status != "closed" {
        wrong.push(format!("the order is {status}"));
    }
    if sale.currency != order.currency {
        wrong.push(format!("the currency is {}", sale.currency));
    }
    wrong.extend(differs("the sale's total", order.total, sale.total.unwrap_or_default()));
    let standing: Vec<_> = sale.invoices.iter().filter(|invoice| invoice.state != "cancelled").collect();
    match standing.as_slice() {
        [invoice] => {
            wrong.extend(differs("the invoice's total", order.total, invoice.total.unwrap_or_default()));
            if invoice.state != "paid" {
                wrong.push(format!("the invoice is {}", invoice.state));
            }
        }
        several => wrong.push(format!("{} invoices stand", several.len())),
    }
    let received = sale.payments.iter().filter(|payment| payment.state == "succeeded");
    let paid = received.map(|payment| if payment.kind == "receivable" { payment.amount } else { -payment.amount }).sum();
    wrong.extend(differs("what was paid", order.total, paid));
    let mut left: BTreeMap<&str, Decimal> = BTreeMap::new();
    for moved in sale.moves.iter().filter(|moved| moved.state != "cancelled") {
        if moved.state == "done" {
            *left.entry(&moved.sku).or_default() += moved.quantity;
        } else {
            wrong.push(format!("{} {} have not left: {}", moved.quantity, moved.sku, moved.state));
        }
    }
    for sku in order.goods.keys().map(String::as_str).chain(left.keys().copied()).collect::<BTreeSet<_>>() {
        let (sold, shipped) = (order.goods.get(sku).copied().unwrap_or_default(), left.get(sku).copied().unwrap_or_default());
        wrong.extend(differs(&format!("what left of {sku}"), sold, shipped));
    }
    wrong
}

fn held(found: Option<&Found>, sale: Option<&Sale>) -> Vec<String> {
    let mut wrong = Vec::new();
    if found.is_none_or(|found| found.is_ended() || !found.waits_for_a_person()) {
        wrong.push("it does not wait for a person".into());
    }
    match sale {
        Some(sale) if sale.state == "quotation" && sale.invoices.is_empty() && sale.moves.is_empty() => {}
        Some(sale) => wrong.push(format!("the sale is {}", sale.state)),
        None => wrong.push("Tryton has no sale".into()),
    }
    wrong
}

/// Nothing left, nothing owed, nothing paid.
fn cancelled(status: &str, sale: Option<&Sale>) -> Vec<String> {
    let mut wrong = Vec::new();
    if status != "cancelled" {
        wrong.push(format!("the order is {status}"));
    }
    let Some(sale) = sale else { return wrong };
    if matches!(sale.state.as_str(), "draft" | "quotation" | "confirmed") {
        wrong.push(format!("the sale is {}", sale.state));
    }
    for invoice in sale.invoices.iter().filter(|invoice| invoice.state != "cancelled") {
        wrong.push(format!("an invoice is {}", invoice.state));
    }
    for moved in sale.moves.iter().filter(|moved| moved.state != "cancelled") {
        wrong.push(format!("a move is {}", moved.state));
    }
    if !sale.payments.iter().all(|payment| payment.state == "failed") {
        wrong.push("it was paid".into());
    }
    wrong
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to_book, equal, posted_as_planted, held_as_planted, cancelled, cancelled_with_a_sale, too_late, .. } = self;
        let share = if *to_book == 0 { 0.0 } else { *equal as f64 * 100.0 / *to_book as f64 };
        writeln!(f, "{equal} of {to_book} orders are equal to the cent ({share:.1} %)")?;
        writeln!(f, "planted: {posted_as_planted} posted with their difference, {held_as_planted} held")?;
        writeln!(
            f,
            "cancelled: {cancelled}, {cancelled_with_a_sale} of them undone in Tryton; {too_late} came too late and were shipped"
        )?;
        let Self { sales, invoices, payments, second_sales, second_invoices, second_payments, .. } = self;
        writeln!(f, "Tryton has {sales} sales, {invoices} invoices, {payments} payments")?;
        writeln!(f, "twice: {second_sales} sales, {second_invoices} invoices, {second_payments} payments")?;
        for (end, count) in &self.ends {
            writeln!(f, "  {end:<32}{count:>6}")?;
        }
        for finding in self.findings.iter().take(TOLD_MAX) {
            writeln!(f, "  - {finding}")?;
        }
        let hidden = self.findings.len().saturating_sub(TOLD_MAX);
        if hidden > 0 {
            writeln!(f, "  - and {hidden} more")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tryton::tables::{Invoice, Move, Payment};

    fn amount(text: &str) -> Decimal {
        text.parse().expect("it is a decimal")
    }

    fn order(purpose: Purpose) -> Placed {
        Placed {
            purpose,
            site: "DE".into(),
            number: "1".into(),
            currency: "EUR".into(),
            total: amount("11.90"),
            tax: amount("1.90"),
            goods: [("A".to_owned(), Decimal::TWO)].into(),
        }
    }

    fn sale() -> Sale {
        let moved = |quantity: &str| Move { sku: "A".into(), quantity: amount(quantity), state: "done".into() };
        Sale {
            shop: Some(7),
            web_id: Some("sfcc/DE/1".into()),
            state: "done".into(),
            currency: "EUR".into(),
            total: Some(amount("11.90")),
            tax: Some(amount("1.90")),
            invoices: vec![Invoice { id: 1, state: "paid".into(), total: Some(amount("11.90")), tax: Some(amount("1.90")) }],
            payments: vec![Payment {
                kind: "receivable".into(),
                state: "succeeded".into(),
                amount: amount("11.9"),
                reference: Some("p".into()),
            }],
            moves: vec![moved("1"), moved("1.0")],
        }
    }

    fn judged(purpose: Purpose, status: &str, sales: &[Sale]) -> Judged {
        let found = Found { status: status.into(), ..Found::default() };
        judge(&[order(purpose)], &[("DE/1".to_owned(), found)].into(), sales, &[(7, "DE".to_owned())].into())
    }

    #[test]
    fn a_sale_that_shows_the_order_is_equal() {
        let judged = judged(Purpose::Booked, "closed", &[sale()]);
        assert!(judged.is_good() && judged.equal == 1, "{judged:?}");
    }

    #[test]
    fn whatever_differs_is_found() {
        type Change = fn(&mut Sale);
        let changes: [(&str, Change); 10] = [
            ("total", |s| s.total = Some(Decimal::TEN)),
            ("tax", |s| s.tax = Some(Decimal::ONE)),
            ("invoice's tax", |s| s.invoices[0].tax = None),
            ("invoice's total", |s| s.invoices[0].total = None),
            ("the invoice is", |s| s.invoices[0].state = "posted".into()),
            ("second invoice", |s| s.invoices.push(s.invoices[0].clone())),
            ("twice", |s| s.payments.push(s.payments[0].clone())),
            ("paid", |s| s.payments[0].state = "processing".into()),
            ("not left", |s| s.moves[0].state = "assigned".into()),
            ("left of A", |s| s.moves.truncate(1)),
        ];
        for (what, change) in changes {
            let mut sale = sale();
            change(&mut sale);
            let judged = judged(Purpose::Booked, "closed", &[sale]);
            assert!(!judged.is_good() && judged.findings.iter().any(|finding| finding.contains(what)), "{what}: {judged:?}");
        }
    }

    #[test]
    fn a_second_sale_and_a_sale_of_nobody_are_found() {
        let stranger = Sale { web_id: None, ..sale() };
        for (sales, what) in [([sale(), sale()], "a second sale"), ([sale(), stranger], "nobody's")] {
            let judged = judged(Purpose::Booked, "closed", &sales);
            assert!(judged.findings.iter().any(|finding| finding.contains(what)), "{what}: {judged:?}");
        }
    }

    #[test]
    fn a_held_order_waits_for_a_person_and_not_for_a_late_answer() {
        let quotation =
            Sale { state: "quotation".into(), invoices: Vec::new(), moves: Vec::new(), payments: Vec::new(), ..sale() };
        for (class, held) in [("refused", 1), ("silent", 0)] {
            let found = Found { exceptions: vec![(class.to_owned(), String::new())], ..Found::default() };
            let found = [("DE/1".to_owned(), found)].into();
            let sales = std::slice::from_ref(&quotation);
            let judged = judge(&[order(Purpose::Held)], &found, sales, &[(7, "DE".to_owned())].into());
            assert_eq!(judged.held_as_planted, held, "{class}");
        }
    }

    #[test]
    fn a_cancelled_order_leaves_nothing_standing() {
        let purpose = Purpose::Cancelled { after_ms: 0 };
        let mut undone = sale();
        undone.invoices[0].state = "cancelled".into();
        undone.payments.clear();
        undone.moves.iter_mut().for_each(|moved| moved.state = "cancelled".into());
        assert_eq!(judged(purpose, "cancelled", &[]).cancelled, 1);
        assert_eq!(judged(purpose, "cancelled", &[undone]).cancelled_with_a_sale, 1);
        assert_eq!(judged(purpose, "closed", &[sale()]).too_late, 1);
        assert!(!judged(purpose, "cancelled", &[sale()]).is_good());
    }
}
