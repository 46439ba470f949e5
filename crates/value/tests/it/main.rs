//! The crate from outside, as the engine and the connectors use it: whole documents through whole
//! mappings. Cases of single filters belong to `src/jq/tests.rs`.

mod mapping;
mod orders;
