//! What the tests of all connectors share: an order, calls about it, configurations read from YAML.

use crossdock_canonical::{Operation, OrderRef, Timestamp};
use crossdock_connect::config::{ConfigFault, SystemConfig};
use crossdock_connect::http::{Request, Response};
use crossdock_connect::secret::Secrets;
use crossdock_connect::{Call, Connector};
use crossdock_value::{Value, value};
use std::sync::Arc;

pub(crate) const RICH_ORDER: &str = include_str!("salesforce_b2c/fixtures/order-rich.json");

/// A system's file as the landscape reads it, at an address of this machine.
pub(crate) fn config(yaml: &str) -> SystemConfig {
    let mut value: Value = serde_saphyr::from_str(yaml).expect("the test's YAML");
    value.insert("url", "http://127.0.0.1:1");
    if value.get("name").is_null() {
        value.insert("name", "system");
    }
    crossdock_value::from_value(&value).expect("a system's file")
}

pub(crate) fn build(yaml: &str) -> Result<Box<dyn Connector>, Vec<ConfigFault>> {
    crate::build(&config(yaml), &Secrets::placeholders())
}

pub(crate) fn built(yaml: &str) -> Box<dyn Connector> {
    build(yaml).unwrap_or_else(|faults| panic!("{}", faults.iter().map(|f| format!("{f}\n")).collect::<String>()))
}

pub(crate) const STOREFRONT: &str = "
connector: salesforce-b2c
roles: [storefront]
auth: {client_id: hub, client_secret: 'env:SECRET', token_url: /token}
settings: {channel: sfcc, organization: f_ecom_zzte_053, sites: [RefArch-DE, RefArch-US], page_size: 5, token_attribute: c_giftCardToken}
";

/// The canonical form of the rich order.
pub(crate) fn order() -> Value {
    built(STOREFRONT).translate("order.placed", RICH_ORDER.as_bytes()).expect("the rich order maps")
}

pub(crate) fn call(operation: Operation, args: Value) -> Call {
    let reference = OrderRef::parse("sfcc/RefArch-DE/00000410").expect("three parts");
    Call {
        system: "system".into(),
        operation,
        key: Arc::from("0123456789abcdef0123456789abcdef"),
        reference: Arc::from(format!("{reference}#x1")),
        order: reference,
        args,
        document: order(),
        identities: Value::Null,
        at: Timestamp::parse("2026-11-24T10:00:01Z").expect("an instant"),
    }
}

/// A call whose effect is the order itself.
pub(crate) fn whole_call(operation: Operation, args: Value) -> Call {
    let mut call = call(operation, args);
    call.reference = Arc::from(call.order.to_string());
    call
}

pub(crate) fn respond(status: u16, body: &Value) -> Response {
    Response::new(status, crossdock_value::to_json(body))
}

pub(crate) fn body_of(request: &Request) -> Value {
    crossdock_value::parse(&request.body, &Default::default()).unwrap_or_default()
}

/// Path segments, percent-decoded, and the query.
pub(crate) fn target_of(request: &Request) -> (Vec<String>, Vec<(String, String)>) {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let path = path.split('/').filter(|part| !part.is_empty()).map(decode).collect();
    let query =
        query.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decode(name), decode(value))).collect();
    (path, query)
}

pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).expect("UTF-8")
}

/// `{"amount","currency"}`.
pub(crate) fn money(amount: &str, currency: &str) -> Value {
    value!({"amount": amount, "currency": currency})
}
