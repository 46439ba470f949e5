//! The core under the simulated shell, with a toy flow and a scripted town of systems: every promise of the engine on its own.
//!
//! `shell` is the exception: the tokio side, over a store that can be held up.
//!
//! Two of them are watched in every test here, see `town`: an intent is on disk before its request arrives anywhere, and a
//! generation rises only where a probe said *absent* or the system refused.

mod ack;
mod crashes;
mod health;
mod kit;
mod lanes;
mod nodes;
mod restored;
mod sending;
mod shell;
mod talk;
mod town;
mod toy;
mod waking;
mod withdrawn;
