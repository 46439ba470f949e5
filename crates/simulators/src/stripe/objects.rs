//! The objects as the API shows them.

use super::Stripe;
use crate::json::{Json, object};
use crate::ledger::Scope;

/// The version whose shapes these are; `charges` is gone from intents since 2022-11-15.
pub const API_VERSION: &str = "2025-04-30.basil";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresCapture,
    Succeeded,
    Canceled,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Status::RequiresPaymentMethod => "requires_payment_method",
            Status::RequiresConfirmation => "requires_confirmation",
            Status::RequiresCapture => "requires_capture",
            Status::Succeeded => "succeeded",
            Status::Canceled => "canceled",
        }
    }
}

pub struct Intent {
    pub id: String,
    pub scope: Scope,
    pub amount: i64,
    pub capturable: i64,
    pub received: i64,
    /// Lower case, as the vendor writes it.
    pub currency: String,
    pub manual: bool,
    pub status: Status,
    pub payment_method: Option<String>,
    pub charge: Option<usize>,
    pub metadata: Vec<(String, String)>,
    pub created: i64,
    pub changed: i64,
    pub canceled_at: Option<i64>,
    pub cancellation_reason: Option<String>,
    pub last_error: Option<Json>,
    pub captures: u32,
    /// Where its end by itself waits, while it holds money.
    pub expiry: Option<(i64, u64)>,
}

pub struct Charge {
    pub id: String,
    pub intent: usize,
    pub amount: i64,
    pub captured: i64,
    pub refunded: i64,
    pub created: i64,
}

pub struct Refund {
    pub id: String,
    pub intent: usize,
    pub charge: usize,
    pub amount: i64,
    pub reason: Option<String>,
    pub status: &'static str,
    pub metadata: Vec<(String, String)>,
    pub created: i64,
}

fn seconds(ms: i64) -> i64 {
    ms.div_euclid(1000)
}

fn pairs(metadata: &[(String, String)]) -> Json {
    Json::Object(metadata.iter().map(|(k, v)| (k.clone().into(), Json::from(v))).collect())
}

impl Intent {
    pub fn json(&self, stripe: &Stripe) -> Json {
        let charge = self.charge.map(|c| stripe.charges[c].id.as_str());
        object! {
            "id": &self.id, "object": "payment_intent", "amount": self.amount, "amount_capturable": self.capturable,
            "amount_received": self.received, "canceled_at": self.canceled_at.map(seconds),
            "cancellation_reason": self.cancellation_reason.as_deref(),
            "capture_method": if self.manual { "manual" } else { "automatic" },
            "client_secret": format!("{}_secret_sim", self.id), "confirmation_method": "automatic",
            "created": seconds(self.created), "currency": &self.currency, "customer": Json::Null, "description": Json::Null,
            "last_payment_error": self.last_error.clone(), "latest_charge": charge, "livemode": false,
            "metadata": pairs(&self.metadata), "next_action": Json::Null, "payment_method": self.payment_method.as_deref(),
            "payment_method_types": vec![Json::from("card")], "receipt_email": Json::Null, "status": self.status.name(),
        }
    }
}

impl Charge {
    pub fn json(&self, stripe: &Stripe) -> Json {
        let intent = &stripe.intents[self.intent];
        object! {
            "id": &self.id, "object": "charge", "amount": self.amount, "amount_captured": self.captured,
            "amount_refunded": self.refunded, "captured": self.captured > 0, "created": seconds(self.created),
            "currency": &intent.currency, "disputed": false, "livemode": false, "metadata": pairs(&intent.metadata),
            "paid": true, "payment_intent": &intent.id, "payment_method": intent.payment_method.as_deref(),
            "refunded": self.captured > 0 && self.refunded == self.captured, "status": "succeeded",
        }
    }
}

impl Refund {
    pub fn json(&self, stripe: &Stripe) -> Json {
        let intent = &stripe.intents[self.intent];
        let mut json = object! {
            "id": &self.id, "object": "refund", "amount": self.amount, "charge": &stripe.charges[self.charge].id,
            "created": seconds(self.created), "currency": &intent.currency, "metadata": pairs(&self.metadata),
            "payment_intent": &intent.id, "reason": self.reason.as_deref(), "status": self.status,
        };
        if self.status == "pending" {
            json.set("pending_reason", "processing");
        }
        if self.status == "failed" {
            json.set("failure_reason", "expired_or_canceled_card");
        }
        json
    }
}
