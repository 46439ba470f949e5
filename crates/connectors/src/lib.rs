//! The connectors: one folder for each vendor product.
//!
//! To add one, write its folder and add two lines: `pub mod` here and its row in `registry.rs`. Nothing else knows a vendor's name.

mod fields;
pub mod http_json;
pub mod registry;
pub mod salesforce_b2c;
pub mod stripe;
pub mod tryton;

pub use registry::build;

#[cfg(test)]
mod testing;
