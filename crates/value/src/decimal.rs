//! Reading decimals exactly, and the serde form of a decimal field.
//!
//! `Decimal::from_str` rounds what does not fit, which is the wrong default for money. Everything
//! in the hub that turns text into a decimal comes through [`read`].
//!
//! As `#[serde(with = "crossdock_value::decimal")]` a `Decimal` is a number in a [`crate::Value`]
//! and text in every other format, because a JSON number does not survive most readers.

use rust_decimal::Decimal;
use serde::de::{self, Deserializer, Visitor};
use serde::ser::Serializer;

/// The most digits after the point that a decimal can hold.
const MAX_SCALE: i64 = 28;

/// Reads a JSON number exactly, keeping its scale; `None` when it is no number or does not fit.
///
/// An exponent is applied: `1.5e3` is `1500`, `15e-1` is `1.5`. Negative zero is zero. Trailing
/// zeros past the 28th digit are dropped, because dropping them changes nothing but the spelling.
pub fn read(text: &str) -> Option<Decimal> {
    let (digits, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], read_exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let unsigned = digits.strip_prefix('-').unwrap_or(digits);
    let plain = unsigned.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !plain || !unsigned.starts_with(|c: char| c.is_ascii_digit()) || unsigned.ends_with('.') {
        return None;
    }
    let number = Decimal::from_str_exact(digits).ok().or_else(|| without_trailing_zeros(digits))?;
    let mut number = shift(number, exponent)?;
    if number.is_zero() {
        number.set_sign_positive(true);
    }
    Some(number)
}

/// An exponent; one that is out of any decimal's reach is cut to just that.
fn read_exponent(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| sign * digits.parse::<i64>().unwrap_or(i64::MAX / 2).min(1_000_000))
}

fn without_trailing_zeros(digits: &str) -> Option<Decimal> {
    let (whole, fraction) = digits.split_once('.')?;
    let fraction = fraction.trim_end_matches('0');
    let shorter = if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") };
    Decimal::from_str_exact(&shorter).ok()
}

/// `number * 10^exponent`, exactly or not at all.
fn shift(number: Decimal, exponent: i64) -> Option<Decimal> {
    if exponent == 0 {
        return Some(number);
    }
    if number.is_zero() {
        return Some(Decimal::ZERO);
    }
    let mut mantissa = number.mantissa();
    let mut scale = i64::from(number.scale()) - exponent;
    while scale > MAX_SCALE && mantissa % 10 == 0 {
        mantissa /= 10;
        scale -= 1;
    }
    if scale < 0 {
        let factor = 10_i128.checked_pow(u32::try_from(-scale).ok()?)?;
        mantissa = mantissa.checked_mul(factor)?;
        scale = 0;
    }
    Decimal::try_from_i128_with_scale(mantissa, u32::try_from(scale).ok()?).ok()
}

/// The newtype name by which a decimal passes unharmed through this crate's own serde bridge.
pub(crate) const TOKEN: &str = "$crossdock::Decimal";

/// Writes a decimal: a number into a [`crate::Value`], text elsewhere.
pub fn serialize<S: Serializer>(number: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_newtype_struct(TOKEN, &number.to_string())
}

/// Reads a decimal from a whole number or from text; refuses a float.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    struct Read;
    impl Visitor<'_> for Read {
        type Value = Decimal;

        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("a decimal as text or a whole number")
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<Decimal, E> {
            Ok(number.into())
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<Decimal, E> {
            Ok(number.into())
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Decimal, E> {
            read(text).ok_or_else(|| E::custom(format_args!("\"{text}\" is not a decimal of up to 28 digits")))
        }
    }
    deserializer.deserialize_any(Read)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn numbers_are_read_exactly_or_not_at_all() {
        let cases = [
            ("0", Some("0")),
            ("-0", Some("0")),
            ("-0.00", Some("0.00")),
            ("12.50", Some("12.50")),
            ("-0.1", Some("-0.1")),
            ("1e3", Some("1000")),
            ("1.5E+3", Some("1500")),
            ("15e-1", Some("1.5")),
            ("1.50e1", Some("15.0")),
            ("0e999999999999999999999", Some("0")),
            ("12345678901234567890.123456", Some("12345678901234567890.123456")),
            ("79228162514264337593543950335", Some("79228162514264337593543950335")),
            ("79228162514264337593543950336", None),
            ("0.1000000000000000000000000000000000000", Some("0.1")),
            ("0.12345678901234567890123456789", None),
            ("1e29", None),
            ("1e-29", None),
            ("10e-29", Some("0.0000000000000000000000000001")),
            ("1e-999999999999999999999", None),
            ("", None),
            ("-", None),
            (".5", None),
            ("5.", None),
            ("1_000", None),
            ("1e", None),
            ("+1", None),
            ("NaN", None),
            (" 1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text).map(|number| number.to_string()).as_deref(), expected, "{text}");
        }
    }
}
