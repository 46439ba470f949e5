//! Drives one attempt or probe: asks the connector what to send until it says how it ended.

use super::{Running, client::Client, clock::Stopwatch};
use crate::core::{End, Ended};
use crate::core::{Job, JobKind};
use crossdock_canonical::{Duration, Outcome};
use crossdock_connect::{Exchange, Next, NextProbe, Probe, TransportError, http::Request};

/// Requests one attempt may need. An ERP driven by buttons needs a dozen; more is a loop.
const EXCHANGES_MAX: usize = 64;

pub(super) async fn attempt(hub: &Running, client: &Client, job: Job) -> Ended {
    let watch = Stopwatch::start();
    let mut exchanges: Vec<Exchange> = Vec::new();
    let end = match hub.wiring.systems.get(&job.call.system) {
        None => End::Attempt(Outcome::misconfigured("no_system", format!("no system is called {}", job.call.system))),
        Some(system) => {
            let timeout =
                system.connector.capability(job.call.operation).map_or(Duration::seconds(30), |c| Duration(c.timeout_ms));
            loop {
                if exchanges.len() >= EXCHANGES_MAX {
                    break too_many(job.kind);
                }
                let request = match job.kind {
                    JobKind::Attempt => match system.connector.next(&job.call, &job.prepared, &exchanges) {
                        Next::Send(request) => request,
                        Next::End(outcome) => break End::Attempt(outcome),
                    },
                    JobKind::Probe | JobKind::Audit => match system.connector.probe(&job.call, &job.prepared, &exchanges) {
                        NextProbe::Send(request) => request,
                        NextProbe::End(probe) if job.kind == JobKind::Audit => break End::Audit(probe),
                        NextProbe::End(probe) => break End::Probe(probe),
                    },
                };
                let answer = client.send(system, &request, timeout).await;
                exchanges.push(Exchange { request, answer });
            }
        }
    };
    let response = exchanges.last().and_then(|e| e.answer.as_ref().ok()).map(|r| r.body.clone());
    Ended {
        process: job.process,
        system: job.call.system,
        no: job.no,
        generation: job.generation,
        end,
        response,
        took: watch.elapsed(),
    }
}

fn too_many(kind: JobKind) -> End {
    let outcome = Outcome::unknown("too_many_exchanges", format!("no end after {EXCHANGES_MAX} requests"));
    match kind {
        JobKind::Attempt => End::Attempt(outcome),
        JobKind::Probe => End::Probe(Probe::Unclear(outcome)),
        JobKind::Audit => End::Audit(Probe::Unclear(outcome)),
    }
}

/// Sends one request of a poll.
pub(super) async fn exchange(client: &Client, system: &crate::System, request: Request, timeout: Duration) -> Exchange {
    let answer: Result<_, TransportError> = client.send(system, &request, timeout).await;
    Exchange { request, answer }
}
