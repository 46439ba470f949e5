//! What the hub can ask of a system, by role. A flow names the operation and its arguments; a connector says it to one product.
//!
//! Arguments (`Call::args`) are canonical JSON; money is `{"amount","currency"}`, quantities `{"value","unit"}`. The whole canonical
//! order is beside them as `Call::document`, so arguments carry only what differs from it.
//!
//! | operation | arguments | evidence of *done* |
//! |---|---|---|
//! | `storefront.export_status` | `status` (`exported`) | |
//! | `storefront.confirmation_status` | `status` (`confirmed`) | |
//! | `storefront.payment_status` | `status` (`not_paid`, `part_paid`, `paid`) | |
//! | `storefront.shipping_status` | `status` (`not_shipped`, `part_shipped`, `shipped`) | |
//! | `storefront.order_status` | `status` (`completed`, `cancelled`) | |
//! | `storefront.hub_state` | `state`: versioned object of line states, tracking, cancellations | |
//! | `fraud.screen` | | `decision` (`approve`, `review`, `reject`) |
//! | `tax.quote` | | `tax` money, `lines[{line,tax}]` |
//! | `tax.commit` / `tax.void` | `tax` money | |
//! | `payment.verify` | `payment` (id), `amount`, `transaction` | `amount` authorised, `transaction`, `expires_at` |
//! | `payment.authorize` | `payment`, `amount`, `method`, `token` | `amount`, `transaction`, `expires_at` |
//! | `payment.capture` | `payment`, `amount`, `transaction`, `final` (bool) | `amount`, `transaction` |
//! | `payment.void` | `payment`, `transaction`, `amount` | |
//! | `payment.refund` | `payment`, `amount`, `transaction`, `reason` | `amount`, `transaction` |
//! | `inventory.reserve` | `lines[{line,sku,location?,quantity}]` | `lines[{line,location}]` |
//! | `inventory.release` / `inventory.fulfil` | `lines[..]` | |
//! | `erp.create_order` | `shipments[{shipment,lines[{line,quantity}]}]` | `order` (their id), `total?`, `tax?` as the ERP computed them |
//! | `erp.cancel_order` | `lines[{line,quantity}]`, `whole` (bool) | |
//! | `erp.post_delivery` | `shipment`, `lines[..]`, `tracking?` | |
//! | `erp.post_invoice` | `shipment`, `lines[..]`, `amount` | `invoice` |
//! | `erp.post_payment` | `payment`, `amount`, `transaction`, `kind` (`capture`, `refund`) | |
//! | `wms.release` | `shipment`, `lines[{line,sku,quantity}]` | `order` (their id) |
//! | `wms.cancel` | `shipment`, `lines[..]` | *refused* `already_picked` when the wave has begun |
//! | `notification.send` | `template`, `shipment?`, `lines?` | |

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What a system is to the retailer. One system may have several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Storefront,
    Marketplace,
    Erp,
    Oms,
    Wms,
    Store,
    Inventory,
    Payment,
    Tax,
    Fraud,
    Carrier,
    Service,
    Crm,
    Pim,
    Notification,
    /// The hub itself: processes command each other through it.
    Hub,
}

macro_rules! operations {
    ($($variant:ident = $name:literal, $role:ident, $urgency:ident;)*) => {
        /// One kind of call. The text form is stored for ever.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation { $($variant),* }

        impl Operation {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
            /// The role a system must have to be asked.
            pub const fn role(self) -> Role {
                match self { $(Self::$variant => Role::$role),* }
            }
            pub const fn urgency(self) -> Urgency {
                match self { $(Self::$variant => Urgency::$urgency),* }
            }
        }

        impl FromStr for Operation {
            type Err = UnknownOperation;
            fn from_str(text: &str) -> Result<Self, UnknownOperation> {
                match text { $($name => Ok(Self::$variant),)* _ => Err(UnknownOperation(text.chars().take(64).collect())) }
            }
        }
    };
}

/// How an operation ranks among the waiting: undoing before doing, doing before telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// Void, cancel, release: every second makes it harder.
    Undo,
    /// Create, authorize, capture.
    Do,
    /// Status and messages.
    Tell,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an operation; see the table in docs/landscape.md")]
pub struct UnknownOperation(pub String);

impl Operation {
    /// Whether it leaves something behind that the system can be asked about later.
    pub const fn leaves_a_record(self) -> bool {
        match self {
            Self::TaxQuote | Self::PaymentVerify | Self::HubCommand => false,
            // What was told last stands in the place of what was told before.
            _ => !matches!(self.urgency(), Urgency::Tell),
        }
    }
}

operations! {
    ExportStatus = "storefront.export_status", Storefront, Tell;
    ConfirmationStatus = "storefront.confirmation_status", Storefront, Tell;
    PaymentStatus = "storefront.payment_status", Storefront, Tell;
    ShippingStatus = "storefront.shipping_status", Storefront, Tell;
    OrderStatus = "storefront.order_status", Storefront, Tell;
    HubState = "storefront.hub_state", Storefront, Tell;
    Screen = "fraud.screen", Fraud, Do;
    TaxQuote = "tax.quote", Tax, Do;
    TaxCommit = "tax.commit", Tax, Do;
    TaxVoid = "tax.void", Tax, Undo;
    PaymentVerify = "payment.verify", Payment, Do;
    PaymentAuthorize = "payment.authorize", Payment, Do;
    PaymentCapture = "payment.capture", Payment, Do;
    PaymentVoid = "payment.void", Payment, Undo;
    PaymentRefund = "payment.refund", Payment, Do;
    Reserve = "inventory.reserve", Inventory, Do;
    ReleaseStock = "inventory.release", Inventory, Undo;
    FulfilStock = "inventory.fulfil", Inventory, Do;
    ErpCreateOrder = "erp.create_order", Erp, Do;
    ErpCancelOrder = "erp.cancel_order", Erp, Undo;
    ErpPostDelivery = "erp.post_delivery", Erp, Do;
    ErpPostInvoice = "erp.post_invoice", Erp, Do;
    ErpPostPayment = "erp.post_payment", Erp, Do;
    WmsRelease = "wms.release", Wms, Do;
    WmsCancel = "wms.cancel", Wms, Undo;
    Notify = "notification.send", Notification, Tell;
    HubCommand = "hub.command", Hub, Do;
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Operation {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_read_back_from_its_name() {
        for operation in Operation::ALL {
            assert_eq!(operation.as_str().parse(), Ok(*operation));
        }
        assert!("erp.sing".parse::<Operation>().is_err());
    }
}
