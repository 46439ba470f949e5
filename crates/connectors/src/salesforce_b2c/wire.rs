//! The addresses and words of the SCAPI Orders API, exactly as Salesforce spells them. No logic.

use crossdock_canonical::{Operation, OrderRef};
use crossdock_connect::http::percent;

/// Where the Orders API lives below the instance's address.
pub(super) const API: &str = "/checkout/orders/v1";
/// The Account Manager's token address for every production and sandbox tenant.
pub(super) const TOKEN_URL: &str = "https://account.demandware.com/dwsso/oauth2/access_token";
/// Most rows a page may have.
pub(super) const PAGE_MAX: u32 = 200;

/// A field of the order that the hub writes: the operation, the resource it is put to, the field it is read back from, and its values in
/// the order an order passes through them.
pub(super) struct StatusField {
    pub operation: Operation,
    pub resource: &'static str,
    pub field: &'static str,
    pub values: &'static [&'static str],
}

pub(super) const STATUS_FIELDS: &[StatusField] = &[
    StatusField {
        operation: Operation::ExportStatus,
        resource: "export-status",
        field: "exportStatus",
        values: &["not_exported", "ready", "failed", "exported"],
    },
    StatusField {
        operation: Operation::ConfirmationStatus,
        resource: "confirmation-status",
        field: "confirmationStatus",
        values: &["not_confirmed", "confirmed"],
    },
    StatusField {
        operation: Operation::PaymentStatus,
        resource: "payment-status",
        field: "paymentStatus",
        values: &["not_paid", "part_paid", "paid"],
    },
    StatusField {
        operation: Operation::ShippingStatus,
        resource: "shipping-status",
        field: "shippingStatus",
        values: &["not_shipped", "part_shipped", "shipped"],
    },
    // `completed` and `cancelled` exclude each other; neither follows the other in an order's life.
    StatusField { operation: Operation::OrderStatus, resource: "status", field: "status", values: &["new"] },
];

pub(super) fn status_field(operation: Operation) -> Option<&'static StatusField> {
    STATUS_FIELDS.iter().find(|field| field.operation == operation)
}

/// The target of an order, or of a resource below it.
pub(super) fn order_target(api: &str, organization: &str, order: &OrderRef, resource: Option<&str>) -> String {
    let number = percent(order.number.as_str());
    let site = percent(order.site.as_str());
    let resource = resource.map(|resource| format!("/{resource}")).unwrap_or_default();
    format!("{api}/organizations/{organization}/orders/{number}{resource}?siteId={site}")
}
