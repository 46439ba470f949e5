//! What all simulators share: a system's own rules behind one fault gate, one ledger and one outbox.
//!
//! A vendor folder implements [`Service`]: it knows its wire format and its rules and nothing of faults. [`Simulator`] wraps
//! it. There is no clock, no socket and no global state here; the caller says what time it is.

use std::collections::BTreeMap;

use crate::faults::{Faults, Injector, Verdict};
use crate::http::{Call, Outgoing, Reply, Request, Response};
use crate::ledger::Ledger;
use crate::outbox::{Outbox, Signature};
use crate::rng::Rng;

/// What a call is, before it is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    pub name: &'static str,
    /// Whether it may change something, so that faults "after it was applied" make sense.
    pub changes: bool,
}

impl Operation {
    pub const fn read(name: &'static str) -> Self {
        Operation { name, changes: false }
    }

    pub const fn write(name: &'static str) -> Self {
        Operation { name, changes: true }
    }
}

/// A fault that must be told in the vendor's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injected {
    Internal,
    /// Applied, but the answer says it failed.
    AppliedThenFailed,
    Unavailable,
    Throttled,
    Unauthorized,
}

/// What a service works with while it carries out one call.
pub struct Context<'a> {
    pub now: i64,
    pub rng: &'a mut Rng,
    pub ledger: &'a mut Ledger,
    pub outbox: &'a mut Outbox,
    pub faults: &'a mut Injector,
    /// Apply only some of the lines and say so, where the wire format can.
    pub partial: bool,
    /// How long this call's answer will take: the call counts as in progress until then.
    pub delay_ms: u64,
}

impl Context<'_> {
    /// Queues a notification `after_ms` from now.
    pub fn notify(&mut self, after_ms: u64, event: String, body: String) {
        self.outbox.push(self.now.saturating_add_unsigned(after_ms), event, body, self.faults);
    }
}

/// One system's wire format and rules.
pub trait Service: Send {
    fn operation(&self, call: &Call) -> Operation;

    /// Carries out a call.
    fn apply(&mut self, call: &Call, context: &mut Context) -> Response;

    /// The vendor's form of an injected fault. A vendor that remembers failed answers does so here.
    fn injected(&mut self, call: &Call, fault: Injected, retry_after_s: u64, now: i64) -> Response;

    /// The vendor's "taken, the outcome follows", if it has one for this call.
    fn accepted(&self, _call: &Call) -> Option<Response> {
        None
    }

    /// Whether the vendor can apply part of this call.
    fn can_be_partial(&self, _call: &Call) -> bool {
        false
    }

    /// Work the system does by itself by `context.now`.
    fn tick(&mut self, _context: &mut Context) {}

    /// When it next has such work.
    fn next_tick(&self) -> Option<i64> {
        None
    }
}

/// The face every simulator shows, whatever it simulates.
pub trait Station: Send {
    fn system(&self) -> &'static str;
    /// Carries out one call, faults included.
    fn handle(&mut self, request: &Request, now: i64) -> Reply;
    /// Does what the system does by itself and takes the notifications due by `now`.
    fn due(&mut self, now: i64) -> Vec<Outgoing>;
    /// When [`Station::due`] next has something to do.
    fn next_due(&self) -> Option<i64>;
    /// Gives back a notification that was not answered with a 2xx.
    fn undelivered(&mut self, outgoing: Outgoing, now: i64);
    fn ledger(&self) -> &Ledger;
    fn faults(&self) -> &Faults;
    fn set_faults(&mut self, faults: Faults, now: i64);
    fn fault_counts(&self) -> &BTreeMap<&'static str, u64>;
    /// When the last planned outage is over; liveness counts from here.
    fn outages_end(&self) -> i64;
}

pub struct Simulator<S> {
    pub service: S,
    ledger: Ledger,
    outbox: Outbox,
    injector: Injector,
    rng: Rng,
    /// Calls that were taken and are applied later, by due time.
    later: BTreeMap<(i64, u64), Request>,
    later_sequence: u64,
}

impl<S: Service> Simulator<S> {
    pub fn new(system: &'static str, seed: u64, signature: Signature, service: S) -> Self {
        Simulator {
            service,
            ledger: Ledger::new(system),
            outbox: Outbox::new(system, signature),
            injector: Injector::new(seed, system),
            rng: Rng::named(seed, system),
            later: BTreeMap::new(),
            later_sequence: 0,
        }
    }

    /// Lets the service act outside a call: to seed its state, or as its own people would.
    pub fn act<R>(&mut self, now: i64, act: impl FnOnce(&mut S, &mut Context) -> R) -> R {
        let mut context = Context {
            now,
            rng: &mut self.rng,
            ledger: &mut self.ledger,
            outbox: &mut self.outbox,
            faults: &mut self.injector,
            partial: false,
            delay_ms: 0,
        };
        act(&mut self.service, &mut context)
    }

    fn apply(&mut self, call: &Call, now: i64, partial: bool, delay_ms: u64) -> Response {
        self.act(now, |service, context| {
            context.partial = partial;
            context.delay_ms = delay_ms;
            service.apply(call, context)
        })
    }

    /// Catches up with `now`: applies what was accepted earlier and does the service's own work, each step at its own time and
    /// in order, however late the caller looks.
    fn advance(&mut self, now: i64) {
        loop {
            let later = self.later.first_key_value().map_or(i64::MAX, |((at, _), _)| *at);
            let tick = self.service.next_tick().unwrap_or(i64::MAX);
            let at = later.min(tick);
            if at > now || at == i64::MAX {
                return;
            }
            if later <= tick {
                let (_, request) = self.later.pop_first().expect("its due time was just read");
                self.apply(&Call::new(&request), at, false, 0);
            } else {
                self.act(at, |service, context| service.tick(context));
            }
        }
    }

    fn injected(&mut self, call: &Call, fault: Injected, operation: &str, now: i64) -> Option<Response> {
        let retry_after_s = self.injector.retry_after_s(operation);
        Some(self.service.injected(call, fault, retry_after_s, now))
    }
}

impl<S: Service> Station for Simulator<S> {
    fn system(&self) -> &'static str {
        self.ledger.system()
    }

    fn handle(&mut self, request: &Request, now: i64) -> Reply {
        self.advance(now);
        let call = Call::new(request);
        let operation = self.service.operation(&call);
        let verdict = self.injector.verdict(operation.name, operation.changes, now);
        let delay_ms = self.injector.delay_ms(operation.name);
        let response = match verdict {
            Verdict::Normal => Some(self.apply(&call, now, false, delay_ms)),
            Verdict::DropAnswer => {
                self.apply(&call, now, false, delay_ms);
                None
            }
            Verdict::FailAnswer => {
                let answer = self.apply(&call, now, false, delay_ms);
                // A refusal is not an effect; only a success can be hidden behind an error.
                if answer.is_success() {
                    self.injected(&call, Injected::AppliedThenFailed, operation.name, now)
                } else {
                    Some(answer)
                }
            }
            Verdict::Later => match self.service.accepted(&call) {
                Some(accepted) => {
                    self.injector.count("accepted_then_applied_later");
                    let at = now.saturating_add_unsigned(self.injector.apply_later_ms(operation.name));
                    self.later_sequence += 1;
                    self.later.insert((at, self.later_sequence), request.clone());
                    Some(accepted)
                }
                None => Some(self.apply(&call, now, false, delay_ms)),
            },
            Verdict::Partial => {
                let partial = self.service.can_be_partial(&call);
                if partial {
                    self.injector.count("partial_success");
                }
                Some(self.apply(&call, now, partial, delay_ms))
            }
            Verdict::Error => self.injected(&call, Injected::Internal, operation.name, now),
            Verdict::Unauthorized => self.injected(&call, Injected::Unauthorized, operation.name, now),
            Verdict::Throttled => self.injected(&call, Injected::Throttled, operation.name, now),
            Verdict::Unavailable => self.injected(&call, Injected::Unavailable, operation.name, now),
            Verdict::Dropped => None,
        };
        Reply { response, delay_ms }
    }

    fn due(&mut self, now: i64) -> Vec<Outgoing> {
        self.advance(now);
        let mut out = Vec::new();
        self.outbox.due(now, &mut out);
        out
    }

    fn next_due(&self) -> Option<i64> {
        let later = self.later.first_key_value().map(|((at, _), _)| *at);
        [self.outbox.next_due(), self.service.next_tick(), later].into_iter().flatten().min()
    }

    fn undelivered(&mut self, outgoing: Outgoing, now: i64) {
        self.outbox.retry(outgoing, now);
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn faults(&self) -> &Faults {
        self.injector.faults()
    }

    fn set_faults(&mut self, faults: Faults, now: i64) {
        let system = self.system();
        self.injector.set(faults, system, now);
    }

    fn fault_counts(&self) -> &BTreeMap<&'static str, u64> {
        self.injector.counts()
    }

    fn outages_end(&self) -> i64 {
        self.injector.outages_end()
    }
}
