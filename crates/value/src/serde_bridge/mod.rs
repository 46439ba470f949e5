//! Between [`Value`] and types that derive serde.
//!
//! [`from_value`] and [`to_value`] are exact. Other formats are met halfway:
//!
//! * A `Value` written by another serializer gives whole numbers without a scale as integers and
//!   every other number as text (`12.50` becomes `"12.50"`), because serde has no decimal and a
//!   JSON number does not survive most readers. Where the bytes must hold a JSON number, use
//!   [`crate::to_json`].
//! * A float is refused in both directions. A `Value` can be read through any self-describing
//!   format as long as its numbers are whole; documents with fractions go through
//!   [`crate::parse`], which sees the digits.
//! * `#[serde(flatten)]` and untagged enums buffer what they read, and turn a fraction into text.
//!
//! Not used, on purpose: serde_json's `arbitrary_precision`. Cargo would switch it on for every
//! crate of the build and change how they read numbers.

mod de;
mod ser;

use serde::de::DeserializeOwned;
use serde::ser::Serialize;

use crate::Value;

/// Why a value and a type do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl serde::de::Error for Error {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Error(message.to_string())
    }
}

impl serde::ser::Error for Error {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Error(message.to_string())
    }
}

/// Reads a typed thing from a value. Fields of type `Value` come through unchanged.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, Error> {
    T::deserialize(de::Reader(value))
}

/// Turns a typed thing into a value. Floats are refused.
pub fn to_value<T: Serialize + ?Sized>(typed: &T) -> Result<Value, Error> {
    typed.serialize(ser::Writer)
}

/// The newtype name by which a `Value` asks this bridge for a value as it is.
const VALUE_TOKEN: &str = "$crossdock::Value";

#[cfg(test)]
mod tests;
