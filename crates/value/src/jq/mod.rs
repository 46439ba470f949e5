//! jq programs over exact values, in a closed world, with a budget.
//!
//! The language is jq as `jaq-core` runs it; the values are this crate's, so `.netPrice + .tax`
//! is decimal arithmetic. What differs from jq on a command line:
//!
//! * No floats. Sums, differences and products are exact while they fit in 28 digits; beyond that,
//!   and in quotients, the fraction is rounded half-even at the last digit that fits. A whole part
//!   that does not fit is an error. Filters that need floats (`sqrt`, `sin`, `nan`) are absent.
//! * Money: `fixed($currency)` is the amount as text with the currency's minor units, rounded
//!   half-even; `money($currency)` is `{amount, currency}`; `to_minor($currency)` and
//!   `from_minor($currency)` convert without rounding. `round($digits)` rounds a half away from
//!   zero, as jq's `round` does. `fixed`, `money` and `round` take a rounding rule as a last
//!   argument: `half_even`, `half_up`, `up`, `down`, `floor`, `ceil`.
//! * A closed world: no environment, clock, input stream, files, logging or exit. A program that
//!   names one does not compile, and the error says why.
//! * Every program ends: recursion and open loops are refused when it is compiled, and the rest is
//!   metered (see [`Budget`]). Running out cannot be caught by `try`.
//!
//! [`Program::compile`] finds syntax errors, unknown filters and unknown variables, with their
//! place in the source. jaq reports no place at run time, which is why a [`crate::Mapping`] keeps
//! one program a field.

mod builtins;
mod check;
mod error;
mod library;
mod meter;
mod number;
mod ops;
mod program;
mod reads;
mod straight;
mod val;

pub use error::{CompileError, RunError};
pub use meter::Budget;
pub use program::Program;
pub use reads::{Read, Root, Step};

#[cfg(test)]
mod tests;
