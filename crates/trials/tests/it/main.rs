//! Short forms of the campaigns.

mod bugs;
mod crash;
mod kill;
mod sim;
mod tryton;
