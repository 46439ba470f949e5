//! Payments of an order as sold: one per instrument. Authorizing, capturing and refunding them is the payment process's business.

use crate::{Money, order::Attributes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Payment {
    /// The channel's id of the instrument.
    pub id: String,
    /// The channel's method: `CREDIT_CARD`, `GIFT_CERTIFICATE`, `PayPal` ... A market's policy maps it to a system.
    pub method: String,
    pub kind: Tender,
    pub amount: Money,
    /// The provider's transaction when it was authorized in the storefront.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
    /// A provider's token when the hub is to authorize. Never a card number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// Last digits of the card, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_digits: Option<String>,
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub custom: Attributes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tender {
    /// Taken first: what it covers need not be authorized elsewhere.
    GiftCard,
    Card,
    Wallet,
    /// Paid on invoice or in advance: nothing to authorize.
    Invoice,
}
