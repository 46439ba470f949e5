//! The orders of the benchmark: their bodies, their numbers, and the request that places one.

use super::{Workload, opaque::ORDER_HEADER};
use crossdock_connect::http::{Method, Request};
use crossdock_simulators::{Generator, Mix};

/// A Salesforce order of the benchmark has so many bytes, 4.5 KB in the middle.
const SIZES: std::ops::Range<usize> = 4_100..4_900;
/// Different orders; they come again with other numbers.
const POOL: usize = 32;
const CHANNEL: &str = "sfcc";
const SITE: &str = "RefArch-DE";
/// Bytes of an opaque order.
const OPAQUE: usize = 512;

/// Makes the request that places order `n`.
pub struct Orders {
    workload: Workload,
    key: String,
    /// Bodies around the place where the number goes.
    bodies: Vec<(String, String)>,
}

/// An order's number as systems see it.
pub fn number(n: u64) -> String {
    format!("{n:010}")
}

impl Orders {
    /// `key`: the API key of the hub.
    pub fn new(workload: Workload, key: &str) -> Self {
        let bodies = match workload {
            Workload::Engine => vec![("x".repeat(OPAQUE), String::new())],
            Workload::Full => salesforce(),
        };
        Self { workload, key: format!("Bearer {key}"), bodies }
    }

    pub fn place(&self, n: u64) -> Request {
        let number = number(n);
        let (before, after) = &self.bodies[n as usize % self.bodies.len()];
        match self.workload {
            Workload::Engine => {
                Request::new(Method::Post, "/inbound/v1/shop").header(ORDER_HEADER, number).json(before.as_bytes())
            }
            Workload::Full => {
                let body = format!(
                    r#"{{"channel":"{CHANNEL}","site":"{SITE}","number":"{number}","source":"storefront","order":{before}{number}{after}}}"#
                );
                Request::new(Method::Post, "/experience/v1/orders")
                    .header("authorization", &*self.key)
                    .header("idempotency-key", number)
                    .json(body.into_bytes())
            }
        }
    }

    /// The order as its channel has it, for a run without a hub.
    pub fn body(&self, n: u64) -> Vec<u8> {
        let (before, after) = &self.bodies[n as usize % self.bodies.len()];
        format!("{before}{}{after}", number(n)).into_bytes()
    }

    pub fn reference(&self, n: u64) -> String {
        match self.workload {
            Workload::Engine => format!("bench/bench/{}", number(n)),
            Workload::Full => format!("{CHANNEL}/{SITE}/{}", number(n)),
        }
    }
}

fn salesforce() -> Vec<(String, String)> {
    let mix = Mix { sites: vec![SITE.into()], ..Mix::plain() };
    let mut generator = Generator::new(1, mix);
    let mut bodies = Vec::with_capacity(POOL);
    while bodies.len() < POOL {
        let (order, _) = generator.next(1_795_000_000_000);
        let text = order.json.render();
        let mark = format!(r#""orderNo":"{}""#, order.number);
        if let (true, Some(at)) = (SIZES.contains(&text.len()), text.find(&mark)) {
            let at = at + r#""orderNo":""#.len();
            bodies.push((text[..at].to_owned(), text[at + order.number.len()..].to_owned()));
        }
    }
    bodies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salesforce_orders_have_the_announced_size_and_take_a_number() {
        let orders = Orders::new(Workload::Full, "");
        for n in 0..POOL as u64 {
            let body = orders.body(n);
            assert!(SIZES.contains(&(body.len() - 2)), "{}", body.len());
            let json = crossdock_value::parse(&body, &crossdock_value::Limits::default()).expect("JSON");
            assert_eq!(json.get("orderNo").as_str(), Some(&*number(n)));
        }
    }
}
