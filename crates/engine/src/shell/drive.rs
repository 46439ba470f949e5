//! Drives one attempt or probe: asks the connector what to send until it says how it ended.

use super::{Running, client::Client, clock::Stopwatch, standing::Leave};
use crate::core::{End, Ended};
use crate::core::{Job, JobKind};
use crossdock_canonical::{Duration, Outcome};
use crossdock_connect::{Exchange, Identity, Next, NextProbe, Probe, TransportError, http::Request};

/// Requests one attempt may need. An ERP driven by buttons needs a dozen; more is a loop.
const EXCHANGES_MAX: usize = 64;

pub(super) async fn attempt(hub: &Running, client: &Client, job: Box<Job>) -> Ended {
    let watch = Stopwatch::start();
    let mut exchanges: Vec<Exchange> = Vec::new();
    let end = match hub.wiring.systems.get(&job.call.system) {
        None => End::Attempt(Outcome::misconfigured("no_system", format!("no system is called {}", job.call.system))),
        Some(system) => {
            let capability = system.connector.capability(job.call.operation);
            let timeout = capability.map_or(Duration::seconds(30), |c| Duration(c.timeout_ms));
            // Nobody begins a call while another node may have the partition; what a system would take twice does not go on with one
            // either (design section 3.4).
            let takes_twice =
                capability.is_none_or(|capability| matches!(capability.identity, Identity::LookupOnly | Identity::None));
            let leave = match job.kind {
                JobKind::Attempt | JobKind::Retract(_) => Leave::while_sure(&hub.standing, job.process.partition()),
                JobKind::Probe | JobKind::Audit => Leave::GRANTED,
            };
            loop {
                if exchanges.len() >= EXCHANGES_MAX {
                    break too_many(&job.kind);
                }
                let request = match &job.kind {
                    JobKind::Attempt => match system.connector.next(&job.call, &job.prepared, &exchanges) {
                        Next::Send(request) => request,
                        Next::End(outcome) => break End::Attempt(outcome),
                    },
                    JobKind::Probe | JobKind::Audit => match system.connector.probe(&job.call, &job.prepared, &exchanges) {
                        NextProbe::Send(request) => request,
                        NextProbe::End(probe) if job.kind == JobKind::Audit => break End::Audit(probe),
                        NextProbe::End(probe) => break End::Probe(probe),
                    },
                    JobKind::Retract(copies) => match system.connector.retract(&job.call, copies, &exchanges) {
                        Next::Send(request) => request,
                        Next::End(outcome) => break End::Retract(outcome),
                    },
                };
                let leave = if exchanges.is_empty() || takes_twice { &leave } else { &Leave::GRANTED };
                let answer = client.send_by_leave(system, &request, timeout, leave).await;
                if matches!(answer, Err(TransportError::NotConnected(_))) && exchanges.is_empty() && !leave.is_granted() {
                    break End::NotSent;
                }
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
        epoch: job.epoch,
        end,
        response,
        took: watch.elapsed(),
    }
}

fn too_many(kind: &JobKind) -> End {
    let outcome = Outcome::unknown("too_many_exchanges", format!("no end after {EXCHANGES_MAX} requests"));
    match kind {
        JobKind::Attempt => End::Attempt(outcome),
        JobKind::Probe => End::Probe(Probe::Unclear(outcome)),
        JobKind::Audit => End::Audit(Probe::Unclear(outcome)),
        JobKind::Retract(_) => End::Retract(outcome),
    }
}

/// Sends one request of a poll.
pub(super) async fn exchange(client: &Client, system: &crate::System, request: Request, timeout: Duration) -> Exchange {
    let answer: Result<_, TransportError> = client.send(system, &request, timeout).await;
    Exchange { request, answer }
}
