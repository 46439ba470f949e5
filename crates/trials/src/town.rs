//! The simulated systems as the network outside a simulated hub, with what may go wrong on the way to and from them.

use crossdock_canonical::{Duration, SystemName, Timestamp};
use crossdock_connect::{
    TransportError,
    http::{Method, Request, Response},
};
use crossdock_engine::simulated::Network;
use crossdock_simulators::{Outgoing, World, http, rng::Rng};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// What goes wrong between the hub and the systems; what goes wrong inside them is the systems' own business.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    /// The request never leaves.
    pub not_connected: f64,
    /// The request is lost on the way.
    pub request_lost: f64,
    /// The hub took a notification, but its 2xx is lost.
    pub receipt_lost: f64,
}

pub struct Town {
    pub world: World,
    pub line: Line,
    /// What the line did, by class.
    pub counts: BTreeMap<&'static str, u64>,
    rng: Rng,
    delivering: VecDeque<Outgoing>,
}

impl Town {
    pub fn new(world: World, seed: u64) -> Self {
        Self { world, line: Line::default(), counts: BTreeMap::new(), rng: Rng::named(seed, "line"), delivering: VecDeque::new() }
    }

    fn happens(&mut self, class: &'static str, rate: f64) -> bool {
        let happens = self.rng.chance(rate);
        if happens {
            *self.counts.entry(class).or_default() += 1;
        }
        happens
    }
}

impl Network for Town {
    fn send(&mut self, system: &SystemName, request: &Request, now: Timestamp) -> (Result<Response, TransportError>, Duration) {
        let way = i64::try_from(self.rng.between(1..=12)).unwrap_or(1);
        let Line { not_connected, request_lost, .. } = self.line;
        if self.happens("line_not_connected", not_connected) {
            return (Err(TransportError::NotConnected("simulated".into())), Duration(way));
        }
        if self.happens("line_request_lost", request_lost) {
            return (Err(TransportError::Broken("simulated".into())), Duration(way));
        }
        let arrives = http::Request {
            method: request.method.as_str().into(),
            path_and_query: request.target.clone(),
            headers: request.headers.clone(),
            body: request.body.to_vec(),
        };
        let Some(reply) = self.world.handle(system.as_str(), &arrives, now.0) else {
            return (Err(TransportError::NotConnected(format!("nobody simulates {system}"))), Duration(way));
        };
        let took = Duration(way.saturating_add_unsigned(reply.delay_ms));
        match reply.response {
            Some(response) => {
                let mut answer = Response::new(response.status, response.body);
                answer.headers = response.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
                (Ok(answer), took)
            }
            None => (Err(TransportError::Broken("simulated".into())), took),
        }
    }

    fn webhooks(&mut self, now: Timestamp) -> Vec<(SystemName, Request)> {
        self.delivering = self.world.due(now.0).into();
        let request = |outgoing: &Outgoing| {
            let mut request = Request::new(Method::Post, outgoing.path.clone());
            request.headers = outgoing.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
            request.body = Arc::from(outgoing.body.as_slice());
            (SystemName::new(outgoing.system), request)
        };
        self.delivering.iter().map(request).collect()
    }

    fn next_event(&self) -> Option<Timestamp> {
        self.world.next_due().map(Timestamp)
    }

    fn webhook_answered(&mut self, _: &SystemName, _: &Request, taken: bool, now: Timestamp) {
        let Some(outgoing) = self.delivering.pop_front() else { return };
        let lost = self.line.receipt_lost;
        if !taken || self.happens("line_receipt_lost", lost) {
            self.world.undelivered(outgoing, now.0);
        }
    }
}
