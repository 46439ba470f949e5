//! Quantity: an exact decimal with a unit. Most lines count pieces (`EA`), but cloth is sold by the metre.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Quantity {
    /// Exact decimal text.
    #[schemars(with = "String", regex(pattern = r"^-?[0-9]{1,20}(\.[0-9]{1,8})?$"))]
    pub value: Decimal,
    /// UN/ECE or house code; `EA` is a piece.
    #[schemars(with = "String")]
    pub unit: Arc<str>,
}

impl Quantity {
    pub fn new(value: Decimal, unit: &str) -> Self {
        Self { value, unit: Arc::from(unit) }
    }

    pub fn pieces(count: i64) -> Self {
        Self::new(Decimal::from(count), "EA")
    }

    pub fn is_positive(&self) -> bool {
        self.value > Decimal::ZERO
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.value.normalize(), self.unit)
    }
}

impl fmt::Debug for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
