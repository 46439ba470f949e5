//! One payload, broken. What JSON cannot say in a value (repeated names, bytes that are no text, numbers beyond all bounds) is put into
//! the text, in place of a mark.

use crossdock_simulators::rng::Rng;
use serde_json::{Map, Value};

/// Stands in the tree for what is written raw.
const MARK: &str = "<<raw>>";
/// Mutations of one payload at most.
const MUTATIONS_MAX: u64 = 3;

pub(super) struct Mutant {
    pub bytes: Vec<u8>,
    pub kinds: Vec<&'static str>,
}

/// Ways to break one value. The last of each payload may be raw; the ones before it are made in the tree.
const IN_TREE: &[&str] =
    &["drop", "null", "retype", "wrong_currency", "wrong_total", "long_string", "nan_text", "repeat_element", "empty", "swap"];
const IN_TEXT: &[&str] = &["deep", "huge_number", "nan", "not_utf8", "duplicate_key", "raw_bytes"];

/// Breaks an order in one to three places.
pub(super) fn of(order: &[u8], rng: &mut Rng) -> Result<Mutant, String> {
    let mut tree: Value = serde_json::from_slice(order).map_err(|e| format!("the generator's order: {e}"))?;
    let mut kinds = Vec::new();
    for _ in 1..rng.between(1..=MUTATIONS_MAX) {
        kinds.push(in_tree(&mut tree, rng));
    }
    if rng.chance(0.5) {
        kinds.push(in_tree(&mut tree, rng));
        return Ok(Mutant { bytes: tree.to_string().into_bytes(), kinds });
    }
    let kind = *rng.pick(IN_TEXT);
    kinds.push(kind);
    if kind == "raw_bytes" {
        let mut bytes = tree.to_string().into_bytes();
        scramble(&mut bytes, rng);
        return Ok(Mutant { bytes, kinds });
    }
    let place = pick(&tree, rng);
    let raw = match tree.pointer_mut(&place) {
        Some(value) => raw(kind, &std::mem::replace(value, MARK.into()), rng),
        None => Vec::new(),
    };
    let text = tree.to_string();
    let mark = format!("\"{MARK}\"");
    let bytes = match text.find(&mark) {
        Some(at) => [&text.as_bytes()[..at], &raw, &text.as_bytes()[at + mark.len()..]].concat(),
        None => text.into_bytes(),
    };
    Ok(Mutant { bytes, kinds })
}

fn in_tree(tree: &mut Value, rng: &mut Rng) -> &'static str {
    let kind = *rng.pick(IN_TREE);
    match kind {
        "wrong_total" => {
            let field =
                *rng.pick(&["orderTotal", "productTotal", "productSubTotal", "taxTotal", "shippingTotal", "merchandizeTotalTax"]);
            let wrong = tree.get(field).and_then(Value::as_f64).unwrap_or(0.0) + *rng.pick(&[0.01, 1.0, -1.0, 1_000_000.0]);
            set(tree, field, wrong.into());
        }
        "wrong_currency" => {
            let wrong = *rng.pick(&["USD", "eur", "XXX", "€", "", "EURO", "JPY", "KWD"]);
            set(tree, "currency", wrong.into());
        }
        "drop" => {
            let place = pick(tree, rng);
            if let Some((parent, name)) = place.rsplit_once('/')
                && let Some(parent) = tree.pointer_mut(parent)
            {
                match parent {
                    Value::Object(members) => drop(members.remove(&unescape(name))),
                    Value::Array(items) => {
                        if let Ok(at) = name.parse::<usize>()
                            && at < items.len()
                        {
                            items.remove(at);
                        }
                    }
                    _ => {}
                }
            }
        }
        "swap" => {
            let (one, other) = (pick(tree, rng), pick(tree, rng));
            let (first, second) = (tree.pointer(&one).cloned(), tree.pointer(&other).cloned());
            if let (Some(first), Some(second)) = (first, second) {
                put(tree, &one, second);
                put(tree, &other, first);
            }
        }
        "repeat_element" => {
            let places: Vec<String> = places(tree).into_iter().filter(|p| tree.pointer(p).is_some_and(Value::is_array)).collect();
            if !places.is_empty()
                && let Some(Value::Array(items)) = tree.pointer_mut(rng.pick(&places).as_str())
                && let Some(first) = items.first().cloned()
            {
                items.push(first);
            }
        }
        _ => {
            let place = pick(tree, rng);
            let old = tree.pointer(&place).cloned().unwrap_or_default();
            put(tree, &place, value(kind, &old, rng));
        }
    }
    kind
}

/// What a value becomes.
fn value(kind: &str, old: &Value, rng: &mut Rng) -> Value {
    match kind {
        "retype" => match old {
            Value::String(_) => rng.pick(&[Value::from(7), Value::Bool(true), Value::Array(Vec::new())]).clone(),
            Value::Number(_) => rng.pick(&[Value::from("12,90"), Value::from("many"), Value::Object(Map::new())]).clone(),
            Value::Array(_) => rng.pick(&[Value::Object(Map::new()), Value::from("none"), Value::from(0)]).clone(),
            _ => rng.pick(&[Value::Array(vec![old.clone()]), Value::from("{}"), Value::from(-1)]).clone(),
        },
        "long_string" => "x".repeat(*rng.pick(&[129, 4_096, 70_000, 300_000])).into(),
        "nan_text" => (*rng.pick(&["NaN", "Infinity", "-0", "1e5", "0x10", " 12.90", "１２"])).into(),
        "empty" => match old {
            Value::Array(_) => Value::Array(Vec::new()),
            Value::Object(_) => Value::Object(Map::new()),
            _ => "".into(),
        },
        _ => Value::Null,
    }
}

/// What is written where JSON's own rules end.
fn raw(kind: &str, old: &Value, rng: &mut Rng) -> Vec<u8> {
    match kind {
        "deep" => {
            let depth = usize::try_from(*rng.pick(&[40_u64, 130, 5_000, 60_000])).unwrap_or(40);
            let (open, close) = *rng.pick(&[("[", "]"), ("{\"a\":", "}")]);
            format!("{}1{}", open.repeat(depth), close.repeat(depth)).into_bytes()
        }
        "huge_number" => rng
            .pick(&[
                "1e400",
                "-1e400",
                "99999999999999999999999999999999",
                "0.00000000000000000000000000000001",
                "-7",
                "1E+9",
                "922337203685477580.79",
            ])
            .as_bytes()
            .to_vec(),
        "nan" => rng.pick(&["NaN", "Infinity", "-Infinity", "undefined", "01", "+1", ".5"]).as_bytes().to_vec(),
        "not_utf8" => {
            rng.pick(&[&b"\"\xff\xfe\""[..], b"\"caf\xe9\"", b"\"\xc0\xaf\"", b"\"\xed\xa0\x80\"", b"\"\\ud800\""]).to_vec()
        }
        "duplicate_key" => match old {
            Value::Object(members) if !members.is_empty() => {
                let (name, value) = members.iter().next().expect("it has one");
                let rest: Vec<String> = members.iter().map(|(n, v)| format!("{}:{v}", Value::from(n.as_str()))).collect();
                format!("{{{}:{value},{}}}", Value::from(name.as_str()), rest.join(",")).into_bytes()
            }
            other => format!("{{\"a\":{other},\"a\":1}}").into_bytes(),
        },
        _ => Vec::new(),
    }
}

/// Changes, takes out and puts in bytes anywhere.
fn scramble(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..rng.between(1..=6) {
        let length = bytes.len() as u64;
        if length == 0 {
            return;
        }
        let at = usize::try_from(rng.between(0..=length - 1)).unwrap_or(0);
        let byte = u8::try_from(rng.between(0..=255)).unwrap_or(0);
        match rng.between(0..=9) {
            0..=4 => bytes[at] = byte,
            5 | 6 => bytes.insert(at, byte),
            7 | 8 => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
    }
}

fn set(tree: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = tree {
        members.insert(name.into(), value);
    }
}

fn put(tree: &mut Value, place: &str, value: Value) {
    if let Some(found) = tree.pointer_mut(place) {
        *found = value;
    }
}

/// Any place below the root. Places near it are met more often than their share, for what stands there matters more.
fn pick(tree: &Value, rng: &mut Rng) -> String {
    let mut all = places(tree);
    if rng.chance(0.4) {
        all.retain(|place| place.matches('/').count() == 1);
    }
    if all.is_empty() { String::new() } else { rng.pick(&all).clone() }
}

/// A JSON pointer to everything below the root.
fn places(tree: &Value) -> Vec<String> {
    fn below(value: &Value, at: &str, found: &mut Vec<String>) {
        let mut enter = |name: String, value: &Value| {
            let place = format!("{at}/{name}");
            found.push(place.clone());
            below(value, &place, found);
        };
        match value {
            Value::Object(members) => members.iter().for_each(|(name, value)| enter(escape(name), value)),
            Value::Array(items) => items.iter().enumerate().for_each(|(at, value)| enter(at.to_string(), value)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    below(tree, "", &mut found);
    found
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn unescape(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}
