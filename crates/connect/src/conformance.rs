//! The suite that every connector passes, whatever it speaks: the promises that the engine builds on.
//!
//! A connector's tests bring a [`World`], a small stand-in for the product that keeps a ledger, and one [`Case`] for each operation.
//! The suite puts faults between the two at every request of an attempt, drives the connector as the engine would (probe after
//! *unknown*, resend after *absent*), and looks at the ledger. It shares no wire code with the simulators.

use crate::classify::TOKEN_EXPIRED;
use crate::http::{Request, Response};
use crate::{Call, Connector, Exchange, Identity, Next, NextProbe, PrepareError, Probe, Token, TransportError};
use crossdock_canonical::{Operation, Outcome, OutcomeClass};

/// Requests that one attempt or probe may take.
const EXCHANGES_MAX: usize = 40;
/// Attempts and probes until an effect must have settled.
const ROUNDS_MAX: usize = 8;

/// A stand-in for the product.
pub trait World {
    /// Handles a request and applies its effect.
    fn answer(&mut self, request: &Request) -> Response;
    /// How many effects of the kind under test the ledger holds.
    fn applied(&self) -> usize;
}

/// One operation of a connector.
pub struct Case<'c> {
    pub call: Call,
    /// A fresh world in which the call can be done.
    pub world: Box<dyn Fn() -> Box<dyn World> + 'c>,
    /// A fresh world in which a business rule refuses it, if there is such a rule.
    pub refusing: Option<Box<dyn Fn() -> Box<dyn World> + 'c>>,
    /// It changes nothing at the system: repeats are harmless and a read applies nothing.
    pub reads_only: bool,
    /// An attempt looks for what earlier ones left and goes on from there, so that *retry* is safe at any point of it.
    pub resumes: bool,
}

/// What happens to the n-th request of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Applied, and the answer is lost.
    DropAnswer,
    /// Lost on the way there, without the sender knowing.
    DropRequest,
    NotConnected,
    Status(u16),
}

struct Run<'r> {
    connector: &'r dyn Connector,
    world: Box<dyn World>,
    token: Option<Token>,
    /// Counts effect requests; token requests do not count.
    sent: usize,
    fault_at: usize,
    fault: Fault,
}

impl<'r> Run<'r> {
    fn new(connector: &'r dyn Connector, world: Box<dyn World>, fault_at: usize, fault: Fault) -> Self {
        Self { connector, world, token: None, sent: 0, fault_at, fault }
    }

    fn exchange(&mut self, mut request: Request) -> Exchange {
        if request.authorize
            && self.token.is_none()
            && let Some(asked) = self.connector.token_request()
        {
            let answer = self.world.answer(&asked);
            self.token = Some(self.connector.token(&answer).expect("the world gives a token"));
        }
        let plain = request.clone();
        if request.authorize {
            self.connector.authorize(&mut request, self.token.as_ref());
        }
        let fault = if self.sent == self.fault_at { self.fault } else { Fault::None };
        self.sent += 1;
        let answer = match fault {
            Fault::None => Ok(self.world.answer(&request)),
            Fault::DropAnswer => {
                self.world.answer(&request);
                Err(TransportError::Timeout(1_000))
            }
            Fault::DropRequest => Err(TransportError::Broken("reset".into())),
            Fault::NotConnected => Err(TransportError::NotConnected("refused".into())),
            Fault::Status(status) => {
                let mut response = Response::new(status, *b"<html>gateway</html>");
                response.headers.push(("retry-after".into(), "7".into()));
                Ok(response)
            }
        };
        Exchange { request: plain, answer }
    }

    fn attempt(&mut self, call: &Call, prepared: &[u8]) -> Outcome {
        let mut exchanges = Vec::new();
        loop {
            match self.connector.next(call, prepared, &exchanges) {
                Next::End(outcome) => {
                    if outcome.class == OutcomeClass::Retry && outcome.code == TOKEN_EXPIRED {
                        self.token = None;
                    }
                    return outcome;
                }
                Next::Send(request) => exchanges.push(self.exchange(request)),
            }
            assert!(exchanges.len() <= EXCHANGES_MAX, "an attempt of {} does not end", call.operation);
        }
    }

    fn probe(&mut self, call: &Call, prepared: &[u8]) -> Probe {
        let mut exchanges = Vec::new();
        loop {
            match self.connector.probe(call, prepared, &exchanges) {
                NextProbe::End(probe) => return probe,
                NextProbe::Send(request) => exchanges.push(self.exchange(request)),
            }
            assert!(exchanges.len() <= EXCHANGES_MAX, "a probe of {} does not end", call.operation);
        }
    }

    /// Does what the engine does until the effect has settled.
    fn settle(&mut self, call: &Call, prepared: &[u8]) -> Outcome {
        for _ in 0..ROUNDS_MAX {
            let outcome = self.attempt(call, prepared);
            match outcome.class {
                OutcomeClass::Retry => continue,
                OutcomeClass::Unknown | OutcomeClass::Accepted => match self.probe(call, prepared) {
                    Probe::Absent | Probe::Partial(_) | Probe::Unclear(_) => continue,
                    Probe::Complete(outcome) | Probe::Several { outcome, .. } | Probe::MovedOn(outcome) => return outcome,
                },
                OutcomeClass::Done | OutcomeClass::Refused | OutcomeClass::Misconfigured | OutcomeClass::Reversed => {
                    return outcome;
                }
            }
        }
        panic!("{} does not settle", call.operation);
    }
}

/// Checks every promise of one case. Panics with the promise that is broken.
pub fn check(connector: &dyn Connector, case: &Case<'_>) {
    let call = &case.call;
    let name = call.operation;
    let capability = connector.capability(name).unwrap_or_else(|| panic!("{name} is tested but not declared"));
    assert!(capability.timeout_ms > 0, "{name}: an attempt must end");
    let prepared = connector.prepare(call).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(Some(&prepared), connector.prepare(call).ok().as_ref(), "{name}: the same call gives the same bytes");
    let run = |at, fault| Run::new(connector, (case.world)(), at, fault);

    // It works, and says how many requests it takes.
    let mut plain = run(usize::MAX, Fault::None);
    let outcome = plain.settle(call, &prepared.bytes);
    assert_eq!(outcome.class, OutcomeClass::Done, "{name}: {outcome:?}");
    let effects = usize::from(!case.reads_only);
    assert_eq!(plain.world.applied(), effects, "{name}: applied once");
    let requests = plain.sent;

    // The same bytes again: the system tells us, or the probe does.
    if !case.reads_only {
        match capability.identity {
            Identity::NativeKey | Identity::UniqueReference => {
                let again = plain.attempt(call, &prepared.bytes);
                assert_eq!(plain.world.applied(), 1, "{name}: a repeat has one effect, the answer was {again:?}");
                assert_ne!(again.class, OutcomeClass::Misconfigured, "{name}: a repeat stops nothing");
            }
            Identity::LookupOnly | Identity::None => {}
        }
        if capability.probes {
            let found = plain.probe(call, &prepared.bytes);
            assert!(matches!(found, Probe::Complete(_)), "{name}: what was done is found, but the probe says {found:?}");
            let mut fresh = run(usize::MAX, Fault::None);
            let found = fresh.probe(call, &prepared.bytes);
            assert!(matches!(found, Probe::Absent), "{name}: what was never sent is absent, but the probe says {found:?}");
        }
    }

    for at in 0..requests {
        // Whatever is lost, and wherever: one effect in the end.
        for fault in [Fault::DropAnswer, Fault::DropRequest, Fault::Status(500), Fault::Status(502), Fault::Status(504)] {
            let mut run = run(at, fault);
            let first = run.attempt(call, &prepared.bytes);
            assert!(
                matches!(first.class, OutcomeClass::Unknown | OutcomeClass::Retry),
                "{name}: {fault:?} at request {at} is unclear, not {first:?}"
            );
            if run.world.applied() > 0 && !case.reads_only && !case.resumes {
                assert_eq!(first.class, OutcomeClass::Unknown, "{name}: {fault:?} at request {at} was applied");
            }
            if capability.probes || case.reads_only {
                let outcome = recover(&mut run, call, &prepared.bytes, first);
                assert_eq!(outcome.class, OutcomeClass::Done, "{name}: {fault:?} at request {at} ends as {outcome:?}");
                assert_eq!(run.world.applied(), effects, "{name}: {fault:?} at request {at}, applied once");
            }
        }
        // What was surely not applied is retried when the system says.
        for (fault, wait) in [(Fault::Status(429), Some(7_000)), (Fault::Status(503), Some(7_000)), (Fault::NotConnected, None)] {
            let mut run = run(at, fault);
            let first = run.attempt(call, &prepared.bytes);
            assert_eq!(first.class, OutcomeClass::Retry, "{name}: {fault:?} at request {at}: {first:?}");
            assert_eq!(first.retry_after_ms, wait, "{name}: {fault:?} at request {at}");
            let outcome = run.settle(call, &prepared.bytes);
            assert_eq!((outcome.class, run.world.applied()), (OutcomeClass::Done, effects), "{name}: {fault:?} at request {at}");
        }
        // A token that runs out is renewed; wrong fixed credentials stop the system.
        let mut run = run(at, Fault::Status(401));
        let first = run.attempt(call, &prepared.bytes);
        if connector.token_request().is_some() {
            assert_eq!((first.class, first.code.as_str()), (OutcomeClass::Retry, TOKEN_EXPIRED), "{name}: 401 at request {at}");
            let outcome = run.settle(call, &prepared.bytes);
            assert_eq!((outcome.class, run.world.applied()), (OutcomeClass::Done, effects), "{name}: after the renewal");
        } else {
            assert_eq!(first.class, OutcomeClass::Misconfigured, "{name}: 401 at request {at}");
        }
    }

    if let Some(refusing) = &case.refusing {
        let mut run = Run::new(connector, refusing(), usize::MAX, Fault::None);
        let before = run.world.applied();
        let outcome = run.attempt(call, &prepared.bytes);
        assert_eq!(outcome.class, OutcomeClass::Refused, "{name}: a refusal is refused, not {outcome:?}");
        assert!(!outcome.code.is_empty(), "{name}: a refusal has a code");
        assert_eq!(run.world.applied(), before, "{name}: what is refused is not applied");
    }
}

fn recover(run: &mut Run<'_>, call: &Call, prepared: &[u8], first: Outcome) -> Outcome {
    if first.class == OutcomeClass::Unknown {
        match run.probe(call, prepared) {
            Probe::Complete(outcome) | Probe::Several { outcome, .. } | Probe::MovedOn(outcome) => return outcome,
            Probe::Absent | Probe::Partial(_) | Probe::Unclear(_) => {}
        }
    }
    run.settle(call, prepared)
}

/// Everything that is not offered says so, before anything is sent.
pub fn check_unsupported(connector: &dyn Connector, call: &Call) {
    for operation in Operation::ALL.iter().filter(|operation| connector.capability(**operation).is_none()) {
        let call = Call { operation: *operation, ..call.clone() };
        let refused = connector.prepare(&call);
        assert!(matches!(refused, Err(PrepareError::Unsupported { .. })), "{operation}: {refused:?}");
    }
}
