//! JSON in which a number is its digits.
//!
//! A simulator must hand `12.90` back as `12.90` and must never pass money through a binary float, so numbers stay text
//! from the wire to the wire. Members keep their order. It deliberately has no derive and no schema: each simulator reads
//! and writes the few members its vendor documents, independent of how the hub reads them.

mod parse;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use rust_decimal::Decimal;

/// A JSON value with numbers as text and members in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    /// The digits exactly as written.
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(Cow<'static, str>, Json)>),
}

/// Builds an object: `object! { "id": id, "lines": list }`.
macro_rules! object {
    ($($key:literal : $value:expr),* $(,)?) => {
        $crate::json::Json::Object(vec![$((std::borrow::Cow::Borrowed($key), $crate::json::Json::from($value))),*])
    };
}
pub(crate) use object;

impl Json {
    /// Reads one document; trailing text is an error.
    pub fn parse(text: &[u8]) -> Result<Json, String> {
        let text = std::str::from_utf8(text).map_err(|e| format!("not UTF-8: {e}"))?;
        parse::document(text)
    }

    /// The member of an object, or `None`.
    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => members.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Json> {
        match self {
            Json::Object(members) => members.iter_mut().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// Sets a member, in place if it exists. On anything but an object it does nothing.
    pub fn set(&mut self, key: impl Into<Cow<'static, str>>, value: impl Into<Json>) {
        if let Json::Object(members) = self {
            let (key, value) = (key.into(), value.into());
            match members.iter_mut().find(|(k, _)| *k == key) {
                Some(slot) => slot.1 = value,
                None => members.push((key, value)),
            }
        }
    }

    /// Takes a member out of an object.
    pub fn remove(&mut self, key: &str) {
        if let Json::Object(members) = self {
            members.retain(|(k, _)| k != key);
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a member, or the empty string.
    pub fn text(&self, key: &str) -> &str {
        self.get(key).and_then(Json::as_text).unwrap_or("")
    }

    /// The exact decimal of a number or of decimal text.
    pub fn as_decimal(&self) -> Option<Decimal> {
        match self {
            Json::Number(digits) | Json::Text(digits) => decimal(digits),
            _ => None,
        }
    }

    /// The decimal of a member.
    pub fn decimal(&self, key: &str) -> Option<Decimal> {
        self.get(key).and_then(Json::as_decimal)
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Json::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The items of a list; of anything else, none.
    pub fn items(&self) -> &[Json] {
        match self {
            Json::List(items) => items,
            _ => &[],
        }
    }

    /// The items of a list member, or none.
    pub fn list(&self, key: &str) -> &[Json] {
        self.get(key).map_or(&[], Json::items)
    }

    pub fn members(&self) -> &[(Cow<'static, str>, Json)] {
        match self {
            Json::Object(members) => members,
            _ => &[],
        }
    }

    pub fn is_object(&self) -> bool {
        matches!(self, Json::Object(_))
    }

    /// Appends the compact form.
    pub fn write(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(true) => out.push_str("true"),
            Json::Bool(false) => out.push_str("false"),
            Json::Number(digits) => out.push_str(digits),
            Json::Text(text) => quote(text, out),
            Json::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Json::Object(members) => {
                out.push('{');
                for (i, (key, value)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    quote(key, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// The compact form.
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(256);
        self.write(&mut out);
        out
    }
}

/// A decimal from JSON number text, with an exponent if need be.
fn decimal(digits: &str) -> Option<Decimal> {
    if digits.bytes().any(|b| b == b'e' || b == b'E') {
        Decimal::from_scientific(digits).ok()
    } else {
        Decimal::from_str_exact(digits).ok()
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    let mut plain = 0;
    for (i, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[plain..i]);
        if short.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(short);
        }
        plain = i + 1;
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Json::Text(text.to_owned())
    }
}
impl From<String> for Json {
    fn from(text: String) -> Self {
        Json::Text(text)
    }
}
impl From<&String> for Json {
    fn from(text: &String) -> Self {
        Json::Text(text.clone())
    }
}
impl From<&Arc<str>> for Json {
    fn from(text: &Arc<str>) -> Self {
        Json::Text(text.to_string())
    }
}
impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Json::Bool(value)
    }
}
impl From<i64> for Json {
    fn from(value: i64) -> Self {
        Json::Number(value.to_string())
    }
}
impl From<u64> for Json {
    fn from(value: u64) -> Self {
        Json::Number(value.to_string())
    }
}
/// A decimal becomes a JSON **number** with its scale kept; where a vendor wants text, render it with `to_string`.
impl From<Decimal> for Json {
    fn from(value: Decimal) -> Self {
        Json::Number(value.to_string())
    }
}
impl From<Vec<Json>> for Json {
    fn from(items: Vec<Json>) -> Self {
        Json::List(items)
    }
}
impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Self {
        value.map_or(Json::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_member_order_survive_a_round_trip() {
        for text in [r#"{"b":12.90,"a":[0.000,-1,1e3],"t":"é\n\"x\"","n":null,"e":{},"l":[]}"#, r#"[true,false,"\u0001"]"#] {
            assert_eq!(Json::parse(text.as_bytes()).unwrap().render(), text);
        }
        assert_eq!(Json::parse(br#""\ud83d\ude00\u00e9""#).unwrap(), Json::from("😀é"));
        assert_eq!(Json::parse(b"1.5e3").unwrap().as_decimal().unwrap().normalize().to_string(), "1500");
    }

    #[test]
    fn broken_documents_are_refused() {
        let deep = "[".repeat(1000);
        for text in ["", "{", "{\"a\" 1}", "[1,]", "01", "1.", "\"\\ud800\"", "\"a", "nul", "{} x", "\"\\u00g0\"", &deep] {
            assert!(Json::parse(text.as_bytes()).is_err(), "{text:.20}");
        }
    }
}
