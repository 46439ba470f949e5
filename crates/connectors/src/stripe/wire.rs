//! Stripe's paths, form fields and error words, exactly as Stripe spells them. No logic beyond writing a form.

use crossdock_connect::http::form;

/// A form being written; Stripe nests by brackets.
#[derive(Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub fn put(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    pub fn put_some(self, name: &str, value: Option<String>) -> Self {
        match value {
            Some(value) => self.put(name, value),
            None => self,
        }
    }

    pub fn metadata(self, name: &str, value: &str) -> Self {
        // Longer values are refused by Stripe; references are far shorter.
        let value: String = value.chars().take(500).collect();
        self.put(&format!("metadata[{name}]"), value)
    }

    pub fn encode(&self) -> String {
        form(self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }
}

pub(super) const INTENTS: &str = "/v1/payment_intents";
pub(super) const REFUNDS: &str = "/v1/refunds";

/// Objects a list may hold.
pub(super) const PAGE: u32 = 100;

/// Reasons that `POST /v1/refunds` knows.
pub(super) const REFUND_REASONS: &[&str] = &["duplicate", "fraudulent", "requested_by_customer"];
