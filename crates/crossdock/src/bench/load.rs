//! The shoppers: so many at once, each placing its next order when the last one was answered.

use super::{orders::Orders, watch::Watch};
use crossdock_canonical::Duration;
use crossdock_connect::http::{Method, Request};
use crossdock_engine::shell::client::Client;
use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

const TIMEOUT: Duration = Duration::minutes(2);

pub struct Load {
    client: Client,
    /// The nodes, to which shoppers go by turns.
    hubs: Vec<String>,
    stub: String,
    /// As each node wants them: its key is its own.
    orders: Vec<Orders>,
}

/// Latencies in microseconds, sorted.
pub struct Latencies(Vec<u64>);

impl Latencies {
    /// In milliseconds.
    pub fn percentile(&self, percent: usize) -> f64 {
        let at = self.0.len().saturating_sub(1) * percent / 100;
        self.0.get(at).map_or(0.0, |micros| *micros as f64 / 1_000.0)
    }
}

impl Load {
    pub fn new(hubs: Vec<String>, stub: &str, orders: Vec<Orders>) -> Arc<Self> {
        Arc::new(Self { client: Client::new(1 << 20), hubs, stub: stub.into(), orders })
    }

    /// Places orders; the latencies of their acceptance.
    pub async fn place(self: &Arc<Self>, numbers: Range<u64>, clients: usize) -> Result<Latencies, String> {
        self.each(numbers, clients, false).await
    }

    /// Places orders, each after the last one had its sixth effect; the latencies of that.
    pub async fn carry(self: &Arc<Self>, numbers: Range<u64>, clients: usize) -> Result<Latencies, String> {
        self.each(numbers, clients, true).await
    }

    async fn each(self: &Arc<Self>, numbers: Range<u64>, clients: usize, through: bool) -> Result<Latencies, String> {
        let next = Arc::new(AtomicU64::new(numbers.start));
        let tasks: Vec<_> =
            (0..clients).map(|_| tokio::spawn(self.clone().shopper(next.clone(), numbers.end, through))).collect();
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await.map_err(|e| e.to_string())??);
        }
        latencies.sort_unstable();
        Ok(Latencies(latencies))
    }

    async fn shopper(self: Arc<Self>, next: Arc<AtomicU64>, end: u64, through: bool) -> Result<Vec<u64>, String> {
        let mut latencies = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= end {
                return Ok(latencies);
            }
            let node = n as usize % self.hubs.len();
            let request = self.orders[node].place(n);
            let watch = Watch::start();
            let answer = self.client.raw(&self.hubs[node], request, TIMEOUT).await.map_err(|e| format!("order {n}: {e}"))?;
            if !answer.is_success() {
                return Err(format!("order {n} was answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body)));
            }
            if through {
                let wait = Request::new(Method::Get, format!("/done/{n}"));
                self.client
                    .raw(&self.stub, wait, TIMEOUT)
                    .await
                    .map_err(|e| format!("order {n} never had its last effect: {e}"))?;
            }
            latencies.push(watch.micros());
        }
    }
}
