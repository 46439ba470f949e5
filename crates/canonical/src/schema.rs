//! JSON Schemas of the canonical objects, generated from the types. The committed copies in `schemas/` are checked against them.

use crate::{order::Order, payment::Payment, shipment::ShipmentNotice};

/// `(file name, schema)` of every canonical object.
pub fn all() -> Vec<(&'static str, schemars::Schema)> {
    vec![
        ("order.json", schemars::schema_for!(Order)),
        ("payment.json", schemars::schema_for!(Payment)),
        ("shipment-notice.json", schemars::schema_for!(ShipmentNotice)),
    ]
}
