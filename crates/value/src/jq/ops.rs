//! The operators of jq over values.
//!
//! What they cost is paid before the work is done, so that a program cannot make one huge step.

use std::ops::{Add, Div, Mul, Neg, Rem, Sub};
use std::sync::Arc;

use jaq_core::ValR;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::meter::{spend, spend_for, spend_for_text};
use super::number;
use super::val::{Fault, Jq, fault, kind};
use crate::value::compare;
use crate::{Map, Value};

fn math_fault(doing: &str, left: &Value, right: &Value) -> Fault {
    let hint = match (left, right) {
        (Value::Str(_), Value::Num(_)) | (Value::Num(_), Value::Str(_)) => "; use tonumber or tostring",
        _ => "",
    };
    fault(format_args!("cannot {doing} {} and {}{hint}", kind(left), kind(right)))
}

impl Add for Jq {
    type Output = ValR<Self>;

    fn add(self, right: Self) -> ValR<Self> {
        spend(1);
        let depth = self.depth().max(right.depth());
        let sum = match (self.into_value(), right.into_value()) {
            (Value::Null, other) | (other, Value::Null) => other,
            (Value::Num(l), Value::Num(r)) => Value::Num(number::add(l, r)?),
            (Value::Str(l), Value::Str(r)) => {
                spend_for_text(l.len() + r.len());
                Value::from([&*l, &*r].concat())
            }
            (Value::Arr(mut l), Value::Arr(r)) => {
                let copied = if Arc::get_mut(&mut l).is_some() { r.len() } else { l.len() + r.len() };
                spend_for(copied);
                Arc::make_mut(&mut l).extend(r.iter().cloned());
                Value::Arr(l)
            }
            (Value::Obj(l), Value::Obj(r)) => Value::Obj(union(l, r)),
            (l, r) => return Err(math_fault("add", &l, &r)),
        };
        Ok(Self::with_depth(sum, depth))
    }
}

/// `left + right` for objects: the right one's values win, the left one's order comes first.
fn union(mut left: Arc<Map>, mut right: Arc<Map>) -> Arc<Map> {
    if left.is_empty() {
        return right;
    }
    if left.len() == 1
        && let (Some(one), Some(many)) = (Arc::get_mut(&mut left), Arc::get_mut(&mut right))
    {
        for (key, value) in std::mem::take(one) {
            many.insert_first(key, value);
        }
        return right;
    }
    let copied = if Arc::get_mut(&mut left).is_some() { right.len() } else { left.len() + right.len() };
    spend_for(copied);
    Arc::make_mut(&mut left).extend(right.iter().map(|(key, value)| (key.clone(), value)));
    left
}

impl Sub for Jq {
    type Output = ValR<Self>;

    fn sub(self, right: Self) -> ValR<Self> {
        spend(1);
        let depth = self.depth();
        match (self.into_value(), right.into_value()) {
            (Value::Num(l), Value::Num(r)) => Ok(Self::scalar(number::sub(l, r)?)),
            (Value::Arr(l), Value::Arr(r)) => {
                let equal = |l: &Value, r: &Value| compare(l, r, &mut || spend(1)).is_eq();
                let keep = l.iter().filter(|item| !r.iter().any(|gone| equal(item, gone)));
                Ok(Self::with_depth(keep.cloned().collect(), depth))
            }
            (l, r) => Err(math_fault("subtract", &l, &r)),
        }
    }
}

impl Mul for Jq {
    type Output = ValR<Self>;

    fn mul(self, right: Self) -> ValR<Self> {
        spend(1);
        let depth = self.depth().max(right.depth());
        let product = match (self.into_value(), right.into_value()) {
            (Value::Num(l), Value::Num(r)) => Value::Num(number::mul(l, r)?),
            (Value::Str(text), Value::Num(times)) | (Value::Num(times), Value::Str(text)) => {
                if times <= Decimal::ZERO {
                    Value::Null
                } else {
                    let times = times.ceil().to_usize().unwrap_or(usize::MAX);
                    spend_for_text(text.len().saturating_mul(times));
                    Value::from(text.repeat(times))
                }
            }
            (Value::Obj(l), Value::Obj(r)) => Value::Obj(merge(l, &r)),
            (l, r) => return Err(math_fault("multiply", &l, &r)),
        };
        Ok(Self::with_depth(product, depth))
    }
}

/// `left * right` for objects: as `+`, but objects under the same key are merged too.
fn merge(mut left: Arc<Map>, right: &Map) -> Arc<Map> {
    spend_for(left.len() + right.len());
    let map = Arc::make_mut(&mut left);
    for (key, value) in right.iter() {
        let merged = match (map.get(key), value) {
            (Some(Value::Obj(l)), Value::Obj(r)) => Value::Obj(merge(l.clone(), r)),
            _ => value.clone(),
        };
        map.insert(key.clone(), merged);
    }
    left
}

impl Div for Jq {
    type Output = ValR<Self>;

    fn div(self, right: Self) -> ValR<Self> {
        spend(1);
        match (self.value(), right.value()) {
            (Value::Num(l), Value::Num(r)) => Ok(Self::scalar(number::div(*l, *r)?)),
            (Value::Str(text), Value::Str(separator)) => Ok(split(text, separator)),
            (l, r) => Err(math_fault("divide", l, r)),
        }
    }
}

fn split(text: &str, separator: &str) -> Jq {
    spend_for_text(text.len());
    if text.is_empty() {
        Jq::from_iter([])
    } else if separator.is_empty() {
        text.chars().map(|c| Jq::text(c.to_string())).collect()
    } else {
        text.split(separator).map(Jq::text).collect()
    }
}

impl Rem for Jq {
    type Output = ValR<Self>;

    fn rem(self, right: Self) -> ValR<Self> {
        spend(1);
        match (self.value(), right.value()) {
            (Value::Num(l), Value::Num(r)) => Ok(Self::scalar(number::rem(*l, *r)?)),
            (l, r) => Err(math_fault("divide", l, r)),
        }
    }
}

impl Neg for Jq {
    type Output = ValR<Self>;

    fn neg(self) -> ValR<Self> {
        let number = self.number("negate")?;
        Ok(Self::scalar(if number.is_zero() { number } else { -number }))
    }
}
