//! Refunds: never more than was captured. Some settle later, some fail after they had succeeded.

use super::objects::Refund;
use super::params::Params;
use super::{Answer, Pending, Refusal, Stripe, query};
use crate::http::Response;
use crate::simulator::Context;

/// How long a refund that does not settle at once takes.
const SETTLES_AFTER_MS: (u64, u64) = (500, 3_000);

impl Stripe {
    pub(super) fn refund(&mut self, params: &Params, key: &str, context: &mut Context) -> Answer {
        params.only(&[
            "amount",
            "charge",
            "payment_intent",
            "reason",
            "metadata",
            "expand",
            "refund_application_fee",
            "reverse_transfer",
        ])?;
        let charge = match (params.get("charge"), params.get("payment_intent")) {
            (Some(id), _) => {
                let found = self.by_id.get(id).filter(|_| id.starts_with("ch_"));
                *found.ok_or_else(|| Refusal::missing("charge", id))?
            }
            (None, Some(id)) => {
                let index = self.intent(id)?;
                self.intents[index].charge.ok_or_else(|| {
                    Refusal::state(
                        "payment_intent_unexpected_state",
                        "This PaymentIntent does not have a successful charge to refund.",
                    )
                })?
            }
            (None, None) => {
                let message = "One of the following params should be provided for this request: payment_intent or charge.";
                return Err(Refusal::parameter("payment_intent", "parameter_missing", message));
            }
        };
        let reason = params.get("reason");
        if reason.is_some_and(|r| !["duplicate", "fraudulent", "requested_by_customer"].contains(&r)) {
            return Err(Refusal::parameter("reason", "parameter_invalid", "Invalid reason."));
        }
        let asked = params.minor("amount")?;
        let own = &self.charges[charge];
        let left = own.captured - own.refunded;
        if left == 0 {
            let (code, message) = if own.captured == 0 {
                ("payment_intent_unexpected_state", "This charge has not been captured.")
            } else {
                ("charge_already_refunded", "This charge has already been refunded.")
            };
            return Err(Refusal::state(code, message));
        }
        let amount = asked.unwrap_or(left);
        if amount > left {
            let mut refusal =
                Refusal::state("amount_too_large", format!("The refund of {amount} is greater than the unrefunded {left}."));
            refusal.error.set("param", "amount");
            return Err(refusal);
        }
        let intent = own.intent;
        let method = self.intents[intent].payment_method.clone().unwrap_or_default();
        let pending = method == "pm_card_pendingRefund";
        let index = self.refunds.len();
        let id = self.new_id("re_", context);
        self.charges[charge].refunded += amount;
        self.by_id.insert(id.clone(), index);
        self.refunds.push(Refund {
            id: id.clone(),
            intent,
            charge,
            amount,
            reason: reason.map(str::to_owned),
            status: if pending { "pending" } else { "succeeded" },
            metadata: params.metadata(),
            created: context.now,
        });
        let parent = self.intents[intent].id.clone();
        self.book("refund", key, intent, &id, &parent, amount, self.refunds[index].status, context);
        let shown = self.charges[charge].json(self);
        self.event("charge.refunded", shown, key, context);
        let outcome = match method.as_str() {
            "pm_card_pendingRefund" => Some("succeeded"),
            "pm_card_refundFail" => Some("failed"),
            _ => None,
        };
        if let Some(outcome) = outcome {
            let at = context.now.saturating_add_unsigned(context.rng.between(SETTLES_AFTER_MS.0..=SETTLES_AFTER_MS.1));
            self.later(at, Pending::SettleRefund(index, outcome));
        }
        Ok(Response::json(200, &self.refunds[index].json(self)))
    }

    /// A refund reaches its end; a failed one gives the money back to the merchant.
    pub(super) fn settle_refund(&mut self, index: usize, outcome: &'static str, context: &mut Context) {
        let refund = &mut self.refunds[index];
        refund.status = outcome;
        let (charge, intent, amount, id) = (refund.charge, refund.intent, refund.amount, refund.id.clone());
        let operation = if outcome == "failed" { "refund.fail" } else { "refund.settle" };
        self.book(operation, "", intent, &id, &self.intents[intent].id.clone(), amount, outcome, context);
        let shown = self.refunds[index].json(self);
        self.event("refund.updated", shown.clone(), "", context);
        if outcome == "failed" {
            self.charges[charge].refunded -= amount;
            self.event("refund.failed", shown, "", context);
        }
    }

    pub(super) fn list_refunds(&self, params: &Params) -> Answer {
        let intent = params.get("payment_intent").map(|id| self.intent(id)).transpose()?;
        let charge = params.get("charge");
        let found = self
            .refunds
            .iter()
            .filter(|r| intent.is_none_or(|i| i == r.intent) && charge.is_none_or(|c| c == self.charges[r.charge].id));
        let shown: Vec<_> = found.map(|r| r.json(self)).collect();
        Ok(query::page(&shown, params, "/v1/refunds", Clone::clone))
    }
}
