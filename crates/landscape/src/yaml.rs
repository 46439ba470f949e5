//! YAML as a tree in which every key and value knows where it stands.
//!
//! Reading into typed structures would stop at the first mistake; the tree is read whole, and `read` then collects every mistake.
//! Numbers are taken from their text, never through a float.

use crate::{
    fault::Faults,
    source::{FileId, Spot},
};
use crossdock_value::{Decimal, Map, Value};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};
use std::{fmt, sync::Arc};

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub spot: Spot,
    pub data: Data,
}

#[derive(Clone, Debug)]
pub(crate) enum Data {
    Null,
    Bool(bool),
    Number(Decimal),
    Text(Arc<str>),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a map and its place.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub spot: Spot,
    pub text: String,
}

impl Node {
    /// What it is, in the words of a fault.
    pub fn kind(&self) -> &'static str {
        match self.data {
            Data::Null => "nothing",
            Data::Bool(_) => "a truth value",
            Data::Number(_) => "a number",
            Data::Text(_) => "text",
            Data::List(_) => "a list",
            Data::Map(_) => "a section",
        }
    }

    pub fn text(&self) -> Option<&Arc<str>> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn entry(&self, name: &str) -> Option<&Node> {
        self.entries().iter().find(|(key, _)| key.text == name).map(|(_, node)| node)
    }

    /// The entries of a section; none for anything else.
    pub fn entries(&self) -> &[(Key, Node)] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    pub fn to_value(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(truth) => Value::Bool(*truth),
            Data::Number(number) => Value::Num(*number),
            Data::Text(text) => Value::Str(text.clone()),
            Data::List(items) => items.iter().map(Node::to_value).collect(),
            Data::Map(entries) => {
                Value::from(entries.iter().map(|(key, node)| (key.text.as_str(), node.to_value())).collect::<Map>())
            }
        }
    }
}

/// Reads a file. Mistakes of YAML itself and keys given twice become faults; an empty file is `None` without one.
pub(crate) fn parse(file: FileId, text: &str, faults: &mut Faults) -> Option<Node> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        // Ontario is not a truth value, Norway is not one either, and `007` is a code.
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        budget: serde_saphyr::budget! { max_depth: 48 },
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(raw) => {
            let node = Placer { file, text, faults }.node(raw);
            (!matches!(node.data, Data::Null)).then_some(node)
        }
        Err(error) => {
            let place = error.location().map_or(0..0, |location| stretch(text, location));
            let spot = Spot { file, start: place.start, end: place.end };
            faults.add(spot, "yaml", format!("this is not YAML: {}", first_line(&error.without_snippet().to_string())));
            None
        }
    }
}

/// The library puts its own place behind the message; ours is drawn.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = line.split(" at line ").next().unwrap_or(line);
    line.trim_start_matches("error: ").to_owned()
}

/// What serde hands over, before places are bytes and numbers are decimals.
enum Raw {
    Null,
    Bool(bool),
    Number,
    Text(Arc<str>),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Raw;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Raw, E> {
                Ok(Raw::Null)
            }
            fn visit_bool<E>(self, truth: bool) -> Result<Raw, E> {
                Ok(Raw::Bool(truth))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
                Ok(Raw::Number)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
                Ok(Raw::Number)
            }
            fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
                Ok(Raw::Number)
            }
            fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
                Ok(Raw::Number)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
                Ok(Raw::Number)
            }
            fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
                Ok(Raw::Text(text.into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Raw::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
                let mut map = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    map.push(entry);
                }
                Ok(Raw::Map(map))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Turns what serde gave into nodes of one file.
struct Placer<'a> {
    file: FileId,
    text: &'a str,
    faults: &'a mut Faults,
}

impl Placer<'_> {
    fn node(&mut self, raw: Spanned<Raw>) -> Node {
        let spot = self.spot(raw.defined);
        let data = match raw.value {
            Raw::Null => Data::Null,
            Raw::Bool(truth) => Data::Bool(truth),
            Raw::Number => {
                let written = self.text.get(spot.start..spot.end).unwrap_or_default().trim();
                match crossdock_value::decimal::read(written) {
                    Some(number) => Data::Number(number),
                    // Octal, infinite, or beyond 28 digits: whoever expects a number will say so.
                    None => Data::Text(written.into()),
                }
            }
            Raw::Text(text) => Data::Text(text),
            Raw::List(items) => Data::List(items.into_iter().map(|item| self.node(item)).collect()),
            Raw::Map(entries) => self.map(entries),
        };
        Node { spot, data }
    }

    fn map(&mut self, entries: Vec<(Spanned<String>, Spanned<Raw>)>) -> Data {
        let mut map: Vec<(Key, Node)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let key = Key { spot: self.spot(key.defined), text: key.value };
            let value = self.node(value);
            if map.iter().any(|(held, _)| held.text == key.text) {
                self.faults.add(key.spot, "duplicate_key", format!("`{}` is given twice in this section", key.text));
            } else {
                map.push((key, value));
            }
        }
        Data::Map(map)
    }

    fn spot(&self, location: Location) -> Spot {
        let place = stretch(self.text, location);
        Spot { file: self.file, start: place.start, end: place.end }
    }
}

/// The bytes of a location; without byte offsets, the character it starts at.
fn stretch(text: &str, location: Location) -> std::ops::Range<usize> {
    let span = location.span();
    match (span.byte_offset(), span.byte_len()) {
        (Some(start), Some(length)) => {
            let start = usize::try_from(start).unwrap_or(usize::MAX).min(text.len());
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            start..start.saturating_add(length).min(text.len())
        }
        _ => {
            let line = usize::try_from(location.line()).unwrap_or(1).saturating_sub(1);
            let column = usize::try_from(location.column()).unwrap_or(1).saturating_sub(1);
            let line_start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
            let start = text[line_start..].char_indices().nth(column).map_or(text.len(), |(n, _)| line_start + n);
            start..start
        }
    }
}

/// Where the byte `at` of a scalar's value stands in the file.
///
/// YAML's styles differ only in white space (folding, indentation), so the characters that are none are counted. Quoted text with
/// escapes differs in more; then the scalar's start is the best place there is.
pub(crate) fn within(text: &str, spot: Spot, value: &str, at: usize) -> usize {
    let Some(written) = text.get(spot.start..spot.end) else { return spot.start };
    let visible = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let held = visible(value);
    // As it is, without a quote, without a block scalar's header.
    let bodies = [0, usize::from(written.starts_with(['"', '\''])), written.find('\n').map_or(0, |n| n + 1)];
    let Some(body) = bodies.into_iter().find(|body| visible(&written[*body..]).starts_with(&held)) else { return spot.start };
    let mut floor = at.min(value.len());
    while !value.is_char_boundary(floor) {
        floor -= 1;
    }
    let before = value[..floor].chars().filter(|c| !c.is_whitespace()).count();
    let mut marks = written[body..].char_indices().filter(|(_, c)| !c.is_whitespace());
    match marks.nth(before) {
        Some((n, _)) if floor < value.trim_end().len() => spot.start + body + n,
        _ => {
            // The end of the value: just behind its last mark.
            let last = written[body..].char_indices().filter(|(_, c)| !c.is_whitespace()).nth(before.saturating_sub(1));
            last.map_or(spot.start, |(n, c)| spot.start + body + n + c.len_utf8())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::line_column;

    fn read(text: &str) -> (Option<Node>, Faults) {
        let mut faults = Faults::default();
        let file = faults.file("a.yaml", text);
        (parse(file, text, &mut faults), faults)
    }

    #[test]
    fn values_are_what_they_look_like() {
        let text =
            "a: NO\nb: 007\nc: 1_000\nd: 0.10\ne: 12345678901234567890.123456\nf: true\ng: ~\nh: '1'\ni: 1e-9\nj: 0x1F\n5: x\n";
        let (node, faults) = read(text);
        let value = node.expect("it is YAML").to_value();
        let expected = r#"{"a":"NO","b":"007","c":"1_000","d":0.10,"e":12345678901234567890.123456,"f":true,"g":null,"h":"1","i":0.000000001,"j":"0x1F","5":"x"}"#;
        assert_eq!((crossdock_value::to_json_string(&value).as_str(), faults.count()), (expected, 0));
    }

    #[test]
    fn the_inside_of_every_kind_of_scalar_is_found_in_the_file() {
        for (text, place) in [
            ("k: .a + needle\n", (1, 9)),
            ("k: '.a + needle'\n", (1, 10)),
            ("k: \".a + needle\"\n", (1, 10)),
            ("k: .a\n  + needle\n", (2, 5)),
            ("k: |\n  .a\n  + needle\n", (3, 5)),
            ("k: |2-\n    .a\n\n  + needle\n", (4, 5)),
            ("k: >-\n  .a\n  + needle\n", (3, 5)),
            ("k: >\n  # no comment\n  + needle\n", (3, 5)),
            ("k: \"ä + needle\"\n", (1, 9)),
            ("l: [1, .a + needle]\n", (1, 13)),
            // With an escape the start of the scalar is the best there is.
            ("k: \"\\x2ea + needle\"\n", (1, 4)),
            ("k: &x .a + needle\nl: *x\n", (1, 12)),
        ] {
            let (node, _) = read(text);
            let node = node.expect("it is YAML");
            let scalar = match &node.entries()[0].1 {
                Node { data: Data::List(items), .. } => &items[1],
                scalar => scalar,
            };
            let value = scalar.text().expect("it is text");
            let at = value.find("needle").expect("it is there");
            assert_eq!(line_column(text, within(text, scalar.spot, value, at)), place, "{text}");
        }
    }

    #[test]
    fn what_would_take_all_memory_or_stack_is_refused() {
        let deep = "[".repeat(100_000);
        let nested: String = (0..2_000).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let before = format!("*a{}", n - 1);
            bomb += &format!("a{n}: &a{n} [{}]\n", [before.as_str(); 10].join(", "));
        }
        for text in [deep, nested, bomb] {
            let (node, faults) = read(&text);
            assert!(node.is_none() && faults.count() == 1, "{}", &text[..40]);
        }
    }
}
