//! What the systems say they did: ledgers read from JSON lines, exact, by a reader that shares nothing with who wrote them.
//!
//! A ledger here is a list of facts. What its operations mean is in `vocabulary`; whether they make sense together is for `checks`.

use crossdock_canonical::{OrderRef, Timestamp};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// A longer line is no ledger row; it is reported, not read.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// One applied effect, or one line of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Row {
    /// Counts from 1 within its ledger.
    pub seq: u64,
    /// Milliseconds since 1970, by the system's clock.
    #[serde(deserialize_with = "instant")]
    pub at: i64,
    #[serde(deserialize_with = "text")]
    pub operation: String,
    /// What the caller sent to identify the call: its idempotency key, else its own reference. Empty: the system acted by itself.
    #[serde(deserialize_with = "text")]
    pub key: String,
    #[serde(deserialize_with = "text")]
    pub channel: String,
    #[serde(deserialize_with = "text")]
    pub site: String,
    #[serde(deserialize_with = "text")]
    pub order: String,
    /// The record's id in that system.
    #[serde(rename = "ref", deserialize_with = "text")]
    pub reference: String,
    /// The record it acts on.
    #[serde(rename = "parent_ref", deserialize_with = "text")]
    pub parent: String,
    #[serde(deserialize_with = "text")]
    pub line: String,
    #[serde(deserialize_with = "text")]
    pub sku: String,
    #[serde(deserialize_with = "text")]
    pub location: String,
    #[serde(deserialize_with = "decimal")]
    pub quantity: Option<Decimal>,
    #[serde(deserialize_with = "decimal")]
    pub amount: Option<Decimal>,
    #[serde(deserialize_with = "text")]
    pub currency: String,
    #[serde(deserialize_with = "text")]
    pub state: String,
}

impl Row {
    /// `channel/site/number`; `None` for rows of no order (stock counts, cards issued). A system with one field for our reference has
    /// all of it in `order`.
    pub fn order_key(&self) -> Option<String> {
        if self.channel.is_empty() && self.site.is_empty() {
            return OrderRef::parse(&self.order).map(|order| order.to_string());
        }
        let parts = [&self.channel, &self.site, &self.order];
        parts.iter().all(|part| !part.is_empty()).then(|| format!("{}/{}/{}", self.channel, self.site, self.order))
    }

    pub(crate) fn amount(&self) -> Decimal {
        self.amount.unwrap_or_default()
    }

    pub(crate) fn quantity(&self) -> Decimal {
        self.quantity.unwrap_or_default()
    }
}

/// The ledger of one system, in its own order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    pub rows: Vec<Row>,
    /// Lines that could not be read, and why: `(line number from 1, reason)`.
    pub unreadable: Vec<(usize, String)>,
}

impl Ledger {
    /// Reads JSON lines. A line that is no row is kept as a fault, so that nothing is passed over in silence. Unknown fields are
    /// ignored.
    pub fn parse(lines: &str) -> Self {
        let mut ledger = Self::default();
        for (index, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            match parse_line(line) {
                Ok(row) => ledger.rows.push(row),
                Err(reason) => ledger.unreadable.push((index + 1, reason)),
            }
        }
        ledger
    }

    /// The first row that does not follow the one before it by one.
    pub(crate) fn gap(&self) -> Option<(u64, u64)> {
        let expected = 1..=u64::try_from(self.rows.len()).unwrap_or(u64::MAX);
        expected.zip(&self.rows).find(|(expected, row)| row.seq != *expected).map(|(expected, row)| (expected, row.seq))
    }
}

/// All ledgers, by the name the landscape gives the system.
pub type Ledgers = BTreeMap<String, Ledger>;

/// Reads every system's ledger text.
pub fn parse_all<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Ledgers {
    texts.into_iter().map(|(system, lines)| (system.to_owned(), Ledger::parse(lines))).collect()
}

fn parse_line(line: &str) -> Result<Row, String> {
    if line.len() > LINE_BYTES_MAX {
        return Err(format!("{} bytes; a row has at most {LINE_BYTES_MAX}", line.len()));
    }
    let row: Row = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if row.operation.is_empty() {
        return Err("it names no operation".into());
    }
    Ok(row)
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(from)?.unwrap_or_default())
}

/// Text or number, digit by digit: a binary float never stands between.
fn decimal<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Decimal>, D::Error> {
    let raw = Box::<RawValue>::deserialize(from)?;
    match raw.get() {
        "null" => Ok(None),
        json => {
            let digits = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(json);
            Decimal::from_str_exact(digits).map(Some).map_err(|_| D::Error::custom(format!("{json:.40} is not an exact decimal")))
        }
    }
}

fn instant<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let raw = Box::<RawValue>::deserialize(from)?;
    let json = raw.get();
    let told = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let read = told.map_or_else(|| json.parse().ok(), |told| Timestamp::parse(told).map(|at| at.0));
    read.ok_or_else(|| D::Error::custom(format!("{json:.40} is neither milliseconds nor an RFC 3339 instant")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_exactly_and_unknown_fields_are_ignored() {
        let ledger = Ledger::parse(
            "{\"seq\":1,\"at\":7,\"system\":\"erp\",\"operation\":\"invoice.create\",\"key\":null,\"amount\":\"12.90\",\"quantity\":1.10,\"new\":[1]}\n\n",
        );
        assert_eq!(ledger.unreadable, []);
        assert_eq!(ledger.rows[0].amount.map(|amount| amount.to_string()).as_deref(), Some("12.90"));
        assert_eq!(ledger.rows[0].quantity.map(|quantity| quantity.to_string()).as_deref(), Some("1.10"));
        assert_eq!((ledger.rows[0].key.as_str(), ledger.rows[0].order_key()), ("", None));
    }

    #[test]
    fn an_order_is_known_by_three_fields_or_by_one_reference() {
        let row = |channel: &str, site: &str, order: &str| Row {
            channel: channel.into(),
            site: site.into(),
            order: order.into(),
            ..Row::default()
        };
        for (row, key) in [
            (row("sfcc", "DE", "1"), Some("sfcc/DE/1")),
            (row("", "", "sfcc/DE/1"), Some("sfcc/DE/1")),
            (row("", "", "1"), None),
            (row("sfcc", "", "1"), None),
        ] {
            assert_eq!(row.order_key().as_deref(), key);
        }
    }

    #[test]
    fn a_line_that_is_no_row_is_kept_as_a_fault_with_its_number() {
        let long = format!("{{\"operation\":\"{}\"}}", "x".repeat(LINE_BYTES_MAX));
        let cases = [
            ("half a line", "{\"seq\":1,\"oper"),
            ("no operation", "{\"seq\":1}"),
            ("amount in words", "{\"seq\":1,\"operation\":\"capture\",\"amount\":\"ten\"}"),
            (
                "too fine to be exact",
                "{\"seq\":1,\"operation\":\"capture\",\"amount\":\"0.00000000000000000000000000000000001\"}",
            ),
            ("time in words", "{\"seq\":1,\"operation\":\"capture\",\"at\":\"noon\"}"),
            ("too long", &long),
        ];
        for (what, line) in cases {
            let ledger = Ledger::parse(&format!("{{\"seq\":1,\"operation\":\"capture\"}}\n{line}\n"));
            assert_eq!((ledger.rows.len(), ledger.unreadable.len()), (1, 1), "{what}");
            assert_eq!(ledger.unreadable[0].0, 2, "{what}");
        }
    }

    #[test]
    fn a_row_taken_out_leaves_a_gap() {
        let row = |seq| Row { seq, ..Row::default() };
        assert_eq!(Ledger { rows: vec![row(1), row(2)], ..Ledger::default() }.gap(), None);
        assert_eq!(Ledger { rows: vec![row(1), row(3)], ..Ledger::default() }.gap(), Some((2, 3)));
        assert_eq!(Ledger { rows: vec![row(2)], ..Ledger::default() }.gap(), Some((1, 2)));
    }
}
