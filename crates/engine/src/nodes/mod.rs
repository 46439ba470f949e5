//! Nodes on one store: who is taken to be alive, and whose turn each partition is. Pure: time comes in as an instant of a monotonic clock.
//!
//! What a node does about it is the core's business (`core/tenure`), what it says to the others the shell's (`shell/turns`).

mod about;
mod assign;
mod members;

pub use about::{About, Heard, Word};
pub use assign::assign;
pub use members::{BEATS, Members, Mono, News};
