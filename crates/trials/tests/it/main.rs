//! Short forms of the campaigns.

mod sim;
