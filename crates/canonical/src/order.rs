//! The order as it was sold. What has become of it since is the process's state, not this document.
//!
//! The document is immutable; an amendment makes a new one. It carries everything a channel's order carries: fields that have no
//! canonical place stay in `custom` (`c_` attributes) or `extra` (everything else), so nothing is lost on the way through.

use crate::{
    ChannelId, Currency, LineId, Money, OrderNumber, OrderRef, Quantity, ShipmentId, SiteId, Sku, Timestamp, payment::Payment,
};
use crossdock_value::Value;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Free attributes by name, exactly as the channel sent them.
pub type Attributes = std::collections::BTreeMap<String, Attribute>;

/// One free attribute: any JSON value, numbers exact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attribute(pub Value);

impl JsonSchema for Attribute {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Attribute".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"description": "Any JSON value, numbers exact."})
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    pub channel: ChannelId,
    pub site: SiteId,
    pub number: OrderNumber,
    pub placed_at: Timestamp,
    pub currency: Currency,
    pub taxation: Taxation,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// The channel's word for where the order was taken: `storefront`, `callcenter`, `marketplace` ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_code: Option<String>,
    pub customer: Customer,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bill_to: Option<Address>,
    pub lines: Vec<Line>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shipments: Vec<PlannedShipment>,
    /// Shipping charges, each of one shipment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shipping: Vec<ShippingCharge>,
    /// Order-level discounts (negative) and surcharges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adjustments: Vec<PriceAdjustment>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coupons: Vec<Coupon>,
    pub payments: Vec<Payment>,
    pub totals: Totals,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// `c_` attributes of the order.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub custom: Attributes,
    /// Fields of the channel's order that have no canonical place, kept untouched.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub extra: Attributes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Taxation {
    /// Prices include tax.
    Gross,
    /// Tax is added to prices.
    Net,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Customer {
    /// The channel's id of the person, if it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The customer number of an account; absent for a guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    pub guest: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Address {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line1: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line2: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// ISO 3166-2 subdivision without the country, where the country has them (`BY`, `CA`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// ISO 3166-1 alpha-2, upper case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub custom: Attributes,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    pub id: LineId,
    pub kind: LineKind,
    /// Absent only for a custom-value gift card that no catalogue lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<Sku>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub quantity: Quantity,
    pub unit_price: Money,
    /// Line total before tax, after its own adjustments, before the order's.
    pub net: Money,
    pub tax: Money,
    /// Line total with tax.
    pub gross: Money,
    /// Fraction, `0.19` for 19 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub tax_rate: Option<Decimal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipment: Option<ShipmentId>,
    /// The inventory list or location the channel sold it from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adjustments: Vec<PriceAdjustment>,
    /// Components of a bundle: what is picked; the bundle itself is what is sold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<Component>,
    /// Chosen options (gift wrap, engraving), each with its own price already within the line's total.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<LineOption>,
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub custom: Attributes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// Picked, packed and shipped.
    Physical,
    /// Fulfilled by being told: a download, a service. Never sees a warehouse.
    Digital,
    /// A gift certificate sold; fulfilled like a digital line.
    GiftCard,
    /// Free of charge by promotion, picked like a physical line.
    Bonus,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Component {
    pub sku: Sku,
    /// Per one of the bundle.
    pub quantity: Quantity,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LineOption {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PriceAdjustment {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Negative for a discount. In the order's taxation: with tax in a gross order, before tax in a net one.
    pub amount: Money,
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub custom: Attributes,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Coupon {
    pub code: String,
    pub applied: bool,
}

/// A shipment as the channel planned it. What really ships is the process's business.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedShipment {
    pub id: ShipmentId,
    pub delivery: Delivery,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The store, when the customer comes for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ship_to: Option<Address>,
    #[serde(default)]
    pub gift: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gift_message: Option<String>,
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub custom: Attributes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    Ship,
    Pickup,
    Digital,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShippingCharge {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipment: Option<ShipmentId>,
    pub net: Money,
    pub tax: Money,
    pub gross: Money,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub tax_rate: Option<Decimal>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adjustments: Vec<PriceAdjustment>,
}

/// Sums as the channel states them. `Order::contract` compares them with the parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Merchandise before tax, after line adjustments, before order adjustments.
    pub lines_net: Money,
    /// Shipping before tax.
    pub shipping_net: Money,
    pub tax: Money,
    /// What the shopper owes.
    pub grand: Money,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Note {
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

impl Order {
    pub fn reference(&self) -> OrderRef {
        OrderRef { channel: self.channel.clone(), site: self.site.clone(), number: self.number.clone() }
    }

    /// Whom the personal fields are about; the key that seals them is this subject's.
    ///
    /// An account is one subject in its channel. A guest is a subject per order: two guests with one e-mail may be two people.
    pub fn subject(&self) -> String {
        match &self.customer.number {
            Some(number) => format!("customer:{}/{number}", self.channel),
            None => format!("guest:{}", self.reference()),
        }
    }
}
