//! Nodes on one store: who is taken to be alive, and whose turn each partition is. Pure: time comes in as an instant of a monotonic clock.
//!
//! What a node says to the others is in `about`; when it says so and hears them is the shell's business (`shell/turns`), what it does
//! about it the core's (`core/tenure`).

mod about;
mod assign;
mod members;

pub use about::{About, Heard, Word};
pub use assign::assign;
pub use members::{BEATS, Members, Mono, News};
