//! What a system did: one row per applied effect, kept by the simulator alone.
//!
//! A checker compares these ledgers with each other and never asks the hub. Rows are appended only when something was really
//! applied: a refused call, a replayed answer and an injected error leave no row.
//!
//! `reference` is the record's id in that system, `parent` the id of the record it acts on, `key` what the caller sent to
//! identify the call (its idempotency key or its own reference). An operation on several lines writes one row without `line`
//! and then one `<noun>.line` row a line.

use std::sync::Arc;

use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

use crate::json::{Json, object};

/// Which storefront order a row belongs to; cheap to copy into many rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    pub channel: Arc<str>,
    pub site: Arc<str>,
    pub order: Arc<str>,
}

/// One applied effect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    pub seq: u64,
    pub at: i64,
    pub operation: &'static str,
    pub key: String,
    pub scope: Scope,
    pub reference: String,
    pub parent: String,
    pub line: String,
    pub sku: String,
    pub location: String,
    pub quantity: Option<Decimal>,
    pub amount: Option<Decimal>,
    pub currency: String,
    pub state: String,
}

/// The append-only ledger of one system.
#[derive(Debug)]
pub struct Ledger {
    system: &'static str,
    rows: Vec<Row>,
}

impl Ledger {
    pub fn new(system: &'static str) -> Self {
        Ledger { system, rows: Vec::new() }
    }

    pub fn system(&self) -> &'static str {
        self.system
    }

    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Appends a row and numbers it from 1.
    pub fn add(&mut self, now: i64, mut row: Row) {
        row.seq = self.rows.len() as u64 + 1;
        row.at = now;
        self.rows.push(row);
    }

    /// Every row from sequence `after` on, as JSON lines.
    pub fn lines(&self, after: u64) -> String {
        let mut out = String::new();
        for row in self.rows.iter().skip(usize::try_from(after).unwrap_or(usize::MAX)) {
            row.json(self.system).write(&mut out);
            out.push('\n');
        }
        out
    }

    /// The SHA-256 of all lines: two runs are the same run if their digests are.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for row in &self.rows {
            hash.update(row.json(self.system).render().as_bytes());
        }
        hex::encode(hash.finalize())
    }
}

impl Row {
    pub fn json(&self, system: &'static str) -> Json {
        fn text(value: &str) -> Json {
            if value.is_empty() { Json::Null } else { Json::from(value) }
        }
        fn exact(value: Option<Decimal>) -> Json {
            value.map_or(Json::Null, |v| Json::Text(v.to_string()))
        }
        object! {
            "seq": self.seq,
            "at": self.at,
            "system": system,
            "operation": self.operation,
            "key": text(&self.key),
            "channel": text(&self.scope.channel),
            "site": text(&self.scope.site),
            "order": text(&self.scope.order),
            "ref": text(&self.reference),
            "parent_ref": text(&self.parent),
            "line": text(&self.line),
            "sku": text(&self.sku),
            "location": text(&self.location),
            "quantity": exact(self.quantity),
            "amount": exact(self.amount),
            "currency": text(&self.currency),
            "state": text(&self.state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_text_and_absent_members_are_null() {
        let mut ledger = Ledger::new("erp");
        ledger.add(7, Row { operation: "invoice.create", amount: Some(Decimal::new(1290, 2)), ..Row::default() });
        assert_eq!(
            ledger.lines(0),
            "{\"seq\":1,\"at\":7,\"system\":\"erp\",\"operation\":\"invoice.create\",\"key\":null,\"channel\":null,\"site\":null,\
             \"order\":null,\"ref\":null,\"parent_ref\":null,\"line\":null,\"sku\":null,\"location\":null,\"quantity\":null,\
             \"amount\":\"12.90\",\"currency\":null,\"state\":null}\n"
        );
        assert_eq!(ledger.lines(1), "");
    }
}
