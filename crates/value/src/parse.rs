//! Reading JSON from the wire: strict, bounded, exact.
//!
//! Refused are: numbers that would have to be rounded, a key given twice, invalid UTF-8, anything
//! after the value, and whatever exceeds [`Limits`]. A document is either understood whole or not
//! accepted at all; nothing is repaired.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use hifijson::token::Lex as _;
use hifijson::{SliceLexer, num::LexWrite as _, str::LexAlloc as _};

use crate::{Map, Value, decimal};

/// What a document may cost.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Size of the document.
    pub bytes_max: usize,
    /// Arrays and objects within each other.
    pub depth_max: usize,
    /// Values of every kind; a byte of input can cost many bytes of memory, so bytes do not bound it.
    pub values_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes_max: 16 << 20, depth_max: 64, values_max: 1_000_000 }
    }
}

/// Why a document was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}{}", Place(.path))]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// Where it was noticed, in bytes from the start.
    pub offset: usize,
    /// The value it is in, such as `lines[3].price`; empty at the top.
    pub path: String,
}

impl ParseError {
    /// A code that does not change between releases.
    pub fn code(&self) -> &'static str {
        match self.kind {
            ParseErrorKind::TooLarge { .. } => "json.too_large",
            ParseErrorKind::TooDeep { .. } => "json.too_deep",
            ParseErrorKind::TooMany { .. } => "json.too_many_values",
            ParseErrorKind::Expected(_) => "json.syntax",
            ParseErrorKind::Text(_) => "json.text",
            ParseErrorKind::Utf8 => "json.invalid_utf8",
            ParseErrorKind::Number => "json.number_out_of_range",
            ParseErrorKind::DuplicateKey(_) => "json.duplicate_key",
            ParseErrorKind::Trailing => "json.trailing",
        }
    }
}

/// What is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    #[error("the document has {bytes} bytes; at most {max} are accepted")]
    TooLarge { bytes: usize, max: usize },
    #[error("more than {max} arrays and objects within each other")]
    TooDeep { max: usize },
    #[error("more than {max} values")]
    TooMany { max: usize },
    #[error("expected {0}")]
    Expected(&'static str),
    #[error("malformed text: {0}")]
    Text(String),
    #[error("text is not valid UTF-8")]
    Utf8,
    #[error("the number does not fit in 28 digits; it would have to be rounded")]
    Number,
    #[error("the key \"{0}\" comes twice in one object")]
    DuplicateKey(String),
    #[error("expected the end of the document")]
    Trailing,
}

struct Place<'a>(&'a str);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " in {}", self.0) }
    }
}

/// Reads exactly one JSON value.
pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Value, ParseError> {
    read::<Value>(bytes, limits)
}

/// Whether `parse` would read it, without making a value of it: for what is passed on as it was written.
pub fn check(bytes: &[u8], limits: &Limits) -> Result<(), ParseError> {
    read::<()>(bytes, limits)
}

fn read<V: Made>(bytes: &[u8], limits: &Limits) -> Result<V, ParseError> {
    if bytes.len() > limits.bytes_max {
        let kind = ParseErrorKind::TooLarge { bytes: bytes.len(), max: limits.bytes_max };
        return Err(ParseError { kind, offset: limits.bytes_max, path: String::new() });
    }
    let mut reader = Reader { lexer: SliceLexer::new(bytes), limits, values: 0 };
    let mut path = Vec::new();
    let result = reader.document(&mut path);
    result.map_err(|kind| ParseError { kind, offset: bytes.len() - reader.lexer.as_slice().len(), path: spell(&path) })
}

/// Reads exactly one JSON value from text, within the default limits.
pub fn parse_str(text: &str) -> Result<Value, ParseError> {
    parse(text.as_bytes(), &Limits::default())
}

/// A step on the way to the value being read; left in place when reading fails.
enum Step<'a> {
    Item(usize),
    Key(Cow<'a, str>),
}

/// What is made of what is read.
trait Made: Sized {
    type Object<'a>: Default;

    fn word(word: Option<bool>) -> Self;
    fn number(number: rust_decimal::Decimal) -> Self;
    fn text(text: Cow<'_, str>) -> Self;
    fn array(items: Vec<Self>) -> Self;
    fn has(object: &Self::Object<'_>, key: &str) -> bool;
    /// The key is not there yet.
    fn add<'a>(object: &mut Self::Object<'a>, key: Cow<'a, str>, value: Self);
    fn object(object: Self::Object<'_>) -> Self;
}

impl Made for Value {
    type Object<'a> = Map;

    fn word(word: Option<bool>) -> Self {
        word.map_or(Value::Null, Value::Bool)
    }

    fn number(number: rust_decimal::Decimal) -> Self {
        Value::Num(number)
    }

    fn text(text: Cow<'_, str>) -> Self {
        Value::Str(text.into())
    }

    fn array(items: Vec<Self>) -> Self {
        Value::from(items)
    }

    fn has(object: &Map, key: &str) -> bool {
        object.contains_key(key)
    }

    fn add<'a>(object: &mut Map, key: Cow<'a, str>, value: Self) {
        object.push(Arc::from(key), value);
    }

    fn object(object: Map) -> Self {
        Value::from(object)
    }
}

/// Nothing: only the keys of an object are remembered while it is read, so that none comes twice.
impl Made for () {
    type Object<'a> = Keys<'a>;

    fn word(_: Option<bool>) {}

    fn number(_: rust_decimal::Decimal) {}

    fn text(_: Cow<'_, str>) {}

    fn array(_: Vec<()>) {}

    fn has(object: &Keys<'_>, key: &str) -> bool {
        object.has(key)
    }

    fn add<'a>(object: &mut Keys<'a>, key: Cow<'a, str>, (): ()) {
        object.add(key);
    }

    fn object(_: Keys<'_>) {}
}

/// The keys of an object: along a vector while they are few, as in [`Map`].
#[derive(Default)]
struct Keys<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Keys<'a> {
    fn has(&self, key: &str) -> bool {
        if self.many.is_empty() { self.few.iter().any(|known| known == key) } else { self.many.contains(key) }
    }

    fn add(&mut self, key: Cow<'a, str>) {
        if self.few.len() < Map::INDEX_FROM && self.many.is_empty() {
            self.few.push(key);
        } else {
            self.many.extend(self.few.drain(..));
            self.many.insert(key);
        }
    }
}

struct Reader<'a, 'l> {
    lexer: SliceLexer<'a>,
    limits: &'l Limits,
    values: usize,
}

type Parsed<T> = Result<T, ParseErrorKind>;

impl<'a> Reader<'a, '_> {
    fn document<V: Made>(&mut self, path: &mut Vec<Step<'a>>) -> Parsed<V> {
        let next = self.lexer.ws_peek().ok_or(ParseErrorKind::Expected("a value"))?;
        let value = self.value(next, path)?;
        match self.lexer.ws_peek() {
            None => Ok(value),
            Some(_) => Err(ParseErrorKind::Trailing),
        }
    }

    fn value<V: Made>(&mut self, next: u8, path: &mut Vec<Step<'a>>) -> Parsed<V> {
        self.values += 1;
        if self.values > self.limits.values_max {
            return Err(ParseErrorKind::TooMany { max: self.limits.values_max });
        }
        match next {
            b'"' => self.lexer.discarded().str_string().map(V::text).map_err(text_error),
            b'-' | b'0'..=b'9' => self.number(),
            b'[' | b'{' if path.len() >= self.limits.depth_max => Err(ParseErrorKind::TooDeep { max: self.limits.depth_max }),
            b'[' => self.array(path),
            b'{' => self.object(path),
            b'a'..=b'z' => match self.lexer.null_or_bool() {
                Some(word) => Ok(V::word(word)),
                None => Err(ParseErrorKind::Expected("null, true or false")),
            },
            _ => Err(ParseErrorKind::Expected("a value")),
        }
    }

    fn number<V: Made>(&mut self) -> Parsed<V> {
        let start = self.lexer.as_slice();
        let number = self.lexer.num_string().validated();
        let (text, _) = number.map_err(|_| ParseErrorKind::Expected("a digit"))?;
        decimal::read(text).map(V::number).ok_or_else(|| {
            // Point at the number, not behind it.
            self.lexer = SliceLexer::new(start);
            ParseErrorKind::Number
        })
    }

    fn array<V: Made>(&mut self, path: &mut Vec<Step<'a>>) -> Parsed<V> {
        let mut items = Vec::new();
        self.sequence(b']', |reader, next| {
            path.push(Step::Item(items.len()));
            items.push(reader.value(next, path)?);
            path.pop();
            Ok(())
        })?;
        Ok(V::array(items))
    }

    fn object<V: Made>(&mut self, path: &mut Vec<Step<'a>>) -> Parsed<V> {
        let mut object = V::Object::<'a>::default();
        self.sequence(b'}', |reader, next| {
            if next != b'"' {
                return Err(ParseErrorKind::Expected("a key in quotes"));
            }
            let start = reader.lexer.as_slice();
            let key = reader.lexer.discarded().str_string().map_err(text_error)?;
            if V::has(&object, &key) {
                reader.lexer = SliceLexer::new(start);
                return Err(ParseErrorKind::DuplicateKey(key.into_owned()));
            }
            if reader.lexer.ws_peek() != Some(b':') {
                return Err(ParseErrorKind::Expected("a colon"));
            }
            let next = reader.lexer.discarded().ws_peek().ok_or(ParseErrorKind::Expected("a value"))?;
            path.push(Step::Key(key.clone()));
            let value = reader.value(next, path)?;
            path.pop();
            V::add(&mut object, key, value);
            Ok(())
        })?;
        Ok(V::object(object))
    }

    /// Reads `first, second, ...` up to `end`; the opening bracket is still to be taken.
    fn sequence(&mut self, end: u8, mut element: impl FnMut(&mut Self, u8) -> Parsed<()>) -> Parsed<()> {
        let mut next = self.lexer.discarded().ws_peek();
        if next == Some(end) {
            self.lexer.discarded();
            return Ok(());
        }
        loop {
            element(self, next.ok_or(ParseErrorKind::Expected("a value or the end of the sequence"))?)?;
            match self.lexer.ws_peek() {
                Some(b',') => next = self.lexer.discarded().ws_peek(),
                Some(last) if last == end => {
                    self.lexer.discarded();
                    return Ok(());
                }
                _ => {
                    return Err(ParseErrorKind::Expected("a comma or the end of the sequence"));
                }
            }
        }
    }
}

fn text_error(error: hifijson::str::Error) -> ParseErrorKind {
    match error {
        hifijson::str::Error::Utf8(_) => ParseErrorKind::Utf8,
        other => ParseErrorKind::Text(other.to_string()),
    }
}

fn spell(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Item(n) => write!(text, "[{n}]"),
            Step::Key(key) if text.is_empty() => write!(text, "{key}"),
            Step::Key(key) => write!(text, ".{key}"),
        }
        .expect("writing to a string does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::to_json_string;

    fn refused(text: &[u8], limits: &Limits) -> (&'static str, usize, String) {
        let error = parse(text, limits).expect_err("the document is not to be accepted");
        assert_eq!(check(text, limits).as_ref(), Err(&error), "it is checked as it is read");
        (error.code(), error.offset, error.path)
    }

    #[test]
    fn documents_are_read_exactly() {
        let cases = [
            (" { \"a\" : [ 1 , 2.50 , -0.0 , 1e2 ] } ", r#"{"a":[1,2.50,0.0,100]}"#),
            (r#""\u0041\ud83d\ude00\n\/""#, "\"A\u{1F600}\\n/\""),
            ("[[],{},\"\",null,true,false]", "[[],{},\"\",null,true,false]"),
            ("12345678901234567890.123456", "12345678901234567890.123456"),
            ("18446744073709551616", "18446744073709551616"),
        ];
        for (text, expected) in cases {
            assert_eq!(to_json_string(&parse_str(text).unwrap()), expected, "{text}");
            assert_eq!(check(text.as_bytes(), &Limits::default()), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_is_not_exactly_one_sound_document_is_refused_where_it_fails() {
        let cases: [(&[u8], &str, usize, &str); 27] = [
            (b"", "json.syntax", 0, ""),
            (b"  ", "json.syntax", 2, ""),
            (b"[1", "json.syntax", 2, ""),
            (b"[1,]", "json.syntax", 3, "[1]"),
            (b"[1 2]", "json.syntax", 3, ""),
            (b"{\"a\":}", "json.syntax", 5, "a"),
            (b"{a:1}", "json.syntax", 1, ""),
            (b"{\"a\" 1}", "json.syntax", 5, ""),
            (b"{\"a\":1,}", "json.syntax", 7, ""),
            (b"nul", "json.syntax", 1, ""),
            (b"[-]", "json.syntax", 2, "[0]"),
            (b"[1.]", "json.syntax", 3, "[0]"),
            (b"[.5]", "json.syntax", 1, "[0]"),
            (b"[NaN]", "json.syntax", 1, "[0]"),
            (b"007", "json.trailing", 1, ""),
            (b"1 2", "json.trailing", 2, ""),
            (b"{} x", "json.trailing", 3, ""),
            (b"\xef\xbb\xbf{}", "json.syntax", 0, ""),
            (b"{\"a\":1,\"b\":2,\"a\":3}", "json.duplicate_key", 13, ""),
            (b"{\"o\":{\"a\":1,\"\\u0061\":3}}", "json.duplicate_key", 12, "o"),
            (b"{\"l\":[{\"p\":0.12345678901234567890123456789}]}", "json.number_out_of_range", 11, "l[0].p"),
            (b"[1e400]", "json.number_out_of_range", 1, "[0]"),
            (b"\"a\nb\"", "json.text", 3, ""),
            (b"\"\\x\"", "json.text", 3, ""),
            (b"\"\\ud800\"", "json.text", 7, ""),
            (b"\"abc", "json.text", 4, ""),
            (b"\"\xff\"", "json.invalid_utf8", 2, ""),
        ];
        for (text, code, offset, path) in cases {
            let shown = String::from_utf8_lossy(text);
            assert_eq!(refused(text, &Limits::default()), (code, offset, path.to_owned()), "{shown}");
        }
    }

    #[test]
    fn limits_hold() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse_str(&nested(64)).is_ok());
        assert_eq!(refused(nested(65).as_bytes(), &Limits::default()).0, "json.too_deep");
        assert_eq!(refused("[".repeat(1_000_000).as_bytes(), &Limits::default()).0, "json.too_deep");

        let small = Limits { bytes_max: 10, ..Limits::default() };
        assert!(parse(b"[1,2,3,45]", &small).is_ok());
        assert_eq!(refused(b"[1,2,3,456]", &small).0, "json.too_large");

        let few = Limits { values_max: 3, ..Limits::default() };
        assert!(parse(b"[1,2]", &few).is_ok());
        assert_eq!(refused(b"[1,2,3]", &few).0, "json.too_many_values");
    }

    #[test]
    fn an_error_tells_a_person_where_to_look() {
        let error = parse_str(r#"{"lines":[{"price":1e99}]}"#).unwrap_err();
        let expected = "the number does not fit in 28 digits; it would have to be rounded at byte 19 in lines[0].price";
        assert_eq!(error.to_string(), expected);
    }
}
