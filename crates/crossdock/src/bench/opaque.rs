//! The connector of the *engine* workload: bodies that say nothing but the order's number, and an order that nobody reads.

use super::flow::PLACED;
use crossdock_canonical::{Operation, OrderRef, SystemName, Timestamp};
use crossdock_connect::{
    About, Call, Capability, Connector, Exchange, Identity, Message, Next, NextProbe, PrepareError, Prepared, Probe, Token,
    WebhookError,
    classify::{self, Credentials, Nature},
    http::{Method, Request},
};
use crossdock_value::Value;
use std::sync::Arc;

/// Names the order of a webhook.
pub const ORDER_HEADER: &str = "x-order";

pub struct Opaque {
    mapping: Arc<str>,
}

impl Opaque {
    pub fn new() -> Self {
        Self { mapping: "opaque".into() }
    }
}

impl Connector for Opaque {
    fn capability(&self, _: Operation) -> Option<Capability> {
        Some(Capability {
            identity: Identity::NativeKey,
            key_lifetime_ms: None,
            settling_ms: 0,
            probes: false,
            timeout_ms: 60_000,
            retracts: false,
        })
    }

    fn prepare(&self, call: &Call) -> Result<Prepared, PrepareError> {
        let body = format!(r#"{{"order":"{}"}}"#, call.order.number);
        Ok(Prepared { bytes: Arc::from(body.into_bytes()), mapping: self.mapping.clone() })
    }

    fn next(&self, call: &Call, prepared: &[u8], exchanges: &[Exchange]) -> Next {
        match exchanges.last().map(|exchange| &exchange.answer) {
            None => {
                let request = Request::new(Method::Post, format!("/{}/{}", call.system, call.order.number));
                Next::Send(request.header("idempotency-key", &*call.key).json(prepared))
            }
            Some(Ok(response)) => Next::End(classify::answered(response, Nature::Change, Credentials::Fixed)),
            Some(Err(error)) => Next::End(classify::broken(error, Nature::Change)),
        }
    }

    fn probe(&self, _: &Call, _: &[u8], _: &[Exchange]) -> NextProbe {
        NextProbe::End(Probe::Absent)
    }

    /// Nobody reads the order.
    fn translate(&self, _: &str, _: &[u8]) -> Result<Value, PrepareError> {
        Ok(Value::Null)
    }

    fn webhook(&self, _: &SystemName, request: &Request, _: Timestamp) -> Result<Vec<Message>, WebhookError> {
        let number =
            request.find_header(ORDER_HEADER).ok_or_else(|| WebhookError::Malformed(format!("no {ORDER_HEADER} header")))?;
        let order = OrderRef { channel: "bench".into(), site: "bench".into(), number: number.into() };
        Ok(vec![Message {
            id: Some(number.to_owned()),
            about: About::Order(order),
            kind: PLACED.into(),
            body: request.body.clone(),
        }])
    }

    fn authorize(&self, _: &mut Request, _: Option<&Token>) {}
}
