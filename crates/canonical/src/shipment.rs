//! What a warehouse or store tells of goods: picked, packed, shipped, delivered, short. Connectors translate their notices to this.

use crate::{LineId, Quantity, ShipmentId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One notice about one shipment. Notices repeat, come late and out of order; `sequence` orders those of one shipment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShipmentNotice {
    /// The shipment as the hub released it.
    pub shipment: ShipmentId,
    pub stage: Stage,
    /// The parcel, when a shipment leaves in several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parcel: Option<String>,
    pub lines: Vec<ShippedLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<String>,
    pub at: Timestamp,
    /// Rises with every notice of the shipment, as the sender counts.
    pub sequence: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Accepted,
    Picked,
    Packed,
    Shipped,
    Delivered,
    /// The goods are not there: the line will not ship from here.
    Short,
    Cancelled,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShippedLine {
    pub line: LineId,
    pub quantity: Quantity,
}
