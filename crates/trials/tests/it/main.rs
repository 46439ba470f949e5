//! Short forms of the campaigns.

mod crash;
mod kill;
mod bugs;
mod sim;
