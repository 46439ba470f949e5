//! `town` is a small world in which everything is right; `doctored` spoils it one thing at a time; `store` reads a real store and a
//! real simulator.

mod doctored;
mod store;
mod town;
