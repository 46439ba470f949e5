//! The surfaces: experience, process, system, inbound, event and admin APIs, and the console.
//!
//! `route::table` is the one list of what can be called; it builds the router, the guard of every route and the OpenAPI
//! document. Nothing is decided here: orders, webhooks and commands go to the hub (`Hub`), lists and histories come from the
//! store (`ReadStore`). The binary implements `Hub` and, for the demo, [`Demo`], and calls [`router`] and [`serve`].

pub mod api;
pub mod app;
pub mod auth;
pub mod console;
pub mod harden;
pub mod input;
pub mod openapi;
pub mod problem;
pub mod random;
pub mod route;
pub mod serve;
mod tick;

pub use app::{App, Demo, DemoSystem, router};
pub use auth::{Auth, principals::Principals};
pub use problem::{Code, Problem};
pub use serve::serve;
