//! Short forms of the campaigns.

mod bugs;
mod crash;
mod failover;
mod fuzz;
mod kill;
mod moving;
mod nodes;
mod restored;
mod scenarios;
mod sim;
mod trouble;
mod tryton;
