//! Identifiers, each a type of its own so that a line is never taken for a SKU.

use serde::{Deserialize, Serialize};
use std::{borrow::Borrow, fmt, sync::Arc};

macro_rules! identifier {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(transparent)]
        #[schemars(transparent)]
        pub struct $name(#[schemars(with = "String")] Arc<str>);

        impl $name {
            pub fn new(text: impl AsRef<str>) -> Self {
                Self(Arc::from(text.as_ref()))
            }
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::new(text)
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

identifier! {
    /// Where orders come from: a storefront instance, Shopify, a marketplace.
    ChannelId,
    /// A storefront within a channel.
    SiteId,
    /// A group of sites with one currency, time zone and set of policies.
    MarketId,
    /// The storefront's number, what people read out. Unique within its channel and site only.
    OrderNumber,
    /// The line of an order, as the channel identifies it.
    LineId,
    /// A shipment of an order: planned by the channel, or split off by the hub.
    ShipmentId,
    /// Stock keeping unit.
    Sku,
    /// An outside system, as `systems/*.yaml` names it. `hub` is the hub itself.
    SystemName,
}
