//! Decimal arithmetic for programs, and money.
//!
//! A result that fits in 28 digits is exact. Of one that does not, the fraction is rounded
//! half-even at the last digit that fits; a whole part that does not fit is an error, and so is a
//! product too small to be told from zero.

use rust_decimal::{Decimal, RoundingStrategy};

use super::val::{Fault, fault};
use crate::currency;

fn too_large() -> Fault {
    fault("the result does not fit in 28 digits")
}

pub(super) fn add(left: Decimal, right: Decimal) -> Result<Decimal, Fault> {
    left.checked_add(right).map(plain_zero).ok_or_else(too_large)
}

pub(super) fn sub(left: Decimal, right: Decimal) -> Result<Decimal, Fault> {
    left.checked_sub(right).map(plain_zero).ok_or_else(too_large)
}

pub(super) fn mul(left: Decimal, right: Decimal) -> Result<Decimal, Fault> {
    let product = left.checked_mul(right).map(plain_zero).ok_or_else(too_large)?;
    if product.is_zero() && !left.is_zero() && !right.is_zero() {
        return Err(fault("the product is too small for 28 digits"));
    }
    Ok(product)
}

pub(super) fn div(left: Decimal, right: Decimal) -> Result<Decimal, Fault> {
    if right.is_zero() {
        return Err(fault("cannot divide by zero"));
    }
    // Without trailing zeros: how many there are would depend on how the division was carried out.
    left.checked_div(right).map(|quotient| plain_zero(quotient.normalize())).ok_or_else(too_large)
}

pub(super) fn rem(left: Decimal, right: Decimal) -> Result<Decimal, Fault> {
    if right.is_zero() {
        return Err(fault("cannot divide by zero"));
    }
    left.checked_rem(right).map(plain_zero).ok_or_else(too_large)
}

/// Zero without a sign: `-0` is a spelling that some readers choke on.
fn plain_zero(mut number: Decimal) -> Decimal {
    if number.is_zero() {
        number.set_sign_positive(true);
    }
    number
}

/// A rounding rule by its name in programs.
pub(super) fn rounding(name: &str) -> Result<RoundingStrategy, Fault> {
    Ok(match name {
        "half_even" => RoundingStrategy::MidpointNearestEven,
        "half_up" => RoundingStrategy::MidpointAwayFromZero,
        "up" => RoundingStrategy::AwayFromZero,
        "down" => RoundingStrategy::ToZero,
        "floor" => RoundingStrategy::ToNegativeInfinity,
        "ceil" => RoundingStrategy::ToPositiveInfinity,
        _ => {
            return Err(fault("a rounding rule is one of half_even, half_up, up, down, floor, ceil"));
        }
    })
}

/// The number with exactly `digits` after the point.
pub(super) fn round(number: Decimal, digits: u32, rule: RoundingStrategy) -> Result<Decimal, Fault> {
    let mut rounded = number.round_dp_with_strategy(digits, rule);
    rounded.rescale(digits);
    if rounded.scale() != digits {
        return Err(too_large());
    }
    Ok(plain_zero(rounded))
}

/// The number with the minor units of a currency: half-even, `12.345` USD is `12.34`.
pub(super) fn fixed(number: Decimal, currency: &str, rule: RoundingStrategy) -> Result<Decimal, Fault> {
    round(number, minor_units(currency)?, rule)
}

/// The amount as a count of minor units: `12.50` USD is `1250`. Never rounds.
pub(super) fn to_minor(number: Decimal, currency: &str) -> Result<Decimal, Fault> {
    let digits = minor_units(currency)?;
    let minor = number.checked_mul(Decimal::from(10_u32.pow(digits))).ok_or_else(too_large)?.normalize();
    if minor.is_integer() {
        Ok(plain_zero(minor))
    } else {
        Err(fault(format_args!("the amount has more than the {digits} digits of {currency}; use fixed first")))
    }
}

/// The amount of a count of minor units: `1250` USD is `12.50`. Never rounds.
pub(super) fn from_minor(minor: Decimal, currency: &str) -> Result<Decimal, Fault> {
    let digits = minor_units(currency)?;
    if !minor.is_integer() {
        return Err(fault("minor units must be a whole number"));
    }
    let amount = Decimal::try_from_i128_with_scale(minor.trunc().mantissa(), digits);
    amount.map(plain_zero).map_err(|_| too_large())
}

fn minor_units(currency: &str) -> Result<u32, Fault> {
    currency::exponent(currency)
        .ok_or_else(|| fault(format_args!("\"{}\" is no ISO 4217 currency code", currency.chars().take(8).collect::<String>())))
}
