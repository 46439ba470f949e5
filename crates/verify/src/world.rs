//! Ledgers and hub side by side, sorted by order, so that each check reads like its sentence.

use crate::{
    Options,
    hub::{HubView, Process},
    ledger::{Ledgers, Row},
    report::Finding,
    trace::Trace,
};
use crossdock_canonical::Timestamp;
use rust_decimal::Decimal;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
};

/// A row and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub system: &'a str,
    /// Position in its ledger; `seq` is only what the row says of itself.
    pub index: usize,
    pub row: &'a Row,
}

impl Deref for Entry<'_> {
    type Target = Row;
    fn deref(&self) -> &Row {
        self.row
    }
}

impl<'a> Entry<'a> {
    pub fn finding(&self, text: impl Into<String>) -> Finding {
        Finding {
            order: self.order_key().unwrap_or_default(),
            system: self.system.to_owned(),
            seq: Some(self.seq),
            text: text.into(),
        }
    }

    pub fn place(&self) -> (&'a str, usize) {
        (self.system, self.index)
    }
}

/// Everything known of one order.
pub(crate) struct Order<'a> {
    pub key: &'a str,
    pub rows: Vec<Entry<'a>>,
    /// The hub's order process.
    pub process: Option<&'a Process>,
    /// A person was asked about the order or its payment.
    pub is_parked: bool,
}

impl<'a> Order<'a> {
    pub fn all<'s>(&'s self, operation: &'s str) -> impl Iterator<Item = &'s Entry<'a>> + 's {
        self.rows.iter().filter(move |row| row.operation == operation)
    }

    pub fn has(&self, operation: &str) -> bool {
        self.all(operation).next().is_some()
    }

    pub fn earliest(&self, operation: &str) -> Option<&Entry<'a>> {
        self.rows.iter().filter(|row| row.operation == operation).min_by_key(|row| row.at)
    }

    /// Rows below a record: its lines, cancellations, shipments.
    pub fn below<'s>(&'s self, record: &'s Entry<'a>, operation: &'s str) -> impl Iterator<Item = &'s Entry<'a>> + 's {
        self.all(operation).filter(move |row| row.system == record.system && row.parent == record.reference)
    }

    /// The lines of a record itself.
    pub fn lines<'s>(&'s self, record: &'s Entry<'a>, operation: &'s str) -> impl Iterator<Item = &'s Entry<'a>> + 's {
        self.all(operation).filter(move |row| row.system == record.system && row.reference == record.reference)
    }

    /// Quantities of an operation by order line.
    pub fn by_line(&self, operation: &str) -> BTreeMap<&'a str, Decimal> {
        let mut sums = BTreeMap::new();
        for row in self.all(operation) {
            *sums.entry(row.row.line.as_str()).or_insert(Decimal::ZERO) += row.quantity();
        }
        sums
    }

    /// What the storefront sold it for.
    pub fn placed(&self) -> Option<&Entry<'a>> {
        self.rows.iter().find(|row| row.operation == "order.placed")
    }

    pub fn finding(&self, text: impl Into<String>) -> Finding {
        Finding { order: self.key.to_owned(), text: text.into(), ..Finding::default() }
    }
}

pub(crate) struct World<'a> {
    pub ledgers: &'a Ledgers,
    pub hub: Option<&'a HubView>,
    pub options: &'a Options,
    /// By key, ascending.
    pub orders: Vec<Order<'a>>,
    pub trace: Trace<'a>,
    /// Rows of copies that were taken back: they count as never written.
    taken_back: BTreeSet<(&'a str, usize)>,
}

impl<'a> World<'a> {
    /// `keys` are the keys of all orders that ledgers or hub know, kept by the caller.
    pub fn new(
        ledgers: &'a Ledgers,
        hub: Option<&'a HubView>,
        options: &'a Options,
        keys: &'a BTreeMap<String, Vec<(&'a str, usize)>>,
    ) -> Self {
        let mut taken_back = BTreeSet::new();
        let orders: Vec<Order<'a>> = keys
            .iter()
            .map(|(key, places)| Order {
                key,
                rows: {
                    let entry =
                        |(system, index): &(&'a str, usize)| Entry { system, index: *index, row: &ledgers[*system].rows[*index] };
                    let mut rows: Vec<Entry<'a>> = places.iter().map(entry).collect();
                    let back = copies_taken_back(&rows, options);
                    rows.retain(|row| !back.contains(&row.place()));
                    taken_back.extend(back);
                    rows
                },
                process: hub.and_then(|hub| hub.of_order(key).find(|process| &*process.key.kind == "order")),
                is_parked: hub.is_some_and(|hub| hub.of_order(key).any(Process::is_parked)),
            })
            .collect();
        let mut trace = Trace::new(&orders, hub);
        for (system, ledger) in ledgers {
            let rows = ledger.rows.iter().enumerate().map(|(index, row)| Entry { system, index, row });
            trace.match_orderless(
                rows.filter(|row| !row.order.is_empty() || !row.key.is_empty()).filter(|row| row.order_key().is_none()),
            );
        }
        Self { ledgers, hub, options, orders, trace, taken_back }
    }

    /// Every order key and where its rows are.
    pub fn keys<'l>(ledgers: &'l Ledgers, hub: Option<&HubView>) -> BTreeMap<String, Vec<(&'l str, usize)>> {
        let mut keys: BTreeMap<String, Vec<(&'l str, usize)>> = BTreeMap::new();
        for (system, ledger) in ledgers {
            for (index, row) in ledger.rows.iter().enumerate() {
                if let Some(key) = row.order_key() {
                    keys.entry(key).or_default().push((system, index));
                }
            }
        }
        for process in hub.into_iter().flat_map(HubView::orders) {
            keys.entry(process.key.key.to_string()).or_default();
        }
        keys
    }

    pub fn order(&self, key: &str) -> Option<&Order<'a>> {
        self.orders.binary_search_by(|order| order.key.cmp(key)).ok().map(|place| &self.orders[place])
    }

    /// The order a row belongs to.
    pub fn order_of(&self, row: &Entry<'a>) -> Option<&Order<'a>> {
        self.order(&row.order_key()?)
    }

    /// Whether any ledger speaks of this.
    pub fn speaks_of(&self, operation: &str) -> bool {
        self.ledgers.values().any(|ledger| ledger.rows.iter().any(|row| row.operation == operation))
    }

    /// All rows of every ledger.
    pub fn rows(&self) -> impl Iterator<Item = Entry<'a>> {
        self.ledgers
            .iter()
            .flat_map(|(system, ledger)| ledger.rows.iter().enumerate().map(move |(index, row)| Entry { system, index, row }))
            .filter(|row| !self.taken_back.contains(&row.place()))
    }

    /// Whether `a` is before `b` beyond what the systems' clocks may differ.
    pub fn is_before(&self, a: i64, b: i64) -> bool {
        a.saturating_add(self.options.clock_skew.0) < b
    }

    /// Old enough that everything about it should have settled.
    pub fn is_due(&self, at: Timestamp) -> bool {
        at + self.options.settle <= self.options.now
    }
}

/// Of a system that cannot refuse a repeat: the second ERP orders of one storefront order that were cancelled whole, by calls under the
/// key of the intent that made them. One always stays.
fn copies_taken_back<'a>(rows: &[Entry<'a>], options: &Options) -> BTreeSet<(&'a str, usize)> {
    let takes_repeats = |row: &&Entry<'a>| options.take_repeats.contains(row.system);
    let made: Vec<_> = rows.iter().filter(|row| row.operation == "sales_order.create").filter(takes_repeats).collect();
    let under_its_key = |row: &Entry<'a>| made.iter().any(|made| made.key == row.key);
    let pieces = |wanted: &dyn Fn(&Entry<'a>) -> bool| {
        let mut sums: BTreeMap<&str, Decimal> = BTreeMap::new();
        for row in rows.iter().filter(|row| wanted(row)) {
            *sums.entry(row.row.line.as_str()).or_default() += row.quantity();
        }
        sums
    };
    let is_back = |order: &&&Entry<'a>| {
        let same = |row: &Entry<'a>| row.system == order.system;
        let sold = pieces(&|row| same(row) && row.operation == "sales_order.line" && row.reference == order.reference);
        let cancelled = pieces(&|row| {
            same(row) && row.operation == "sales_order.cancel.line" && row.parent == order.reference && under_its_key(row)
        });
        !sold.is_empty() && sold == cancelled
    };
    let back = made.iter().filter(is_back).take(made.len().saturating_sub(1));
    let of = |order: &&Entry<'a>, row: &Entry<'a>| {
        row.system == order.system && (row.reference == order.reference || row.parent == order.reference)
    };
    back.flat_map(|order| rows.iter().filter(move |row| of(order, row)).map(Entry::place)).collect()
}
