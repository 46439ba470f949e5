//! Power cuts without a power cut: records every write and sync that SQLite makes under a workload, then builds files as a disk may
//! legally hold them after the power failed at some instant - what was synced is there; what was not is there in part, in any order,
//! torn at sectors - and checks that each opens, is whole, and holds everything that was answered.
//!
//! Killing a process cannot show a missing sync, because the kernel keeps what was written; this can. The controls prove it: with
//! `Durability::Normal` or `Off` the same campaign must find losses.
//!
//! Names of files count as durable at once, and the disk keeps what it said it synced.

mod faults;
mod image;
mod record;
mod rng;
mod vfs;
mod workload;

pub use faults::Faults;
pub use image::{Verdict, campaign};
pub use record::Log;
pub use workload::{Workload, record};
