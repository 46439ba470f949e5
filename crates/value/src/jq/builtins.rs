//! Filters written in Rust: conversions, tests and money, over exact values.
//!
//! They take the place of what jaq leaves to the value's author, and of definitions of jaq's own
//! library that would be quadratic (`join`, `add` of arrays) or recursive (`flatten`).

use std::sync::Arc;

use jaq_core::native::{Fun, bome, run, v};
use jaq_core::{RunPtr, ValR};
use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};

use super::meter::{spend_for, spend_for_text};
use super::number;
use super::program::Data;
use super::val::{Fault, Jq, absolute, bounds, fault, json, kind, slice_bounds};
use crate::{Limits, Value, decimal, parse};

/// A filter without arguments.
macro_rules! of_input {
    ($f:expr) => {
        |cv| bome($f(cv.1))
    };
}

/// A filter with one argument.
macro_rules! of_argument {
    ($f:expr) => {
        |mut cv| {
            let argument = cv.0.pop_var();
            bome($f(cv.1, argument))
        }
    };
}

/// A filter with two arguments.
macro_rules! of_arguments {
    ($f:expr) => {
        |mut cv| {
            let second = cv.0.pop_var();
            let first = cv.0.pop_var();
            bome($f(cv.1, first, second))
        }
    };
}

/// How `round` rounds unless told otherwise, as jq does: a half goes away from zero.
const HALF_UP: RoundingStrategy = RoundingStrategy::MidpointAwayFromZero;

/// How money is rounded unless told otherwise.
const HALF_EVEN: RoundingStrategy = RoundingStrategy::MidpointNearestEven;

/// The filters of this module, by name.
pub(super) fn all() -> impl Iterator<Item = Fun<Data>> {
    let filters: Vec<(&'static str, usize, RunPtr<Data>)> = vec![
        ("null", 0, of_input!(|_| Ok(Jq::scalar(Value::Null)))),
        ("true", 0, of_input!(|_| Ok(Jq::from(true)))),
        ("false", 0, of_input!(|_| Ok(Jq::from(false)))),
        ("not", 0, of_input!(|v| Ok(Jq::from(!jaq_core::ValT::as_bool(&v))))),
        ("type", 0, of_input!(|v: Jq| Ok(Jq::scalar(v.value().kind())))),
        ("length", 0, of_input!(length)),
        ("tonumber", 0, of_input!(tonumber)),
        ("toboolean", 0, of_input!(toboolean)),
        ("tojson", 0, of_input!(|v: Jq| Ok(Jq::text(json(v.value()))))),
        ("fromjson", 0, of_input!(fromjson)),
        ("abs", 0, of_input!(|v: Jq| Ok(Jq::scalar(v.number("take the absolute value of")?.abs())))),
        ("floor", 0, of_input!(|v: Jq| Ok(Jq::scalar(v.number("round")?.floor())))),
        ("ceil", 0, of_input!(|v: Jq| Ok(Jq::scalar(v.number("round")?.ceil())))),
        ("trunc", 0, of_input!(|v: Jq| Ok(Jq::scalar(v.number("round")?.trunc())))),
        ("round", 0, of_input!(|v| round(v, &Jq::from(0_usize), HALF_UP))),
        ("round", 1, of_argument!(|v, digits| round(v, &digits, HALF_UP))),
        ("round", 2, of_arguments!(|v, digits, rule: Jq| round(v, &digits, named(&rule)?))),
        ("fixed", 1, of_argument!(|v, currency| fixed(&v, &currency, HALF_EVEN))),
        ("fixed", 2, of_arguments!(|v, currency, rule: Jq| fixed(&v, &currency, named(&rule)?))),
        ("money", 1, of_argument!(|v, currency| money(&v, currency, HALF_EVEN))),
        ("money", 2, of_arguments!(|v, currency, rule: Jq| money(&v, currency, named(&rule)?))),
        ("to_minor", 1, of_argument!(to_minor)),
        ("from_minor", 1, of_argument!(from_minor)),
        ("add", 0, of_input!(add)),
        ("join", 1, of_argument!(join)),
        ("has", 1, of_argument!(has)),
        ("contains", 1, of_argument!(|l: Jq, r: Jq| contains(l.value(), r.value()).map(Jq::from))),
        ("indices", 1, of_argument!(indices)),
        ("delpaths", 1, of_argument!(delpaths)),
        ("flatten", 0, of_input!(|v| flatten(v, usize::MAX))),
        (
            "flatten",
            1,
            of_argument!(|v, depth: Jq| {
                let depth = depth.value().as_u64().ok_or_else(|| fault("the depth of flatten must be a whole number"))?;
                flatten(v, usize::try_from(depth).unwrap_or(usize::MAX))
            }),
        ),
    ];
    filters.into_iter().map(|(name, arity, f)| run::<Data>((name, v(arity), f)))
}

fn length(v: Jq) -> ValR<Jq> {
    Ok(match v.value() {
        Value::Null => Jq::from(0_usize),
        Value::Bool(_) => return Err(fault("a boolean has no length")),
        Value::Num(number) => Jq::scalar(number.abs()),
        Value::Str(text) => {
            spend_for(text.len() / 64);
            Jq::from(text.chars().count())
        }
        Value::Arr(items) => Jq::from(items.len()),
        Value::Obj(map) => Jq::from(map.len()),
    })
}

/// A number from a number or from its text, exactly. White space around it is no number.
fn tonumber(v: Jq) -> ValR<Jq> {
    match v.value() {
        Value::Num(_) => Ok(v),
        Value::Str(text) => {
            decimal::read(text).map(Jq::scalar).ok_or_else(|| fault("the string is not a decimal of up to 28 digits"))
        }
        other => Err(fault(format_args!("cannot make a number of {}", kind(other)))),
    }
}

fn toboolean(v: Jq) -> ValR<Jq> {
    match v.value() {
        Value::Bool(_) => Ok(v),
        Value::Str(text) if &**text == "true" => Ok(Jq::from(true)),
        Value::Str(text) if &**text == "false" => Ok(Jq::from(false)),
        other => Err(fault(format_args!("cannot make a boolean of {}", kind(other)))),
    }
}

fn fromjson(v: Jq) -> ValR<Jq> {
    let text = v.as_str().ok_or_else(|| fault(format_args!("cannot read JSON from {}", kind(v.value()))))?;
    spend_for(text.len());
    let read = parse(text.as_bytes(), &Limits::default());
    read.map(Jq::from_outside).map_err(|error| fault(format_args!("cannot read JSON: {}", error.code())))
}

/// The rounding rule that a program names.
fn named(rule: &Jq) -> Result<RoundingStrategy, Fault> {
    number::rounding(rule.as_str().unwrap_or_default())
}

fn round(v: Jq, digits: &Jq, rule: RoundingStrategy) -> ValR<Jq> {
    let digits = digits.value().as_u64().and_then(|digits| u32::try_from(digits).ok()).filter(|digits| *digits <= 28);
    let digits = digits.ok_or_else(|| fault("round takes a whole number of digits from 0 to 28"))?;
    Ok(Jq::scalar(number::round(v.number("round")?, digits, rule)?))
}

/// An amount: a number, or the text of one, since money travels as text.
fn amount(v: &Jq) -> Result<Decimal, Fault> {
    match v.value() {
        Value::Num(number) => Ok(*number),
        Value::Str(text) => decimal::read(text).ok_or_else(|| fault("the string is not an amount")),
        other => Err(fault(format_args!("cannot make an amount of {}", kind(other)))),
    }
}

fn code(currency: &Jq) -> Result<&str, Fault> {
    currency.as_str().ok_or_else(|| fault(format_args!("a currency is a string, got {}", kind(currency.value()))))
}

/// The amount as text with the currency's digits.
fn fixed(v: &Jq, currency: &Jq, rule: RoundingStrategy) -> ValR<Jq> {
    Ok(Jq::text(number::fixed(amount(v)?, code(currency)?, rule)?.to_string()))
}

/// `{"amount": "12.50", "currency": "USD"}`, the amount as by `fixed`.
fn money(v: &Jq, currency: Jq, rule: RoundingStrategy) -> ValR<Jq> {
    let amount = fixed(v, &currency, rule)?;
    jaq_core::ValT::from_map([(Jq::scalar("amount"), amount), (Jq::scalar("currency"), currency)])
}

fn to_minor(v: Jq, currency: Jq) -> ValR<Jq> {
    Ok(Jq::scalar(number::to_minor(amount(&v)?, code(&currency)?)?))
}

fn from_minor(v: Jq, currency: Jq) -> ValR<Jq> {
    Ok(Jq::scalar(number::from_minor(amount(&v)?, code(&currency)?)?))
}

/// The sum of all items, null of none. Text is gathered once rather than copied for each item.
fn add(v: Jq) -> ValR<Jq> {
    let all_text = v.value().as_arr().is_some_and(|items| items.iter().all(|item| item.as_str().is_some()));
    if all_text && v.value().as_arr().is_some_and(|items| !items.is_empty()) {
        return join(v, Jq::scalar(""));
    }
    let mut parts = jaq_core::ValT::values(v);
    let first = parts.next().unwrap_or_else(|| Ok(Jq::scalar(Value::Null)))?;
    parts.try_fold(first, |sum, part| sum + part?)
}

fn join(v: Jq, separator: Jq) -> ValR<Jq> {
    let items = match v.value() {
        Value::Arr(items) => items,
        other => return Err(fault(format_args!("cannot join {}", kind(other)))),
    };
    let between = separator.as_str().ok_or_else(|| fault("join takes a string between the items"))?;
    spend_for(items.len());
    let mut text = String::new();
    for (n, item) in items.iter().enumerate() {
        text.push_str(if n > 0 { between } else { "" });
        match item {
            Value::Null => {}
            Value::Str(part) => text.push_str(part),
            Value::Num(_) | Value::Bool(_) => text.push_str(&json(item)),
            other => {
                return Err(fault(format_args!("cannot join {} into a string", kind(other))));
            }
        }
        spend_for_text(text.len() - text.len() % 4096);
    }
    Ok(Jq::text(text))
}

fn has(v: Jq, key: Jq) -> ValR<Jq> {
    match (v.value(), key.value()) {
        (Value::Obj(map), Value::Str(key)) => Ok(Jq::from(map.contains_key(key))),
        (Value::Arr(items), Value::Num(index)) => {
            let held = index.to_usize().is_some_and(|at| at < items.len()) && !index.is_sign_negative();
            Ok(Jq::from(held))
        }
        (v, key) => Err(fault(format_args!("cannot ask whether {} has {}", kind(v), kind(key)))),
    }
}

/// Whether `inner` is in `outer`, as jq has it: parts of text, of arrays and of objects count.
fn contains(outer: &Value, inner: &Value) -> Result<bool, Fault> {
    spend_for(1);
    match (outer, inner) {
        (Value::Str(l), Value::Str(r)) => {
            spend_for(l.len() / 64);
            Ok(l.contains(&**r))
        }
        (Value::Arr(l), Value::Arr(r)) => {
            let held = |want: &Value| l.iter().any(|have| have.kind() == want.kind() && contains(have, want) == Ok(true));
            Ok(r.iter().all(held))
        }
        (Value::Obj(l), Value::Obj(r)) => Ok(r
            .iter()
            .all(|(key, want)| l.get(key).is_some_and(|have| have.kind() == want.kind() && contains(have, want) == Ok(true)))),
        (l, r) if l.kind() == r.kind() => Ok(l == r),
        (l, r) => Err(fault(format_args!("cannot ask whether {} contains {}", kind(l), kind(r)))),
    }
}

/// Where a text or array occurs in another, or an item in an array.
fn indices(v: Jq, of: Jq) -> ValR<Jq> {
    let found: Vec<usize> = match (v.value(), of.value()) {
        (Value::Null, _) => return Ok(Jq::scalar(Value::Null)),
        (Value::Str(_), Value::Str(part)) | (Value::Arr(_), Value::Str(part)) if part.is_empty() => Vec::new(),
        (Value::Str(text), Value::Str(part)) => {
            let chars: Vec<(usize, char)> = text.char_indices().collect();
            spend_for(chars.len());
            let starts = chars.iter().enumerate().filter(|(_, (at, _))| text[*at..].starts_with(&**part));
            starts.map(|(n, _)| n).collect()
        }
        (Value::Arr(items), Value::Arr(part)) if !part.is_empty() => {
            spend_for(items.len().saturating_mul(part.len()));
            let starts = items.windows(part.len()).enumerate().filter(|(_, window)| *window == part.as_slice());
            starts.map(|(n, _)| n).collect()
        }
        (Value::Arr(_), Value::Arr(_)) => Vec::new(),
        (Value::Arr(items), item) => {
            spend_for(items.len());
            items.iter().enumerate().filter(|(_, held)| *held == item).map(|(n, _)| n).collect()
        }
        (v, of) => {
            return Err(fault(format_args!("cannot look in {} for {}", kind(v), kind(of))));
        }
    };
    Ok(found.into_iter().map(Jq::from).collect())
}

fn flatten(v: Jq, depth: usize) -> ValR<Jq> {
    fn walk(items: &[Value], depth: usize, out: &mut Vec<Value>) {
        spend_for(items.len());
        for item in items {
            match item {
                Value::Arr(inner) if depth > 0 => walk(inner, depth - 1, out),
                other => out.push(other.clone()),
            }
        }
    }
    let mut flat = Vec::new();
    match v.value() {
        Value::Arr(items) => walk(items, depth, &mut flat),
        other => return Err(fault(format_args!("cannot flatten {}", kind(other)))),
    }
    Ok(Jq::with_depth(Value::Arr(Arc::new(flat)), v.depth()))
}

/// Removes what lies at the given paths, the last ones first, so that the places of the others
/// stay what they were.
fn delpaths(v: Jq, paths: Jq) -> ValR<Jq> {
    let mut paths: Vec<&[Value]> = match paths.value() {
        Value::Arr(paths) => paths.iter().filter_map(Value::as_arr).collect(),
        other => {
            return Err(fault(format_args!("expected an array of paths, got {}", kind(other))));
        }
    };
    spend_for(paths.len());
    paths.sort_unstable();
    paths.dedup();
    let depth = v.depth();
    let mut rest = v.into_value();
    for path in paths.iter().rev() {
        remove(&mut rest, path);
    }
    Ok(Jq::with_depth(rest, depth))
}

/// Removes what lies at a path; there is nothing to do if the path leads nowhere.
fn remove(from: &mut Value, path: &[Value]) {
    let Some((step, below)) = path.split_first() else {
        *from = Value::Null;
        return;
    };
    let last = below.is_empty();
    match (from, step) {
        (Value::Obj(map), Value::Str(key)) if map.contains_key(key) => {
            let map = Arc::make_mut(map);
            match map.get_mut(key) {
                Some(part) if !last => remove(part, below),
                _ => drop(map.remove(key)),
            }
        }
        (Value::Arr(items), Value::Num(index)) => {
            let Some(at) = absolute(index, items.len()).filter(|at| *at < items.len()) else {
                return;
            };
            spend_for(items.len());
            let items = Arc::make_mut(items);
            if last {
                items.remove(at);
            } else {
                remove(&mut items[at], below);
            }
        }
        (Value::Arr(items), Value::Obj(slice)) if last => {
            if let Ok(range) = bounds(&slice_bounds(slice), items.len()) {
                spend_for(items.len());
                Arc::make_mut(items).drain(range);
            }
        }
        _ => {}
    }
}
