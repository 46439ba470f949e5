//! The value itself: cheap to clone, shared between threads, compared as jq compares.
//!
//! Text, arrays and objects are behind `Arc`, so a clone is a counter. Changes copy only what is
//! shared. There is no number but [`Decimal`]: two spellings of one number (`1`, `1.00`) are equal
//! and hash alike, but each keeps its own scale.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::Map;

/// A JSON value with exact numbers.
#[derive(Clone, Default)]
pub enum Value {
    /// `null`, and what a getter answers for anything absent.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, with the scale it was written in.
    Num(Decimal),
    /// Text.
    Str(Arc<str>),
    /// An array.
    Arr(Arc<Vec<Value>>),
    /// An object.
    Obj(Arc<Map>),
}

/// What the getters lend out for an absent value.
static NULL: Value = Value::Null;

/// An object of the given entries, in that order; the last one wins if a key comes twice.
pub fn obj<K: Into<Arc<str>>, V: Into<Value>>(entries: impl IntoIterator<Item = (K, V)>) -> Value {
    Value::from(entries.into_iter().collect::<Map>())
}

impl Value {
    /// The field `key`, or null when this is no object or has no such field.
    pub fn get(&self, key: &str) -> &Value {
        self.as_obj().and_then(|map| map.get(key)).unwrap_or(&NULL)
    }

    /// The value at a dotted path such as `lines.0.sku`, or null when any step is absent.
    ///
    /// A key that itself holds a dot cannot be named this way; chain [`Value::get`] instead.
    pub fn at(&self, path: &str) -> &Value {
        path.split('.').filter(|step| !step.is_empty()).fold(self, |value, step| match value {
            Value::Arr(items) => step.parse().ok().and_then(|n: usize| items.get(n)).unwrap_or(&NULL),
            _ => value.get(step),
        })
    }

    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if this is a number. Text is not read as a number.
    pub fn as_decimal(&self) -> Option<Decimal> {
        match self {
            Value::Num(number) => Some(*number),
            _ => None,
        }
    }

    /// The number, if it is whole and fits.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_decimal().filter(Decimal::is_integer).and_then(|number| number.to_i64())
    }

    /// The number, if it is whole, not negative, and fits.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_decimal().filter(Decimal::is_integer).and_then(|number| number.to_u64())
    }

    /// The truth value, if this is one. Null is not false.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The items, if this is an array.
    pub fn as_arr(&self) -> Option<&[Value]> {
        match self {
            Value::Arr(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, if this is an object.
    pub fn as_obj(&self) -> Option<&Map> {
        match self {
            Value::Obj(map) => Some(map),
            _ => None,
        }
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Whether this is text, a number, a truth value or null.
    pub fn is_scalar(&self) -> bool {
        !matches!(self, Value::Arr(_) | Value::Obj(_))
    }

    /// The JSON name of the kind of value: `null`, `boolean`, `number`, `string`, `array`, `object`.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Num(_) => "number",
            Value::Str(_) => "string",
            Value::Arr(_) => "array",
            Value::Obj(_) => "object",
        }
    }

    /// Sets a field and returns what it replaced. Null becomes an object; anything else that is no
    /// object is replaced by one.
    pub fn insert(&mut self, key: impl Into<Arc<str>>, value: impl Into<Value>) -> Option<Value> {
        self.make_obj().insert(key, value)
    }

    /// Sets the value at a dotted path, making the objects on the way.
    ///
    /// A number names an item where the value on the way is an array that has it; arrays do not
    /// grow, and a step that cannot be taken replaces what is there by an object.
    pub fn set(&mut self, path: &str, value: impl Into<Value>) {
        let mut place = self;
        for step in path.split('.').filter(|step| !step.is_empty()) {
            place = place.place_mut(step);
        }
        *place = value.into();
    }

    /// Removes a field and returns it, null when it was absent.
    pub fn remove(&mut self, key: &str) -> Value {
        match self {
            Value::Obj(map) if map.contains_key(key) => Arc::make_mut(map).remove(key),
            _ => None,
        }
        .unwrap_or_default()
    }

    fn place_mut(&mut self, step: &str) -> &mut Value {
        let item = match self {
            Value::Arr(items) => step.parse().ok().filter(|n: &usize| *n < items.len()),
            _ => None,
        };
        if let Some(n) = item {
            let Value::Arr(items) = self else { unreachable!("an item number was found") };
            return &mut Arc::make_mut(items)[n];
        }
        let map = self.make_obj();
        if !map.contains_key(step) {
            map.insert(step, Value::Null);
        }
        map.get_mut(step).expect("the key was just made sure of")
    }

    fn make_obj(&mut self) -> &mut Map {
        if !matches!(self, Value::Obj(_)) {
            *self = Value::from(Map::new());
        }
        match self {
            Value::Obj(map) => Arc::make_mut(map),
            _ => unreachable!("just made an object"),
        }
    }
}

/// Compares as jq does: null, false, true, numbers, strings, arrays, objects; objects by their
/// sorted keys, then by their values in that order.
///
/// `step` is called once a pair of values, so that a caller can meter a comparison.
pub(crate) fn compare(left: &Value, right: &Value, step: &mut impl FnMut()) -> Ordering {
    use Value::*;
    step();
    match (left, right) {
        (Bool(l), Bool(r)) => l.cmp(r),
        (Num(l), Num(r)) => l.cmp(r),
        (Str(l), Str(r)) => l.cmp(r),
        (Arr(l), Arr(r)) if Arc::ptr_eq(l, r) => Ordering::Equal,
        (Arr(l), Arr(r)) => {
            let pairs = l.iter().zip(r.iter());
            let first = pairs.map(|(l, r)| compare(l, r, step)).find(|order| order.is_ne());
            first.unwrap_or_else(|| l.len().cmp(&r.len()))
        }
        (Obj(l), Obj(r)) if Arc::ptr_eq(l, r) => Ordering::Equal,
        (Obj(l), Obj(r)) => {
            let (l, r) = (l.sorted(), r.sorted());
            let keys = l.iter().map(|entry| entry.0).cmp(r.iter().map(|entry| entry.0));
            let pairs = l.iter().zip(&r);
            keys.then_with(|| {
                let mut orders = pairs.map(|(l, r)| compare(l.1, r.1, step));
                orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
            })
        }
        _ => rank(left).cmp(&rank(right)),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Num(_) => 2,
        Value::Str(_) => 3,
        Value::Arr(_) => 4,
        Value::Obj(_) => 5,
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self, other, &mut || ())
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        use Value::*;
        match (self, other) {
            (Null, Null) => true,
            (Bool(l), Bool(r)) => l == r,
            (Num(l), Num(r)) => l == r,
            (Str(l), Str(r)) => l == r,
            (Arr(l), Arr(r)) => Arc::ptr_eq(l, r) || l == r,
            (Obj(l), Obj(r)) => Arc::ptr_eq(l, r) || l == r,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(rank(self));
        match self {
            Value::Null => {}
            Value::Bool(truth) => truth.hash(state),
            Value::Num(number) => number.hash(state),
            Value::Str(text) => text.hash(state),
            Value::Arr(items) => items.hash(state),
            Value::Obj(map) => map.sorted().hash(state),
        }
    }
}

/// Compact JSON.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&crate::to_json_string(self))
    }
}

/// Compact JSON too: a derived form would bury a document in `Arc`s.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! value_from {
    ($($from:ty, $x:ident => $to:expr;)*) => {
        $(impl From<$from> for Value {
            fn from($x: $from) -> Self {
                $to
            }
        })*
    };
}

value_from! {
    bool, x => Value::Bool(x);
    Decimal, x => Value::Num(x);
    i32, x => Value::Num(x.into());
    u32, x => Value::Num(x.into());
    i64, x => Value::Num(x.into());
    u64, x => Value::Num(x.into());
    usize, x => Value::Num(x.into());
    &str, x => Value::Str(x.into());
    String, x => Value::Str(x.into());
    &String, x => Value::Str(x.as_str().into());
    Arc<str>, x => Value::Str(x);
    &Arc<str>, x => Value::Str(x.clone());
    Vec<Value>, x => Value::Arr(Arc::new(x));
    Map, x => Value::Obj(Arc::new(x));
    &Value, x => x.clone();
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(option: Option<T>) -> Self {
        option.map_or(Value::Null, Into::into)
    }
}

impl FromIterator<Value> for Value {
    fn from_iter<I: IntoIterator<Item = Value>>(items: I) -> Self {
        Value::Arr(Arc::new(items.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;
    use std::collections::HashSet;

    #[test]
    fn getters_answer_null_for_what_is_absent() {
        let order = value!({"lines": [{"sku": "A"}, {"sku": "B"}], "n": 3});
        assert_eq!(order.at("lines.1.sku").as_str(), Some("B"));
        assert_eq!(order.get("n").as_i64(), Some(3));
        for absent in ["lines.2.sku", "lines.sku", "n.x", "nothing.at.all"] {
            assert!(order.at(absent).is_null(), "{absent}");
        }
    }

    #[test]
    fn setting_a_path_makes_objects_and_leaves_other_holders_alone() {
        let before = value!({"a": {"b": 1}, "lines": [{"q": 1}]});
        let mut after = before.clone();
        after.set("a.c.d", 2);
        after.set("lines.0.q", 5);
        assert_eq!(after, value!({"a": {"b": 1, "c": {"d": 2}}, "lines": [{"q": 5}]}));
        assert_eq!(before, value!({"a": {"b": 1}, "lines": [{"q": 1}]}));
    }

    #[test]
    fn kinds_order_as_in_jq() {
        let ordered = [
            value!(null),
            value!(false),
            value!(true),
            value!(-1),
            value!(2),
            value!("a"),
            value!("b"),
            value!([]),
            value!([1]),
            value!([1, 2]),
            value!({}),
            value!({"a": 2}),
            value!({"a": 1, "b": 1}),
            value!({"b": 0}),
        ];
        for pair in ordered.windows(2) {
            assert!(pair[0] < pair[1], "{} < {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn one_number_in_two_spellings_is_one_value() {
        let one = value!({"a": 1, "b": [true]});
        let other = value!({"b": [true], "a": (Decimal::new(100, 2))});
        assert_eq!(one, other);
        assert_eq!(one.cmp(&other), Ordering::Equal);
        assert_eq!(HashSet::from([one, other]).len(), 1);
    }
}
