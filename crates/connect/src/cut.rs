//! Cutting a JSON page into its records without reading them: each record's own bytes, and a text field or two of it.
//!
//! A polled page holds hundreds of orders. Cutting by structure alone keeps every number as it was written, costs a fraction of
//! parsing, and lets one record that cannot be parsed become one exception instead of losing its whole page.

use std::borrow::Cow;

/// The bytes of each element of the array under `key` at the top of `document`; `None` when there is no such array.
pub fn elements<'d>(document: &'d [u8], key: &str) -> Option<Vec<&'d [u8]>> {
    let array = field(document, key)?;
    let mut cursor = Cursor { bytes: array, at: 0 };
    cursor.take(b'[')?;
    let mut elements = Vec::new();
    if cursor.peek()? == b']' {
        return Some(elements);
    }
    loop {
        elements.push(cursor.value()?);
        match cursor.next()? {
            b',' => {}
            b']' => return Some(elements),
            _ => return None,
        }
    }
}

/// The bytes of the value under `key` at the top of an object.
pub fn field<'d>(object: &'d [u8], key: &str) -> Option<&'d [u8]> {
    let mut cursor = Cursor { bytes: object, at: 0 };
    cursor.take(b'{')?;
    while cursor.peek()? == b'"' {
        let name = cursor.value()?;
        cursor.take(b':')?;
        let value = cursor.value()?;
        if text_of(name)? == key {
            return Some(value);
        }
        if cursor.next()? != b',' {
            return None;
        }
    }
    None
}

/// The text under `key` at the top of an object.
pub fn text<'d>(object: &'d [u8], key: &str) -> Option<Cow<'d, str>> {
    text_of(field(object, key)?)
}

/// A JSON text without its quotes and escapes.
fn text_of(quoted: &[u8]) -> Option<Cow<'_, str>> {
    let inner = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if !inner.contains(&b'\\') {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    let value = crossdock_value::parse(quoted, &crossdock_value::Limits::default()).ok()?;
    value.as_str().map(|text| Cow::Owned(text.to_owned()))
}

struct Cursor<'d> {
    bytes: &'d [u8],
    at: usize,
}

impl<'d> Cursor<'d> {
    fn peek(&mut self) -> Option<u8> {
        while self.bytes.get(self.at).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, expected: u8) -> Option<()> {
        (self.next()? == expected).then_some(())
    }

    /// Steps over one value and returns its bytes.
    fn value(&mut self) -> Option<&'d [u8]> {
        let first = self.peek()?;
        let start = self.at;
        match first {
            b'"' => self.string()?,
            b'{' | b'[' => {
                let mut depth = 0_usize;
                loop {
                    match self.bytes.get(self.at)? {
                        b'"' => {
                            self.string()?;
                            continue;
                        }
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth -= 1,
                        _ => {}
                    }
                    self.at += 1;
                    if depth == 0 {
                        break;
                    }
                }
            }
            b',' | b':' | b'}' | b']' => return None,
            _ => {
                while self.bytes.get(self.at).is_some_and(|b| !matches!(b, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r')) {
                    self.at += 1;
                }
            }
        }
        Some(&self.bytes[start..self.at])
    }

    fn string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            self.at += quote_or_escape(self.bytes.get(self.at..)?)?;
            if self.bytes[self.at] == b'"' {
                self.at += 1;
                return Some(());
            }
            self.at += 2;
        }
    }
}

/// Where the first quote or backslash is. Eight bytes at a time: a byte of `word ^ pattern` is zero where it is the pattern's.
pub(crate) fn quote_or_escape(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = ONES << 7;
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    let (eights, rest) = bytes.as_chunks::<8>();
    for (at, eight) in eights.iter().enumerate() {
        let word = u64::from_le_bytes(*eight);
        let found = zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
        // The lowest mark is true; those above it may be carried over from it.
        if found != 0 {
            return Some(8 * at + found.trailing_zeros() as usize / 8);
        }
    }
    let before = bytes.len() - rest.len();
    rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).map(|at| before + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(document: &str) -> Option<Vec<String>> {
        let parts = elements(document.as_bytes(), "data")?;
        Some(parts.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect())
    }

    #[test]
    fn elements_keep_their_bytes() {
        let cases = [
            (r#"{"limit":2,"data":[{"a":1.50},{"b":"],}"}]}"#, Some(vec![r#"{"a":1.50}"#, r#"{"b":"],}"}"#])),
            (r#" { "data" : [ 1e3 , "x\"]" , [ [ ] , {} ] ] } "#, Some(vec!["1e3", r#""x\"]""#, "[ [ ] , {} ]"])),
            (r#"{"data":[]}"#, Some(vec![])),
            (r#"{"inner":{"data":[1]},"data":[2]}"#, Some(vec!["2"])),
            (r#"{"data":{}}"#, None),
            (r#"{"data":[1,"#, None),
            (r#"{"data":[1 2]}"#, None),
            ("[]", None),
            ("", None),
            (r#"{"data":["\"#, None),
        ];
        for (document, expected) in cases {
            let expected = expected.map(|parts| parts.into_iter().map(str::to_owned).collect());
            assert_eq!(cut(document), expected, "{document}");
        }
    }

    #[test]
    fn the_first_quote_or_backslash_is_found_wherever_it_lies() {
        for length in 0..40 {
            let plain = vec![b'!'; length];
            assert_eq!(quote_or_escape(&plain), None, "{length}");
            for at in 0..length {
                for found in [b'"', b'\\'] {
                    let mut bytes = plain.clone();
                    bytes[at] = found;
                    assert_eq!(quote_or_escape(&bytes), Some(at), "{length}");
                    // What differs from it by a carry lies right above it.
                    bytes[at..].iter_mut().skip(1).for_each(|byte| *byte = found ^ 1);
                    assert_eq!(quote_or_escape(&bytes), Some(at), "{length}");
                }
            }
        }
    }

    #[test]
    fn a_text_field_is_found_at_the_top_only() {
        let order = br#"{"x":{"orderNo":"inner"},"orderNo":"00\u0034","n":12}"#;
        assert_eq!(text(order, "orderNo").as_deref(), Some("004"));
        assert_eq!(text(order, "n"), None);
        assert_eq!(text(order, "absent"), None);
        assert_eq!(field(order, "n"), Some(&b"12"[..]));
    }
}
