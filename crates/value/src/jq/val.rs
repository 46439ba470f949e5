//! `Value` as jaq sees it.
//!
//! A wrapper, so that the operators and conversions jaq demands (among them from `f64`) exist
//! nowhere else. It also carries an upper bound of the value's depth: programs may build values
//! deeper than any document, and a very deep one would overflow the stack when it is dropped.
//!
//! Error messages name kinds and keys, never contents: they end up in logs and on screens.

mod access;

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use jaq_core::Error;
use rust_decimal::Decimal;

use super::meter::{self, DEPTH_MAX, Stop, spend, spend_for, spend_for_text};
use crate::value::compare;
use crate::{Value, to_json_string};

pub(super) use access::{absolute, bounds, slice_bounds};

/// How deep documents are read; see [`crate::Limits`].
const OUTSIDE_DEPTH: u16 = 64;

/// A value inside a running program.
#[derive(Debug)]
pub(super) struct Jq {
    value: Value,
    /// At least the number of arrays and objects within each other; exactly 0 for a scalar.
    depth: u16,
}

pub(super) type Fault = Error<Jq>;

/// An error with a message of ours.
pub(super) fn fault(message: impl fmt::Display) -> Fault {
    Error::str(message)
}

impl Jq {
    /// A value whose depth is at most `depth` if it is no scalar.
    pub(super) fn with_depth(value: Value, depth: u16) -> Self {
        let depth = if value.is_scalar() { 0 } else { depth.max(1) };
        let mut this = Self { value, depth };
        if depth > DEPTH_MAX {
            // The bound grows faster than the value when parts are taken out and put back.
            this.depth = measure(&this.value);
        }
        this
    }

    /// A value from outside. It is not measured: a mapping runs dozens of programs on one
    /// document. Should it be deeper than documents are, the bound is off by as much and no more.
    pub(super) fn from_outside(value: Value) -> Self {
        Self::with_depth(value, OUTSIDE_DEPTH)
    }

    /// A value that is known to be a scalar.
    pub(super) fn scalar(value: impl Into<Value>) -> Self {
        Self { value: value.into(), depth: 0 }
    }

    /// A part of `self`.
    fn part(&self, value: &Value) -> Self {
        Self::with_depth(value.clone(), self.depth.saturating_sub(1))
    }

    /// The bound of its depth.
    pub(super) fn depth(&self) -> u16 {
        self.depth
    }

    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    pub(super) fn into_value(self) -> Value {
        self.value
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        self.value.as_str()
    }

    pub(super) fn text(text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        spend_for_text(text.len());
        Self::scalar(text)
    }

    /// The number, or an error that says what to do about text.
    pub(super) fn number(&self, doing: &str) -> Result<Decimal, Fault> {
        match &self.value {
            Value::Num(number) => Ok(*number),
            Value::Str(_) => Err(fault(format_args!("cannot {doing} a string; use tonumber first"))),
            other => Err(fault(format_args!("cannot {doing} {}", kind(other)))),
        }
    }

    /// An array or object with one more level around its deepest part.
    pub(super) fn holding(value: Value, deepest: u16) -> Self {
        Self::with_depth(value, deepest.saturating_add(1))
    }

    fn array(self) -> Result<(Arc<Vec<Value>>, u16), Fault> {
        match self.value {
            Value::Arr(items) => Ok((items, self.depth)),
            other => Err(fault(format_args!("expected an array, got {}", kind(&other)))),
        }
    }
}

/// The kind of a value with its article, for messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Num(_) => "a number",
        Value::Str(_) => "a string",
        Value::Arr(_) => "an array",
        Value::Obj(_) => "an object",
    }
}

/// The exact depth of a value; ends the run if it is too deep.
fn measure(value: &Value) -> u16 {
    fn walk(value: &Value, above: u16) -> u16 {
        spend(1);
        if value.is_scalar() {
            return above;
        }
        if above >= DEPTH_MAX {
            meter::stop(Stop::Depth);
        }
        match value {
            Value::Arr(items) => items.iter().map(|item| walk(item, above + 1)).max(),
            Value::Obj(map) => map.values().map(|item| walk(item, above + 1)).max(),
            _ => None,
        }
        .unwrap_or(above + 1)
    }
    walk(value, 0)
}

/// Takes the number of values in `value` from `left`, ending the run if there are more. Parts that
/// are shared in memory count each time, since they are written each time.
pub(super) fn check_output(value: &Value, left: &mut u64) {
    fn walk(value: &Value, left: &mut u64) {
        match left.checked_sub(1) {
            Some(rest) => *left = rest,
            None => meter::stop(Stop::Output),
        }
        match value {
            Value::Arr(items) => items.iter().for_each(|item| walk(item, left)),
            Value::Obj(map) => map.values().for_each(|item| walk(item, left)),
            _ => {}
        }
    }
    walk(value, left);
}

impl Clone for Jq {
    fn clone(&self) -> Self {
        // Every way to multiply outputs (`f, g`) clones its input; see the meter.
        spend(1);
        Self { value: self.value.clone(), depth: self.depth }
    }
}

/// The kind only; see the module's head. A program's own text travels by `Error::into_val`.
impl fmt::Display for Jq {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(kind(&self.value))
    }
}

impl Ord for Jq {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.value, &other.value, &mut || spend(1))
    }
}

impl PartialOrd for Jq {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Jq {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Jq {}

impl From<bool> for Jq {
    fn from(truth: bool) -> Self {
        Self::scalar(truth)
    }
}

impl From<isize> for Jq {
    fn from(number: isize) -> Self {
        Self::scalar(Decimal::from(number))
    }
}

impl From<usize> for Jq {
    fn from(number: usize) -> Self {
        Self::scalar(Decimal::from(number))
    }
}

impl From<f64> for Jq {
    /// jaq's traits demand this; no filter of the library makes a float, and none may be added.
    fn from(_: f64) -> Self {
        meter::stop(Stop::Float)
    }
}

impl From<String> for Jq {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

/// How a slice appears in a path: `{"start": .., "end": ..}`, as in jq.
impl From<Range<Option<Self>>> for Jq {
    fn from(range: Range<Option<Self>>) -> Self {
        let side = |side: Option<Jq>| side.map_or(Value::Null, Jq::into_value);
        Self::holding(crate::obj([("start", side(range.start)), ("end", side(range.end))]), 0)
    }
}

impl FromIterator<Self> for Jq {
    fn from_iter<I: IntoIterator<Item = Self>>(items: I) -> Self {
        let mut deepest = 0;
        let each = |item: Jq| {
            spend(1);
            deepest = deepest.max(item.depth);
            item.value
        };
        let items: Vec<Value> = items.into_iter().map(each).collect();
        Self::holding(Value::from(items), deepest)
    }
}

/// Compact JSON, paid for by the number of values in it.
pub(super) fn json(value: &Value) -> String {
    fn pay(value: &Value) {
        spend(1);
        match value {
            Value::Str(text) => spend_for(text.len() / 64),
            Value::Arr(items) => items.iter().for_each(pay),
            Value::Obj(map) => map.values().for_each(pay),
            _ => {}
        }
    }
    pay(value);
    to_json_string(value)
}

impl jaq_std::ValT for Jq {
    fn into_seq<S: FromIterator<Self>>(self) -> Result<S, Self> {
        match &self.value {
            Value::Arr(items) => {
                spend_for(items.len());
                Ok(items.iter().map(|item| self.part(item)).collect())
            }
            _ => Err(self),
        }
    }

    fn is_int(&self) -> bool {
        self.value.as_decimal().is_some_and(|number| number.is_integer())
    }

    fn as_isize(&self) -> Option<isize> {
        self.value.as_i64().and_then(|number| number.try_into().ok())
    }

    /// Never: a filter that asks for a float must fail, not round.
    fn as_f64(&self) -> Option<f64> {
        None
    }

    fn is_utf8_str(&self) -> bool {
        self.as_str().is_some()
    }

    /// All filters of jaq that look at text get it here, so here they pay for looking.
    fn as_bytes(&self) -> Option<&[u8]> {
        let text = self.as_str()?;
        spend_for(text.len() / 16);
        Some(text.as_bytes())
    }

    fn as_sub_str(&self, part: &[u8]) -> Self {
        text_from(part)
    }

    fn from_utf8_bytes(bytes: impl AsRef<[u8]> + Send + 'static) -> Self {
        text_from(bytes.as_ref())
    }
}

fn text_from(bytes: &[u8]) -> Jq {
    match std::str::from_utf8(bytes) {
        Ok(text) => Jq::text(text),
        // `@base64d` of something that is no text. Replacing the bytes would corrupt it.
        Err(_) => meter::stop(Stop::Utf8),
    }
}
