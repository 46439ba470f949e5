//! A subscriber's place in the journal: an offset for each partition, written so that it may stand in a header.

use crate::{
    PARTITIONS,
    audit::{hex, unhex},
};
use std::fmt;

/// Stored by subscribers: a later form begins with another letter.
const FORM: &str = "p";

pub(super) struct Cursor(Vec<i64>);

impl Default for Cursor {
    /// The beginning.
    fn default() -> Self {
        Self(vec![0; usize::from(PARTITIONS)])
    }
}

impl Cursor {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut cursor = Self::default();
        if text.is_empty() {
            return Some(cursor);
        }
        let bytes = unhex(text.strip_prefix(FORM)?)?;
        let mut bytes = bytes.iter();
        for offset in &mut cursor.0 {
            for place in 0_u32.. {
                let byte = *bytes.next()?;
                // Seven bits each, the lowest first; nine of them hold any offset there will be.
                if place == 9 {
                    return None;
                }
                *offset |= i64::from(byte & 0x7F) << (7 * place);
                if byte & 0x80 == 0 {
                    break;
                }
            }
        }
        bytes.next().is_none().then_some(cursor)
    }

    pub(super) fn offsets(&self) -> &[i64] {
        &self.0
    }

    pub(super) fn reach(&mut self, partition: u16, offset: i64) {
        if let Some(place) = self.0.get_mut(usize::from(partition)) {
            *place = offset.max(*place);
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(2 * self.0.len());
        for offset in &self.0 {
            let mut left = offset.cast_unsigned();
            while left >= 0x80 {
                bytes.push((left & 0x7F) as u8 | 0x80);
                left >>= 7;
            }
            bytes.push(left as u8);
        }
        write!(f, "{FORM}{}", hex(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_anything_else_is_none() {
        let mut cursor = Cursor::default();
        for (partition, offset) in [(0, 1), (1, 127), (2, 128), (3, 1 << 40), (255, 99_999)] {
            cursor.reach(partition, offset);
        }
        cursor.reach(0, 0);
        let text = cursor.to_string();
        assert_eq!(Cursor::parse(&text).map(|read| read.0), Some(cursor.0));
        for wrong in ["5", "p", "p00", &text[..text.len() - 2], &format!("{text}00"), &format!("p{}", "ff".repeat(300))] {
            assert!(Cursor::parse(wrong).is_none(), "{wrong}");
        }
        let mut far = Cursor::default();
        (0..PARTITIONS).for_each(|partition| far.reach(partition, 10_000_000_000));
        assert!(far.to_string().len() <= 4_096, "it stands in a header");
    }
}
