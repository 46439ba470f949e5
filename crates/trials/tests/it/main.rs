//! Short forms of the campaigns.

mod bugs;
mod crash;
mod fuzz;
mod kill;
mod nodes;
mod scenarios;
mod sim;
mod tryton;
