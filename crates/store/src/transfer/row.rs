//! A row between two stores: its cells as the target keeps them, and the digest that both sides must agree on.

use sha2::{Digest, Sha256};
use tokio_postgres::types::{ToSql, Type};

/// How a column stands in the target, and what becomes of the source's value on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Int8,
    Int2,
    Text,
    Bytes,
    /// A hash kept as bytes, any other text as text; the target says which by a first byte.
    Compact,
    /// A subject's wrapped key: zeros in the source, nothing in the target once it is erased.
    Wrapped,
    /// The key of the process a message waits for, of which the target keeps the partition.
    Turn,
}

impl Kind {
    pub(crate) fn of_target(self) -> Type {
        match self {
            Self::Int8 => Type::INT8,
            Self::Int2 | Self::Turn => Type::INT2,
            Self::Text => Type::TEXT,
            Self::Bytes | Self::Compact | Self::Wrapped => Type::BYTEA,
        }
    }
}

/// A value as the target keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    Null(Kind),
    Int8(i64),
    Int2(i16),
    Text(String),
    Bytes(Vec<u8>),
}

impl Cell {
    pub(crate) fn as_sql(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Null(kind) => match kind.of_target() {
                Type::INT8 => &None::<i64>,
                Type::INT2 => &None::<i16>,
                Type::TEXT => &None::<&str>,
                _ => &None::<&[u8]>,
            },
            Self::Int8(value) => value,
            Self::Int2(value) => value,
            Self::Text(value) => value,
            Self::Bytes(value) => value,
        }
    }

    /// Bytes it takes in memory, nearly.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Null(_) | Self::Int8(_) | Self::Int2(_) => 8,
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

/// Counts and digests the rows of one table, in the order of its key.
#[derive(Default)]
pub(crate) struct Content {
    rows: u64,
    hash: Sha256,
}

impl Content {
    pub(crate) fn add(&mut self, row: &[Cell]) {
        self.rows += 1;
        for cell in row {
            // The tag and the length keep a value from wandering into its neighbor unseen.
            match cell {
                Cell::Null(_) => self.hash.update([0]),
                Cell::Int8(value) => self.number(*value),
                Cell::Int2(value) => self.number((*value).into()),
                Cell::Text(text) => self.sized(2, text.as_bytes()),
                Cell::Bytes(bytes) => self.sized(3, bytes),
            }
        }
    }

    fn number(&mut self, value: i64) {
        self.hash.update([1]);
        self.hash.update(value.to_le_bytes());
    }

    fn sized(&mut self, tag: u8, bytes: &[u8]) {
        self.hash.update([tag]);
        self.hash.update((bytes.len() as u64).to_le_bytes());
        self.hash.update(bytes);
    }

    /// How many rows, and their SHA-256 in hex.
    pub(crate) fn end(self) -> (u64, String) {
        (self.rows, crate::audit::hex(&self.hash.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(rows: &[&[Cell]]) -> (u64, String) {
        let mut content = Content::default();
        rows.iter().for_each(|row| content.add(row));
        content.end()
    }

    #[test]
    fn every_difference_of_a_row_changes_the_digest() {
        let row = [Cell::Int8(1), Cell::Text("ab".into()), Cell::Bytes(vec![1]), Cell::Null(Kind::Int8)];
        let base = digest(&[&row]);
        for other in [
            [Cell::Int8(2), Cell::Text("ab".into()), Cell::Bytes(vec![1]), Cell::Null(Kind::Int8)],
            [Cell::Int8(1), Cell::Text("a".into()), Cell::Bytes(vec![b'b', 1]), Cell::Null(Kind::Int8)],
            [Cell::Int8(1), Cell::Bytes(b"ab".to_vec()), Cell::Bytes(vec![1]), Cell::Null(Kind::Int8)],
            [Cell::Int8(1), Cell::Text("ab".into()), Cell::Bytes(vec![1]), Cell::Int8(0)],
        ] {
            assert_ne!(digest(&[&other]), base, "{other:?}");
        }
        assert_ne!(digest(&[&row, &row]), base);
        assert_eq!(digest(&[&row]), base);
        assert_eq!(digest(&[&[Cell::Int2(7)]]).1, digest(&[&[Cell::Int8(7)]]).1, "a width is no content");
    }
}
