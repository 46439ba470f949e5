//! Reaching the parts of a value, and changing them: what `.a`, `.[]`, `.[1:3]` and `|=` do.

use std::ops::Range;
use std::sync::Arc;

use jaq_core::box_iter::{BoxIter, box_once};
use jaq_core::path::Opt;
use jaq_core::{Exn, ValR, ValX};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::{Fault, Jq, fault, json, kind};
use crate::jq::meter::{spend, spend_for};
use crate::{Map, Value, decimal};

impl jaq_core::ValT for Jq {
    fn from_num(text: &str) -> ValR<Self> {
        let number = decimal::read(text);
        number.map(Self::scalar).ok_or_else(|| fault(format_args!("{text} does not fit in 28 digits")))
    }

    fn from_map<I: IntoIterator<Item = (Self, Self)>>(entries: I) -> ValR<Self> {
        let mut map = Map::new();
        let mut deepest = 0;
        for (key, value) in entries {
            spend(1);
            let Value::Str(key) = key.value else {
                return Err(fault(format_args!("the key of an object must be a string, got {}", kind(&key.value))));
            };
            deepest = deepest.max(value.depth);
            map.insert(key, value.value);
        }
        Ok(Self::holding(Value::from(map), deepest))
    }

    fn key_values(self) -> BoxIter<'static, ValR<(Self, Self), Self>> {
        match &self.value {
            Value::Arr(items) => {
                spend_for(items.len());
                let items = items.clone();
                Box::new((0..items.len()).map(move |n| Ok((Jq::from(n), self.part(&items[n])))))
            }
            Value::Obj(map) => {
                spend_for(map.len());
                let pairs: Vec<_> = map.iter().map(|(key, value)| (Jq::scalar(key), self.part(value))).collect();
                Box::new(pairs.into_iter().map(Ok))
            }
            other => box_once(Err(fault(format_args!("cannot iterate over {}", kind(other))))),
        }
    }

    fn values(self) -> Box<dyn Iterator<Item = ValR<Self>>> {
        match &self.value {
            Value::Arr(items) => {
                spend_for(items.len());
                let items = items.clone();
                Box::new((0..items.len()).map(move |n| Ok(self.part(&items[n]))))
            }
            Value::Obj(map) => {
                spend_for(map.len());
                let parts: Vec<_> = map.values().map(|value| self.part(value)).collect();
                Box::new(parts.into_iter().map(Ok))
            }
            other => box_once(Err(fault(format_args!("cannot iterate over {}", kind(other))))),
        }
    }

    fn index(self, index: &Self) -> ValR<Self> {
        spend(1);
        let part = match (&self.value, &index.value) {
            (Value::Obj(map), Value::Str(key)) => map.get(key),
            (Value::Arr(items), Value::Num(index)) => absolute(index, items.len()).and_then(|at| items.get(at)),
            (Value::Null, Value::Str(_) | Value::Num(_) | Value::Null) => None,
            (Value::Null | Value::Arr(_) | Value::Str(_), Value::Obj(slice)) => {
                return slice_value(&self, &slice_bounds(slice));
            }
            (value, index) => return Err(index_fault(value, index)),
        };
        Ok(part.map_or_else(|| Self::scalar(Value::Null), |part| self.part(part)))
    }

    fn range(self, range: Range<Option<&Self>>) -> ValR<Self> {
        slice_value(&self, &(range.start.map(Jq::value)..range.end.map(Jq::value)))
    }

    fn map_values<'a, I: Iterator<Item = ValX<'a, Self>>>(self, opt: Opt, f: impl Fn(Self) -> I) -> ValX<'a, Self> {
        let depth = self.depth.saturating_sub(1);
        let change = |value: Value| f(Self::with_depth(value, depth));
        match self.value {
            Value::Arr(items) => {
                spend_for(items.len());
                Arc::unwrap_or_clone(items).into_iter().flat_map(change).collect()
            }
            Value::Obj(map) => {
                spend_for(map.len());
                let changed = Arc::unwrap_or_clone(map).into_iter().filter_map(|(key, value)| {
                    let first = change(value).next()?;
                    Some(first.map(|value| (Jq::scalar(key), value)))
                });
                let entries = changed.collect::<Result<Vec<_>, Exn<_>>>()?;
                Ok(Self::from_map(entries)?)
            }
            other => opt.fail(Self::scalar(other), |v| Exn::from(fault(format_args!("cannot iterate over {}", kind(&v.value))))),
        }
    }

    fn map_index<'a, I: Iterator<Item = ValX<'a, Self>>>(self, index: &Self, opt: Opt, f: impl Fn(Self) -> I) -> ValX<'a, Self> {
        spend(1);
        let depth = self.depth;
        let was_null = self.value.is_null();
        let change = |part: Value| -> Result<Option<Self>, Exn<'a, Self>> {
            f(Self::with_depth(part, depth.saturating_sub(1))).next().transpose()
        };
        match (self.value, &index.value) {
            (value @ (Value::Obj(_) | Value::Null), Value::Str(key)) => {
                let mut map = if let Value::Obj(map) = value { map } else { Arc::default() };
                // Taken out while it changes, so that what is not shared is not copied.
                let part = match map.contains_key(key) {
                    true => Arc::make_mut(&mut map).get_mut(key).map(std::mem::take),
                    false => None,
                };
                let held = part.is_some();
                let Some(changed) = change(part.unwrap_or_default())? else {
                    if was_null {
                        return Ok(Self::scalar(Value::Null));
                    }
                    if held {
                        Arc::make_mut(&mut map).remove(key);
                    }
                    return Ok(Self::with_depth(Value::Obj(map), depth));
                };
                let deepest = depth.max(changed.depth.saturating_add(1));
                Arc::make_mut(&mut map).insert(key.clone(), changed.value);
                Ok(Self::with_depth(Value::Obj(map), deepest))
            }
            (value @ (Value::Arr(_) | Value::Null), Value::Num(number)) => {
                let mut items = if let Value::Arr(items) = value { items } else { Arc::default() };
                let Some(at) = absolute(number, items.len()) else {
                    let value = Self::with_depth(Value::Arr(items), depth);
                    return opt.fail(value, |_| Exn::from(fault("the index lies before the start of the array")));
                };
                let held = at < items.len();
                let part = if held { std::mem::take(&mut Arc::make_mut(&mut items)[at]) } else { Value::Null };
                let Some(changed) = change(part)? else {
                    if was_null {
                        return Ok(Self::scalar(Value::Null));
                    }
                    if held {
                        Arc::make_mut(&mut items).remove(at);
                    }
                    return Ok(Self::with_depth(Value::Arr(items), depth));
                };
                let deepest = depth.max(changed.depth.saturating_add(1));
                if !held {
                    spend_for(at.saturating_sub(items.len()));
                    Arc::make_mut(&mut items).resize(at + 1, Value::Null);
                }
                Arc::make_mut(&mut items)[at] = changed.value;
                Ok(Self::with_depth(Value::Arr(items), deepest))
            }
            (value @ Value::Arr(_), Value::Obj(slice)) => {
                let side = |name| slice.get(name).cloned().map(Self::from_outside);
                let (start, end) = (side("start"), side("end"));
                Self::with_depth(value, depth).map_range(start.as_ref()..end.as_ref(), opt, f)
            }
            (value, index) => {
                let error = index_fault(&value, index);
                opt.fail(Self::with_depth(value, depth), |_| Exn::from(error))
            }
        }
    }

    fn map_range<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        range: Range<Option<&Self>>,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        let depth = self.depth;
        let items = match self.value {
            Value::Arr(items) => items,
            other => {
                let error = fault(format_args!("cannot update a slice of {}", kind(&other)));
                return opt.fail(Self::with_depth(other, depth), |_| Exn::from(error));
            }
        };
        let range = bounds(&(range.start.map(Jq::value)..range.end.map(Jq::value)), items.len())?;
        spend_for(items.len());
        let slice = Self::with_depth(items[range.clone()].iter().cloned().collect(), depth);
        let (new, deepest) = match f(slice).next().transpose()? {
            Some(changed) => changed.array()?,
            None => Default::default(),
        };
        let mut items = Arc::unwrap_or_clone(items);
        items.splice(range, new.iter().cloned());
        Ok(Self::with_depth(Value::from(items), depth.max(deepest)))
    }

    fn as_bool(&self) -> bool {
        !matches!(self.value, Value::Null | Value::Bool(false))
    }

    fn into_string(self) -> Self {
        match self.value {
            Value::Str(_) => self,
            value => Self::text(json(&value)),
        }
    }
}

/// Where an index counted from either end lies, if it is not before the start.
pub(in crate::jq) fn absolute(index: &Decimal, len: usize) -> Option<usize> {
    let index = index.floor().to_i64()?;
    let at = if index < 0 { index.checked_add_unsigned(len as u64)? } else { index };
    usize::try_from(at).ok()
}

/// The bounds of a slice of `len` things, cut to what is there.
pub(in crate::jq) fn bounds(range: &Range<Option<&Value>>, len: usize) -> Result<Range<usize>, Fault> {
    let side = |side: Option<&Value>, default: usize, round: fn(&Decimal) -> Decimal| match side {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Num(number)) => {
            let number = round(number);
            let before = if number.is_sign_negative() { 0 } else { len };
            Ok(absolute(&number, len).unwrap_or(before).min(len))
        }
        Some(other) => Err(fault(format_args!("cannot slice with {}", kind(other)))),
    };
    let start = side(range.start, 0, Decimal::floor)?;
    let end = side(range.end, len, Decimal::ceil)?;
    Ok(start..end.max(start))
}

/// The bytes of the characters in `range`.
fn slice_text(text: &str, range: Range<usize>) -> &str {
    let at = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
    &text[at(range.start)..at(range.end)]
}

fn index_fault(value: &Value, index: &Value) -> Fault {
    match index {
        Value::Str(key) => fault(format_args!("cannot read the field \"{key}\" of {}", kind(value))),
        other => fault(format_args!("cannot index {} with {}", kind(value), kind(other))),
    }
}

pub(in crate::jq) fn slice_bounds(map: &Map) -> Range<Option<&Value>> {
    map.get("start")..map.get("end")
}

fn slice_value(whole: &Jq, range: &Range<Option<&Value>>) -> ValR<Jq> {
    spend(1);
    match &whole.value {
        Value::Null => Ok(Jq::scalar(Value::Null)),
        Value::Str(text) => {
            spend_for(text.len() / 64);
            let chars = if text.is_ascii() { text.len() } else { text.chars().count() };
            Ok(Jq::text(slice_text(text, bounds(range, chars)?)))
        }
        Value::Arr(items) => {
            let range = bounds(range, items.len())?;
            spend_for(range.len());
            Ok(Jq::with_depth(items[range].iter().cloned().collect(), whole.depth))
        }
        other => Err(fault(format_args!("cannot slice {}", kind(other)))),
    }
}
