//! Writing JSON: the same value always gives the same bytes.
//!
//! Keys keep their order and numbers their scale, so a document that is read and written again
//! differs at most in its white space, its escapes and its exponents.

use std::io::Write as _;

use crate::Value;

/// Compact JSON.
pub fn to_json(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    write(value, None, &mut out);
    out
}

/// Compact JSON as text.
pub fn to_json_string(value: &Value) -> String {
    String::from_utf8(to_json(value)).expect("JSON is written from text and ASCII")
}

/// JSON for people: two spaces a level, one entry a line.
pub fn to_json_pretty(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write(value, Some(0), &mut out);
    out
}

/// Writes a value; `indent` is the level in pretty form.
fn write(value: &Value, indent: Option<usize>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Num(number) => write!(out, "{number}").expect("writing to memory does not fail"),
        Value::Str(text) => write_text(text, out),
        Value::Arr(items) => {
            let items = items.iter();
            write_sequence(*b"[]", indent, items, out, write);
        }
        Value::Obj(map) => write_sequence(*b"{}", indent, map.iter(), out, |(key, value), indent, out| {
            write_text(key, out);
            out.extend_from_slice(if indent.is_some() { b": " } else { b":" });
            write(value, indent, out);
        }),
    }
}

fn write_sequence<T>(
    [open, close]: [u8; 2],
    indent: Option<usize>,
    elements: impl ExactSizeIterator<Item = T>,
    out: &mut Vec<u8>,
    element: impl Fn(T, Option<usize>, &mut Vec<u8>),
) {
    out.push(open);
    let empty = elements.len() == 0;
    let inner = indent.map(|level| level + 1);
    for (at, item) in elements.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        new_line(inner, out);
        element(item, inner, out);
    }
    if !empty {
        new_line(indent, out);
    }
    out.push(close);
}

fn new_line(indent: Option<usize>, out: &mut Vec<u8>) {
    if let Some(level) = indent {
        out.push(b'\n');
        out.resize(out.len() + 2 * level, b' ');
    }
}

/// Writes text in quotes, escaping what JSON demands and no more.
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => write!(out, "\\u{byte:04x}").expect("writing to memory does not fail"),
        }
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    use super::*;
    use crate::{Limits, obj, parse, parse_str, value};

    #[test]
    fn the_pretty_form_is_for_people() {
        let value = value!({"a": [1, {"b": null}], "c": {}, "d": []});
        let expected = r#"{
  "a": [
    1,
    {
      "b": null
    }
  ],
  "c": {},
  "d": []
}"#;
        assert_eq!(String::from_utf8(to_json_pretty(&value)).unwrap(), expected);
    }

    #[test]
    fn text_is_escaped_as_json_demands() {
        let value = Value::from("\u{0}\u{1f}\"\\\n\r\t/é\u{1F600}");
        assert_eq!(to_json_string(&value), "\"\\u0000\\u001f\\\"\\\\\\n\\r\\t/é\u{1F600}\"");
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let number = (any::<i128>(), 0..=28_u32).prop_map(|(digits, scale)| {
            // As wide as a decimal gets: 96 bits.
            Value::from(Decimal::from_i128_with_scale(digits >> 32, scale))
        });
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            number,
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        scalar.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![vec(inner.clone(), 0..6).prop_map(Value::from), btree_map(any::<String>(), inner, 0..6).prop_map(obj),]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_reads_back_the_same(value in any_value()) {
            let text = to_json(&value);
            let read = parse(&text, &Limits::default()).unwrap();
            prop_assert_eq!(&read, &value);
            prop_assert_eq!(to_json(&read), text, "the scale of numbers and the order of keys are kept");
            prop_assert_eq!(parse(&to_json_pretty(&value), &Limits::default()).unwrap(), value);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
            if let Ok(value) = parse(&bytes, &Limits::default()) {
                prop_assert_eq!(parse_str(&to_json_string(&value)).unwrap(), value);
            }
        }

        #[test]
        fn comparison_is_total_and_agrees_with_equality(left in any_value(), right in any_value()) {
            prop_assert_eq!(left.cmp(&right).is_eq(), left == right);
            prop_assert_eq!(left.cmp(&right), right.cmp(&left).reverse());
        }
    }
}
