//! The market's policy: which steps run, with which system, within which limits. Read from `markets/` and `policies/`, pinned at start.
//!
//! Plain data with serde, so that the landscape loads it, the pin stores it and the console shows it. Conditions in jq are resolved by
//! the landscape when an order is accepted (they see the whole order); what is left here is their answers.

use crossdock_canonical::{Duration, MarketId, Money, SystemName};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    pub market: MarketId,
    /// IANA name of the zone business days belong to.
    pub time_zone: String,
    pub storefront: StorefrontPolicy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraud: Option<FraudPolicy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax: Option<TaxPolicy>,
    pub payment: PaymentPolicy,
    pub inventory: InventoryPolicy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erp: Option<ErpPolicy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fulfilment: Option<FulfilmentPolicy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notification: Option<NotificationPolicy>,
    pub validation: ValidationPolicy,
    /// What follows when a system says no.
    #[serde(default)]
    pub refusals: Refusals,
}

/// What follows a refusal by a business rule. A person may always decide otherwise by command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refusals {
    /// Nothing to sell: the reservation was refused.
    pub out_of_stock: Refusal,
    /// The warehouse did not find the goods.
    pub short: Refusal,
    /// A tender was declined.
    pub payment: Refusal,
    /// The ERP would not take the order. Usually master data that a person mends, so it is parked.
    pub erp: Refusal,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { out_of_stock: Refusal::Cancel, short: Refusal::Cancel, payment: Refusal::Cancel, erp: Refusal::Park }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Cancel what is concerned and undo what was done for it.
    Cancel,
    /// Open an exception and wait for a person.
    Park,
}

impl Policy {
    /// For processes that belong to no market (stray messages): nothing runs.
    pub fn none() -> Self {
        Self {
            market: MarketId::new("none"),
            time_zone: "UTC".into(),
            storefront: StorefrontPolicy { system: SystemName::new("none"), deadline: minutes_5(), hub_state: false },
            fraud: None,
            tax: None,
            payment: PaymentPolicy { methods: BTreeMap::new(), capture: CaptureWhen::Completion },
            inventory: InventoryPolicy { authority: StockAuthority::Storefront, system: None, deadline: minutes_5() },
            erp: None,
            fulfilment: None,
            notification: None,
            validation: ValidationPolicy { regions: BTreeMap::new(), tolerance: Decimal::ZERO },
            refusals: Refusals::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StorefrontPolicy {
    pub system: SystemName,
    #[serde(default = "minutes_5")]
    pub deadline: Duration,
    /// Write the versioned line state attribute (`c_hubState`) as shipments and cancellations happen.
    #[serde(default = "yes")]
    pub hub_state: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FraudPolicy {
    pub system: SystemName,
    #[serde(default = "minutes_5")]
    pub deadline: Duration,
    /// How long a review may stay open before a person is asked; the authorization goes on ageing meanwhile.
    #[serde(default = "hours_24")]
    pub review_within: Duration,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaxPolicy {
    pub system: SystemName,
    #[serde(default = "minutes_5")]
    pub deadline: Duration,
    pub basis: TaxBasis,
    /// A difference up to this is kept as sold; above it the order is held with both sums shown.
    pub tolerance: Decimal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaxBasis {
    /// The storefront's tax stands; it is reported as sold.
    AsSold,
    /// The tax system computes it again and is compared.
    Estimate,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaymentPolicy {
    /// The channel's payment method -> how it is taken.
    pub methods: BTreeMap<String, TenderPolicy>,
    /// Capture when: each shipment, the last shipment, or at accept.
    pub capture: CaptureWhen,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenderPolicy {
    /// Absent for a tender nobody authorizes (paid on invoice).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemName>,
    #[serde(default)]
    pub authorized_by: AuthorizedBy,
    /// The provider can capture one authorization several times. Without it a partial capture releases the rest.
    #[serde(default)]
    pub multi_capture: bool,
    /// The provider can replace an expiring authorization.
    #[serde(default)]
    pub reauthorize: bool,
    /// How long an authorization holds; a capture or a hold is decided before it ends.
    #[serde(default = "days_7")]
    pub auth_valid_for: Duration,
    /// Taken at once, never only authorized.
    #[serde(default)]
    pub sale_only: bool,
    #[serde(default = "minutes_5")]
    pub deadline: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorizedBy {
    /// The shopper's authorization is in the order; it is verified.
    #[default]
    Storefront,
    /// The hub authorizes with the token in the order.
    Hub,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureWhen {
    /// For each shipment, what it is worth; on a tender without `multi_capture` once, when the last line is decided.
    Shipment,
    /// Once, when every line is decided.
    Completion,
    /// At once (digital goods, tenders taken as a sale).
    Accept,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InventoryPolicy {
    pub authority: StockAuthority,
    /// The system asked, where the authority is not the storefront's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemName>,
    #[serde(default = "minutes_5")]
    pub deadline: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StockAuthority {
    Hub,
    Oci,
    Storefront,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErpPolicy {
    pub system: SystemName,
    #[serde(default = "minutes_5")]
    pub deadline: Duration,
    /// The ERP's total may differ from the storefront's by up to this (a rounding line); above it the order is held.
    pub tolerance: Money,
    /// Post deliveries, invoices and payments to it.
    #[serde(default = "yes")]
    pub posts: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FulfilmentPolicy {
    /// Where shipments go, first rule that fits; the landscape resolved its conditions to a system at accept.
    pub system: SystemName,
    /// Stores that fulfil pickup themselves: store id -> system. Empty: the warehouse system serves pickup as well.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stores: BTreeMap<String, SystemName>,
    #[serde(default = "minutes_5")]
    pub deadline: Duration,
    /// From release to the shipped notice; beyond it the missing hop is flagged.
    #[serde(default = "hours_24")]
    pub ship_within: Duration,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NotificationPolicy {
    pub system: SystemName,
    #[serde(default = "minutes_5")]
    pub deadline: Duration,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidationPolicy {
    /// Countries whose addresses need a region, with the accepted codes (empty: any non-empty region).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub regions: BTreeMap<String, Vec<String>>,
    /// Totals must tie to the parts within this (minor rounding of the channel).
    #[serde(default)]
    pub tolerance: Decimal,
}

fn yes() -> bool {
    true
}
fn minutes_5() -> Duration {
    Duration::minutes(5)
}
fn hours_24() -> Duration {
    Duration::hours(24)
}
fn days_7() -> Duration {
    Duration::days(7)
}
