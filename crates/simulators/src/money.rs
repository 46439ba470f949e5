//! Currency scales and minor units, exact.

use rust_decimal::{Decimal, RoundingStrategy};

/// How many decimals the currency has (ISO 4217); unknown codes count two.
pub fn scale(currency: &str) -> u32 {
    match currency.to_ascii_uppercase().as_str() {
        "BIF" | "CLP" | "DJF" | "GNF" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => {
            0
        }
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

/// The amount of so many minor units, with the currency's scale.
pub fn from_minor(minor: i64, currency: &str) -> Decimal {
    Decimal::new(minor, scale(currency))
}

/// The minor units of an amount, or `None` if it has more decimals than the currency.
pub fn to_minor(amount: Decimal, currency: &str) -> Option<i64> {
    let minor = amount * Decimal::from(10u32.pow(scale(currency)));
    minor.is_integer().then(|| minor.mantissa() / 10i128.pow(minor.scale())).and_then(|m| i64::try_from(m).ok())
}

/// Rounds half up (away from zero) to the currency's scale and shows all its decimals.
pub fn round(amount: Decimal, currency: &str) -> Decimal {
    let mut amount = amount.round_dp_with_strategy(scale(currency), RoundingStrategy::MidpointAwayFromZero);
    amount.rescale(scale(currency));
    amount
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_units_follow_the_currency() {
        for (text, currency, minor) in [
            ("12.90", "EUR", Some(1290)),
            ("1290", "JPY", Some(1290)),
            ("1.234", "KWD", Some(1234)),
            ("0.5", "JPY", None),
            ("1.005", "usd", None),
        ] {
            let amount = Decimal::from_str_exact(text).unwrap();
            assert_eq!(to_minor(amount, currency), minor, "{text} {currency}");
        }
        assert_eq!(from_minor(1234, "KWD").to_string(), "1.234");
        assert_eq!(round(Decimal::new(10050, 4), "EUR").to_string(), "1.01");
    }
}
