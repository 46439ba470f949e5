//! Tests of whole stores. The promises common to all are in `crossdock_store::conformance`; here each implementation runs them, and
//! what only a file on a disk can show has a module of its own.

mod backup;
mod cluster;
mod conformance;
mod crash;
mod folder;
mod full;
mod members;
mod orders;
mod postgres;
mod postgres_nodes;
mod proxy;
mod sqlite;
mod transfer;
