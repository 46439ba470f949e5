//! Intents from creation to capture or cancellation.
//!
//! An ordinary partial capture releases the rest of the authorisation. Only with multicapture does `final_capture=false`
//! leave it open.

use super::objects::Status;
use super::params::Params;
use super::{Answer, Refusal, Stripe};
use crate::http::Response;
use crate::json::{Json, object};
use crate::simulator::Context;

const CREATE: &[&str] = &[
    "amount",
    "automatic_payment_methods",
    "capture_method",
    "confirm",
    "confirmation_method",
    "currency",
    "customer",
    "description",
    "expand",
    "metadata",
    "off_session",
    "payment_method",
    "payment_method_options",
    "payment_method_types",
    "receipt_email",
    "return_url",
    "setup_future_usage",
    "shipping",
    "statement_descriptor",
    "statement_descriptor_suffix",
];
const CAPTURE: &[&str] = &[
    "amount_to_capture",
    "application_fee_amount",
    "expand",
    "final_capture",
    "metadata",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
];
const CAPTURES_MAX: u32 = 50;

impl Stripe {
    pub(super) fn create_intent(&mut self, params: &Params, key: &str, context: &mut Context) -> Answer {
        params.only(CREATE)?;
        let missing = |name: &str| Refusal::parameter(name, "parameter_missing", format!("Missing required param: {name}."));
        let amount = params.minor("amount")?.ok_or_else(|| missing("amount"))?;
        let currency = params.get("currency").ok_or_else(|| missing("currency"))?.to_ascii_lowercase();
        if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_lowercase()) {
            return Err(Refusal::parameter("currency", "parameter_invalid", format!("Invalid currency: {currency}")));
        }
        let manual = match params.get("capture_method") {
            Some("manual") => true,
            None | Some("automatic" | "automatic_async") => false,
            Some(other) => {
                return Err(Refusal::parameter(
                    "capture_method",
                    "parameter_invalid",
                    format!("Invalid capture_method: {other}"),
                ));
            }
        };
        let confirm = params.flag("confirm", false)?;
        let id = self.new_id("pi_", context);
        let index = self.add_intent(id, amount, currency, manual, params.metadata(), context);
        if let Some(method) = params.get("payment_method") {
            self.intents[index].payment_method = Some(method.to_owned());
            self.intents[index].status = Status::RequiresConfirmation;
        }
        if confirm { self.charge(index, key, context) } else { self.show(index) }
    }

    pub(super) fn update_intent(&mut self, id: &str, params: &Params, context: &mut Context) -> Answer {
        params.only(&["metadata", "description", "expand"])?;
        let index = self.intent(id)?;
        self.set_metadata(index, params.metadata(), context.now);
        self.show(index)
    }

    pub(super) fn confirm(&mut self, id: &str, params: &Params, key: &str, context: &mut Context) -> Answer {
        params.only(&["payment_method", "return_url", "off_session", "expand", "capture_method"])?;
        let index = self.intent(id)?;
        let status = self.intents[index].status;
        if !matches!(status, Status::RequiresPaymentMethod | Status::RequiresConfirmation) {
            return Err(self.unexpected(index, "confirmed"));
        }
        if let Some(method) = params.get("payment_method") {
            self.intents[index].payment_method = Some(method.to_owned());
        }
        self.charge(index, key, context)
    }

    /// Asks the card. The test cards' names say what they answer.
    fn charge(&mut self, index: usize, key: &str, context: &mut Context) -> Answer {
        let Some(method) = self.intents[index].payment_method.clone() else {
            return Err(Refusal::parameter("payment_method", "parameter_missing", "A payment_method is needed to confirm."));
        };
        let (code, decline, message) = match method.as_str() {
            "pm_card_chargeDeclined" => ("card_declined", "generic_decline", "Your card was declined."),
            "pm_card_chargeDeclinedInsufficientFunds" => {
                ("card_declined", "insufficient_funds", "Your card has insufficient funds.")
            }
            "pm_card_chargeDeclinedExpiredCard" => ("expired_card", "", "Your card has expired."),
            "pm_card_chargeDeclinedProcessingError" => ("processing_error", "", "An error occurred while processing your card."),
            _ => {
                self.authorise(index, key, true, context);
                return self.show(index);
            }
        };
        let mut error = object! { "type": "card_error", "code": code, "message": message };
        if !decline.is_empty() {
            error.set("decline_code", decline);
        }
        let intent = &mut self.intents[index];
        intent.status = Status::RequiresPaymentMethod;
        intent.payment_method = None;
        intent.last_error = Some(error.clone());
        intent.changed = context.now;
        self.intent_event("payment_intent.payment_failed", index, key, context);
        error.set("payment_intent", self.intents[index].json(self));
        Err(Refusal { status: 402, error, kept: true })
    }

    pub(super) fn capture(&mut self, id: &str, params: &Params, key: &str, context: &mut Context) -> Answer {
        params.only(CAPTURE)?;
        let index = self.intent(id)?;
        let asked = params.minor("amount_to_capture")?;
        let last = params.flag("final_capture", true)?;
        if !last && !self.config.multicapture {
            let message = "Multicapture is not available for this account.";
            return Err(Refusal::parameter("final_capture", "parameter_invalid", message));
        }
        let intent = &self.intents[index];
        if intent.status != Status::RequiresCapture {
            return Err(self.unexpected(index, "captured"));
        }
        let amount = asked.unwrap_or(intent.capturable);
        if amount > intent.capturable {
            let message = format!("The amount_to_capture {amount} is greater than the capturable {}.", intent.capturable);
            return Err(Refusal::state("amount_too_large", message));
        }
        if intent.captures >= CAPTURES_MAX {
            return Err(Refusal::state("capture_limit_reached", "This PaymentIntent was captured 50 times."));
        }
        self.set_metadata(index, params.metadata(), context.now);
        self.take(index, amount, last, key, context);
        self.show(index)
    }

    /// Takes held money; with `last` the rest is released.
    pub(super) fn take(&mut self, index: usize, amount: i64, last: bool, key: &str, context: &mut Context) {
        let intent = &mut self.intents[index];
        let charge = intent.charge.expect("an intent that holds money has a charge");
        intent.received += amount;
        intent.capturable -= amount;
        intent.captures += 1;
        intent.changed = context.now;
        let released = if last { std::mem::take(&mut intent.capturable) } else { 0 };
        if last || intent.capturable == 0 {
            intent.status = Status::Succeeded;
        }
        let (id, number, done) = (intent.id.clone(), intent.captures, intent.status == Status::Succeeded);
        self.charges[charge].captured += amount;
        if done {
            self.stop_expiry(index);
        }
        let reference = format!("{}/{number}", self.charges[charge].id);
        self.book("capture", key, index, &reference, &id, amount, "succeeded", context);
        if released > 0 {
            self.book("release", key, index, &reference, &id, released, "released", context);
        }
        let shown = self.charges[charge].json(self);
        self.event("charge.captured", shown, key, context);
        let kind = if done { "payment_intent.succeeded" } else { "payment_intent.amount_capturable_updated" };
        self.intent_event(kind, index, key, context);
    }

    pub(super) fn cancel(&mut self, id: &str, params: &Params, key: &str, context: &mut Context) -> Answer {
        params.only(&["cancellation_reason", "expand"])?;
        let index = self.intent(id)?;
        if matches!(self.intents[index].status, Status::Succeeded | Status::Canceled) {
            return Err(self.unexpected(index, "canceled"));
        }
        let reason = params.get("cancellation_reason").unwrap_or("");
        if !["", "duplicate", "fraudulent", "requested_by_customer", "abandoned"].contains(&reason) {
            return Err(Refusal::parameter("cancellation_reason", "parameter_invalid", format!("Invalid reason: {reason}")));
        }
        self.release(index, reason, key, "canceled", context);
        self.show(index)
    }

    /// Ends an intent and lets go of what it holds.
    pub(super) fn release(&mut self, index: usize, reason: &str, key: &str, state: &str, context: &mut Context) {
        let intent = &mut self.intents[index];
        let held = std::mem::take(&mut intent.capturable);
        intent.status = if intent.received > 0 { Status::Succeeded } else { Status::Canceled };
        intent.canceled_at = Some(context.now);
        intent.cancellation_reason = (!reason.is_empty()).then(|| reason.to_owned());
        intent.changed = context.now;
        let id = intent.id.clone();
        self.stop_expiry(index);
        self.book("void", key, index, &id, &id, held, state, context);
        self.intent_event("payment_intent.canceled", index, key, context);
    }

    fn show(&self, index: usize) -> Answer {
        Ok(Response::json(200, &self.intents[index].json(self)))
    }

    fn unexpected(&self, index: usize, verb: &str) -> Refusal {
        let intent = &self.intents[index];
        let message = format!("This PaymentIntent's status is {}; it could not be {verb}.", intent.status.name());
        let mut refusal = Refusal::state("payment_intent_unexpected_state", message);
        refusal.error.set("payment_intent", intent.json(self));
        refusal.error.set("param", Json::Null);
        refusal
    }
}
