//! Tests of the simulators through their public face. A new file here covers one subject and is listed below.

mod commerce;
mod generated_orders;
mod schema;
mod sockets;
mod whole_world;
