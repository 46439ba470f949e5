//! The systems around the hub, simulated: Salesforce B2C Commerce, Stripe, and a back office in seven roles.
//!
//! Every simulator is sans-I/O: it is handed a request and the time and hands back an answer, so that a seeded simulation can
//! run thousands of orders in a process, and [`serve`] can put the same value behind sockets. Each keeps its own ledger of what it
//! really applied; a checker compares ledgers and never asks the hub.
//!
//! No mapping, wire type or parser is shared with the hub. What both got wrong would otherwise look right.

pub mod backoffice;
pub mod catalog;
pub mod faults;
pub mod generator;
pub mod http;
pub mod json;
pub mod ledger;
pub mod money;
pub mod outbox;
pub mod rng;
pub mod salesforce;
pub mod serve;
pub mod simulator;
pub mod stripe;
pub mod time;
pub mod world;

pub use faults::{Faults, Outage, OutageMode, Rates};
pub use generator::{End, Expectation, Generator, Kind, Mix, OrderJson};
pub use http::{Outgoing, Reply, Request, Response};
pub use ledger::{Ledger, Row};
pub use simulator::{Simulator, Station};
pub use world::{Config, SYSTEMS, World};
