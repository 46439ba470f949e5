//! The engine: makes flows durable and performs their effects once.
//!
//! `core` is sans-I/O and single-threaded: `step(input, now) -> outputs`. It decides what to load, commit, send, probe and when to
//! wake. `shell` is the tokio side that does as told and reports back. Simulation replaces the shell, never the core.

pub mod core;
pub mod driver;
pub mod face;
pub mod nodes;
pub mod shell;
pub mod simulated;
mod stray;
pub mod wiring;

pub use driver::{Driver, FlowDriver};
pub use face::{CommandRequest, Hub, HubError, NodeView, OrderIntake, SystemView};
pub use stray::Stray;
pub use wiring::{Pinned, PolicySource, System, Wiring};
