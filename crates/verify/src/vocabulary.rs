//! What the operations in ledgers mean: which are effects the hub asked for, and how often one intent may leave each.
//!
//! The same words for every product of a role. A ledger with other words is translated before it comes here; rows with unknown words
//! are counted in the report as not understood.

use crate::ledger::Row;
use crossdock_canonical::Operation;

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The trace of a call from the hub.
    Effect {
        asked_by: &'static [Operation],
        repeat: Repeat,
    },
    /// A line of the row before it.
    Detail,
    /// The system acted by itself, or a person in it.
    Own,
    Unknown,
}

/// How often one intent may leave such a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    Once,
    /// Several times, if no line is in two of them: the system applied a part, and the rest later.
    OncePerLine,
    /// Once, and another invariant than traceability says so: I2, I3, I4.
    Counted,
    /// Setting the same again changes nothing.
    Harmless,
}

/// Every effect row: the ledger's word, the hub's operations that lead to it, how often.
const EFFECTS: &[(&str, &[Operation], Repeat)] = &[
    ("export_status", &[Operation::ExportStatus], Repeat::Harmless),
    ("confirmation_status", &[Operation::ConfirmationStatus], Repeat::Harmless),
    ("payment_status", &[Operation::PaymentStatus], Repeat::Harmless),
    ("shipping_status", &[Operation::ShippingStatus], Repeat::Harmless),
    ("status", &[Operation::OrderStatus], Repeat::Harmless),
    ("order.patch", &[Operation::HubState], Repeat::Harmless),
    ("external_status", &[Operation::HubState], Repeat::Harmless),
    ("payment_transaction.patch", &[Operation::HubState, Operation::PaymentStatus], Repeat::Harmless),
    ("payment_instrument.patch", &[Operation::HubState, Operation::PaymentStatus], Repeat::Harmless),
    ("oms_status_event", &[Operation::HubState, Operation::ShippingStatus], Repeat::Harmless),
    ("screening.create", &[Operation::Screen], Repeat::Once),
    ("tax.create", &[Operation::TaxQuote, Operation::TaxCommit], Repeat::Once),
    ("tax.commit", &[Operation::TaxCommit], Repeat::Harmless),
    ("tax.void", &[Operation::TaxVoid], Repeat::Harmless),
    ("authorise", &[Operation::PaymentAuthorize], Repeat::Once),
    ("capture", &[Operation::PaymentCapture, Operation::PaymentAuthorize], Repeat::Counted),
    ("void", &[Operation::PaymentVoid], Repeat::Harmless),
    ("refund", &[Operation::PaymentRefund], Repeat::Counted),
    ("reservation.create", &[Operation::Reserve], Repeat::Once),
    ("reservation.release", &[Operation::ReleaseStock], Repeat::Harmless),
    ("reservation.fulfil", &[Operation::FulfilStock], Repeat::Once),
    ("sales_order.create", &[Operation::ErpCreateOrder], Repeat::Counted),
    ("sales_order.cancel", &[Operation::ErpCancelOrder], Repeat::OncePerLine),
    ("delivery.create", &[Operation::ErpPostDelivery], Repeat::OncePerLine),
    ("invoice.create", &[Operation::ErpPostInvoice], Repeat::Once),
    ("payment.create", &[Operation::ErpPostPayment], Repeat::Once),
    ("credit_note.create", &[Operation::ErpPostPayment, Operation::ErpCancelOrder], Repeat::Once),
    ("fulfilment_order.create", &[Operation::WmsRelease], Repeat::Once),
    ("fulfilment_order.cancel", &[Operation::WmsCancel], Repeat::OncePerLine),
    ("message.send", &[Operation::Notify], Repeat::Once),
];

/// What systems do without being asked by the hub.
const OWN: &[&str] = &[
    "order.placed",
    "order.accepted",
    "order.tender",
    "screening.decide",
    "shipping_address",
    "stock.set",
    "card.load",
    "shipment.create",
    "refund.settle",
    "refund.fail",
];

/// Rows that another row brings with it.
const DETAILS: &[&str] = &["order.line", "pick.line", "short_pick.line", "shipment.line", "release"];

/// Hub operations that leave no row of their own where they are done: look-ups, or undoing what may never have been there.
const TRACELESS: &[Operation] = &[Operation::TaxQuote, Operation::TaxVoid, Operation::PaymentVerify, Operation::HubCommand];

pub(crate) fn meaning(row: &Row) -> Meaning {
    let word = row.operation.as_str();
    // An authorization that ran out was voided by its system.
    if word == "void" && row.state == "expired" {
        return Meaning::Own;
    }
    if let Some((_, asked_by, repeat)) = EFFECTS.iter().find(|(name, ..)| *name == word) {
        return Meaning::Effect { asked_by, repeat: *repeat };
    }
    if OWN.contains(&word) {
        Meaning::Own
    } else if DETAILS.contains(&word) || word.ends_with(".line") {
        Meaning::Detail
    } else {
        Meaning::Unknown
    }
}

/// The rows of which a done operation must have left one; empty for those that leave none.
pub(crate) fn traces(operation: Operation) -> Vec<&'static str> {
    if TRACELESS.contains(&operation) {
        return Vec::new();
    }
    EFFECTS.iter().filter(|(_, asked_by, _)| asked_by.contains(&operation)).map(|(name, ..)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_of_the_hub_leaves_a_trace_or_is_known_to_leave_none() {
        for operation in Operation::ALL {
            assert_eq!(traces(*operation).is_empty(), TRACELESS.contains(operation), "{operation}");
        }
    }

    #[test]
    fn no_word_has_two_meanings() {
        let mut words: Vec<&str> = EFFECTS.iter().map(|(name, ..)| *name).chain(OWN.iter().chain(DETAILS).copied()).collect();
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
        let row = Row { operation: "order.melt".into(), ..Row::default() };
        assert_eq!(meaning(&row), Meaning::Unknown);
    }
}
