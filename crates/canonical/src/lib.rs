//! The canonical retail model: what an order, a payment, a shipment and a customer are, whatever system they come from,
//! and the rules about money and identity that no code path may pass.
//!
//! Pure: no I/O, no clock, no randomness. Vendor words never appear here; a connector translates them.

pub mod ids;
pub mod money;
pub mod operation;
pub mod order;
pub mod outcome;
pub mod payment;
pub mod quantity;
pub mod reference;
pub mod schema;
pub mod shipment;
pub mod time;

pub use ids::{ChannelId, LineId, MarketId, OrderNumber, ShipmentId, SiteId, Sku, SystemName};
pub use money::{Currency, Money, MoneyError};
pub use operation::{Operation, Role};
pub use order::Order;
pub use outcome::{Outcome, OutcomeClass};
pub use quantity::Quantity;
pub use reference::OrderRef;
pub use time::{Duration, Timestamp};
