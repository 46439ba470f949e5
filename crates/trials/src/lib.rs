//! Campaigns: long runs that try to break the hub's promises, each with a short form among the normal tests.
//!
//! - `sim`: seeded simulation of the real core, flows, connectors and landscape against the simulated systems, with faults.
//! - `bugs`: bugs planted on purpose, each of which a named test must catch.
//! - `crash`: what a disk may hold after a power cut, built and opened thousands of times; `crash_postgres`: the same of a server.
//! - `kill`: the hub's process killed at random and at every system call that changes something.
//! - `nodes`: three hubs on one database, killed, paused between check and call, cut off and stopped under load.
//! - `failover`: the hub's database killed, with its standby made the new one, or stopped for a while.
//! - `move`: a store moved from its file into PostgreSQL by a program that is killed and run again.
//! - `restore`: a hub put back to an older backup, while the systems remember what came after.
//! - `trouble`: a full disk under a whole hub, and a second hub on one file; without a long form.
//! - `fuzz`: broken order payloads through both doors; each is refused with a code, or on record and ends.
//! - `tryton`: orders into a real ERP, whose own tables are judged, also while it is cut off and killed.
//!
//! Nothing here is part of the hub, and nothing of the hub depends on it.

mod address;
pub mod bugs;
mod cluster;
pub mod crash;
pub mod crash_postgres;
pub mod failover;
pub mod fuzz;
pub mod kill;
pub mod moving;
pub mod nodes;
mod outcome;
mod program;
pub mod restore;
pub mod scene;
mod shim;
pub mod sim;
mod town;
pub mod trouble;
pub mod tryton;
mod wiring;
