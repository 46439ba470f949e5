//! Tests of the surfaces, against a store in memory and a hub that records what it is asked.
//!
//! `access` who gets where; `malformed` bodies nobody should send; `api` what the APIs answer; `pages` what the console shows,
//! hostile text included; `description` the OpenAPI document; `serving` sockets. The world they share is in `world` (hub, store,
//! requests) and `story` (orders with a life behind them).

mod access;
mod api;
mod description;
mod malformed;
mod pages;
mod serving;
mod story;
mod world;
