//! Exact JSON values, and jq programs over them.
//!
//! Every document that enters or leaves the hub passes through [`Value`]. Its numbers are exact
//! decimals with the scale they were written in: `12.50` stays `12.50`, and `0.1 + 0.2` is `0.3`.
//! There is no floating-point variant, so money cannot pick up a binary rounding error on the way.
//!
//! * [`parse`] and [`to_json`] are the wire format: strict, bounded, and exact both ways.
//! * [`from_value`] and [`to_value`] are the bridge to types that derive serde.
//! * [`jq`] compiles and runs jq programs in a closed world with a budget.
//! * [`Mapping`] is a list of target fields, each with its own program.
//!
//! Deliberately absent: files, clocks, randomness, the environment and logging. A program sees its
//! input and its variables, and the same input always gives the same output.

pub mod currency;
pub mod decimal;
pub mod jq;
mod macros;
mod map;
mod mapping;
mod parse;
pub mod serde_bridge;
mod value;
mod write;

pub use jq::{Budget, CompileError, Program, RunError};
pub use map::Map;
pub use mapping::{Mapping, MappingError};
pub use parse::{Limits, ParseError, ParseErrorKind, check, parse, parse_str};
pub use rust_decimal::Decimal;
pub use serde_bridge::{Error, from_value, to_value};
pub use value::{Value, obj};
pub use write::{to_json, to_json_pretty, to_json_string};
