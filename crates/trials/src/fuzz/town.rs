//! The simulated town, in whose storefront's pages some orders read otherwise than they are.

use crate::town::Town;
use crossdock_canonical::{SystemName, Timestamp};
use crossdock_connect::{
    TransportError, cut,
    http::{Request, Response},
};
use crossdock_engine::simulated::Network;
use std::collections::HashMap;

/// How often a page that a mutant breaks is shown; then the order reads as it is, as if the answer had been garbled on its way.
const BROKEN_PAGES: u32 = 2;

pub(super) struct Garbled {
    pub town: Town,
    /// What an order reads as, by its number.
    pub mutants: HashMap<String, Vec<u8>>,
    /// How often an order's mutant broke its page.
    pub broken: HashMap<String, u32>,
}

impl Garbled {
    /// The page with its mutants in place. One that would break the page is shown a few times and then given up.
    fn garble(&mut self, page: &[u8]) -> Option<Vec<u8>> {
        let orders = cut::elements(page, "data")?;
        let mut shown: Vec<&[u8]> = Vec::with_capacity(orders.len());
        for order in orders {
            let mutant = cut::text(order, "orderNo").and_then(|number| self.mutants.get(&*number).map(|bytes| (number, bytes)));
            let Some((number, bytes)) = mutant else {
                shown.push(order);
                continue;
            };
            if stands_alone(bytes) {
                shown.push(bytes);
                continue;
            }
            let times = self.broken.entry(number.to_string()).or_default();
            if *times < BROKEN_PAGES {
                *times += 1;
                shown.push(bytes);
                break;
            }
            shown.push(order);
        }
        Some(written(&shown))
    }
}

/// Whether a page with this order in it can still be cut into its orders, this one whole.
pub(super) fn stands_alone(order: &[u8]) -> bool {
    let page = written(&[order, b"{}"]);
    cut::elements(&page, "data").is_some_and(|cut| cut.len() == 2 && cut[0] == order)
}

fn written(orders: &[&[u8]]) -> Vec<u8> {
    [&b"{\"data\":["[..], &orders.join(&b","[..]), b"]}"].concat()
}

impl Network for Garbled {
    fn send(
        &mut self,
        system: &SystemName,
        request: &Request,
        now: Timestamp,
    ) -> (Result<Response, TransportError>, crossdock_canonical::Duration) {
        let (answer, took) = self.town.send(system, request, now);
        let is_list = system.as_str() == "storefront" && request.target.contains("/orders?");
        let answer = answer.map(|mut response| {
            if is_list
                && response.is_success()
                && let Some(page) = self.garble(&response.body)
            {
                response.body = page.into();
            }
            response
        });
        (answer, took)
    }

    fn webhooks(&mut self, now: Timestamp) -> Vec<(SystemName, Request)> {
        self.town.webhooks(now)
    }

    fn next_event(&self) -> Option<Timestamp> {
        self.town.next_event()
    }

    fn webhook_answered(&mut self, system: &SystemName, request: &Request, taken: bool, now: Timestamp) {
        self.town.webhook_answered(system, request, taken, now);
    }
}
