//! Money: an exact decimal with a currency. Adding two currencies is an error, not a conversion; floats do not exist here.

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, str::FromStr};

/// An ISO 4217 code, three upper-case letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Money {
    /// Exact decimal text, scale as given (`12.50` stays `12.50`).
    #[schemars(with = "String", regex(pattern = r"^-?[0-9]{1,20}(\.[0-9]{1,8})?$"))]
    pub amount: Decimal,
    pub currency: Currency,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("{0:?} is not an ISO 4217 currency code")]
    UnknownCurrency(String),
    #[error("{left} and {right} are different currencies")]
    CurrencyMismatch { left: Currency, right: Currency },
    #[error("the sum does not fit into 28 digits")]
    Overflow,
    #[error("{amount} {currency} is finer than the currency's minor unit")]
    FinerThanMinorUnit { amount: Decimal, currency: Currency },
}

/// Currencies whose minor unit is not a hundredth (ISO 4217 table A.1). All others have two digits.
const EXPONENTS: &[(&str, u32)] = &[
    ("BHD", 3),
    ("BIF", 0),
    ("CLF", 4),
    ("CLP", 0),
    ("DJF", 0),
    ("GNF", 0),
    ("IQD", 3),
    ("ISK", 0),
    ("JOD", 3),
    ("JPY", 0),
    ("KMF", 0),
    ("KRW", 0),
    ("KWD", 3),
    ("LYD", 3),
    ("OMR", 3),
    ("PYG", 0),
    ("RWF", 0),
    ("TND", 3),
    ("UGX", 0),
    ("UYI", 0),
    ("UYW", 4),
    ("VND", 0),
    ("VUV", 0),
    ("XAF", 0),
    ("XOF", 0),
    ("XPF", 0),
];

impl Currency {
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a Currency is built from ASCII letters only")
    }

    /// Digits of the minor unit: 2 for EUR, 0 for JPY, 3 for KWD.
    pub fn minor_digits(&self) -> u32 {
        EXPONENTS.iter().find(|(code, _)| *code == self.as_str()).map_or(2, |(_, digits)| *digits)
    }
}

impl FromStr for Currency {
    type Err = MoneyError;
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        match text.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err(MoneyError::UnknownCurrency(text.chars().take(12).collect())),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Currency {
    fn schema_name() -> Cow<'static, str> {
        "Currency".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[A-Z]{3}$"})
    }
}

impl Money {
    pub const fn new(amount: Decimal, currency: Currency) -> Self {
        Self { amount, currency }
    }

    pub const fn zero(currency: Currency) -> Self {
        Self { amount: Decimal::ZERO, currency }
    }

    pub fn is_zero(&self) -> bool {
        self.amount.is_zero()
    }

    pub fn is_positive(&self) -> bool {
        self.amount > Decimal::ZERO
    }

    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let amount = self.amount.checked_add(other.amount).ok_or(MoneyError::Overflow)?;
        Ok(Self { amount, ..self })
    }

    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let amount = self.amount.checked_sub(other.amount).ok_or(MoneyError::Overflow)?;
        Ok(Self { amount, ..self })
    }

    /// Sums amounts of one currency; an empty sum is zero of `currency`.
    pub fn sum(currency: Currency, parts: impl IntoIterator<Item = Self>) -> Result<Self, MoneyError> {
        parts.into_iter().try_fold(Self::zero(currency), Self::plus)
    }

    /// The smaller of two amounts of one currency.
    pub fn min(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        Ok(if other.amount < self.amount { other } else { self })
    }

    /// Half-even to the currency's minor unit, the only rounding that is implied anywhere.
    pub fn rounded(self) -> Self {
        let amount = self.amount.round_dp_with_strategy(self.currency.minor_digits(), RoundingStrategy::MidpointNearestEven);
        Self { amount, ..self }
    }

    /// The integer of minor units that payment providers take: 12.50 EUR is 1250, 1250 JPY is 1250, 1.250 KWD is 1250.
    pub fn to_minor(self) -> Result<i64, MoneyError> {
        let digits = self.currency.minor_digits();
        let scaled = Decimal::from(10_i64.pow(digits)).checked_mul(self.amount).ok_or(MoneyError::Overflow)?;
        if !scaled.fract().is_zero() {
            return Err(MoneyError::FinerThanMinorUnit { amount: self.amount, currency: self.currency });
        }
        i64::try_from(scaled.trunc()).map_err(|_| MoneyError::Overflow)
    }

    /// The amount of `minor` units, with the currency's scale.
    pub fn from_minor(minor: i64, currency: Currency) -> Self {
        Self { amount: Decimal::new(minor, currency.minor_digits()), currency }
    }

    fn same_currency(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            Ok(())
        } else {
            Err(MoneyError::CurrencyMismatch { left: self.currency, right: other.currency })
        }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn money(text: &str) -> Money {
        let (amount, currency) = text.split_once(' ').expect("`12.50 EUR`");
        Money::new(amount.parse().expect("decimal"), currency.parse().expect("currency"))
    }

    #[test]
    fn minor_units_follow_the_currency() {
        for (text, minor) in
            [("12.50 EUR", 1250), ("1250 JPY", 1250), ("1.250 KWD", 1250), ("-0.01 USD", -1), ("12.500 EUR", 1250)]
        {
            assert_eq!(money(text).to_minor(), Ok(minor), "{text}");
        }
        for text in ["12.505 EUR", "0.5 JPY", "0.0001 KWD"] {
            assert!(matches!(money(text).to_minor(), Err(MoneyError::FinerThanMinorUnit { .. })), "{text}");
        }
    }

    #[test]
    fn currencies_do_not_mix() {
        assert!(matches!(money("1 EUR").plus(money("1 USD")), Err(MoneyError::CurrencyMismatch { .. })));
        assert!("eur".parse::<Currency>().is_err());
    }

    #[test]
    fn rounding_is_half_even() {
        for (given, rounded) in
            [("0.125 EUR", "0.12 EUR"), ("0.135 EUR", "0.14 EUR"), ("2.5 JPY", "2 JPY"), ("0.0005 KWD", "0.000 KWD")]
        {
            assert_eq!(money(given).rounded(), money(rounded), "{given}");
        }
    }

    #[test]
    fn json_is_text_and_keeps_the_scale() {
        let json = serde_json::to_string(&money("12.50 EUR")).expect("serializes");
        assert_eq!(json, r#"{"amount":"12.50","currency":"EUR"}"#);
        assert_eq!(serde_json::from_str::<Money>(&json).expect("parses").amount.to_string(), "12.50");
    }

    proptest! {
        #[test]
        fn minor_units_round_trip(minor in -1_000_000_000_000_i64..1_000_000_000_000, code in prop::sample::select(vec!["EUR", "JPY", "KWD", "CLF"])) {
            let currency: Currency = code.parse().expect("listed");
            prop_assert_eq!(Money::from_minor(minor, currency).to_minor(), Ok(minor));
        }
    }
}
