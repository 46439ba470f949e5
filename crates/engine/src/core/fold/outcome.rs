//! What the end of a call means: the table of outcome classes, acted on. **What happens on a timeout is here.**
//!
//! - *done*, *refused*: the effect has ended; the flow hears it.
//! - *accepted*: its end is awaited until the acknowledgement deadline, then asked for.
//! - *retry*: known not applied; same bytes, same key, after a full-jitter pause.
//! - *unknown* (a timeout, a broken connection, a 500): never resent on a guess. After the settling time the system is asked by our
//!   reference; only *absent* raises the generation and sends again.
//! - *misconfigured*: the system's calls stop; this effect is as if it had not been tried.
//!
//! An effect that the flow no longer calls for (its order was cancelled meanwhile) is not sent anew: what may have been applied is
//! asked after like any other; what is known not to be, by *retry* or *absent*, is withdrawn, and the flow hears that.

use super::super::{
    Core, End, Ended,
    dispatch::AUDIT,
    health::Answered,
    lane::{Lane, Memory},
    plan,
    record::{AttemptRecord, Heard, Record},
};
use super::{Draft, system_name};
use crossdock_canonical::{Duration, Outcome, OutcomeClass, Timestamp};
use crossdock_connect::{Capability, Identity, Probe};
use crossdock_flows::Input as FlowInput;
use crossdock_store::{EffectRow, EffectState, IdentityRow, Payload, PayloadHash, ProcessKey};

/// The class of the exception of what a system has more than once.
const APPLIED_TWICE: &str = "applied_twice";

/// Whether it is on record that a system has an effect more than once.
pub(super) fn is_applied_twice(memory: &Memory, no: u32) -> bool {
    let name = plan::effect_exception(no);
    memory.exceptions.iter().any(|(n, row)| **n == *name && &*row.class == APPLIED_TWICE)
}

/// What `last` says of an effect that a probe found in part.
pub(super) const IN_PART: &str = "probe partial";

/// What an ended call adds to a record.
struct Attempt<'a> {
    outcome: &'a Outcome,
    probe: &'static str,
    ended: &'a Ended,
}

impl Core {
    pub(super) fn attempt_ended(
        &mut self,
        process: &ProcessKey,
        lane: &mut Lane,
        effect: &EffectRow,
        outcome: &Outcome,
        ended: &Ended,
        now: Timestamp,
    ) -> Option<Box<Draft>> {
        let attempt = Attempt { outcome, probe: "", ended };
        self.conclude(process, lane, effect, outcome, Some(&attempt), now)
    }

    /// An outcome that came otherwise than as the answer to a call: another process's reply, a system's notice.
    pub(super) fn notified(
        &mut self,
        process: &ProcessKey,
        lane: &mut Lane,
        effect: &EffectRow,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Option<Box<Draft>> {
        self.conclude(process, lane, effect, outcome, None, now)
    }

    fn conclude(
        &mut self,
        process: &ProcessKey,
        lane: &mut Lane,
        effect: &EffectRow,
        outcome: &Outcome,
        attempt: Option<&Attempt<'_>>,
        now: Timestamp,
    ) -> Option<Box<Draft>> {
        let memory = self.memory(lane);
        let mut row = effect.clone();
        row.last = if outcome.code.is_empty() {
            outcome.class.as_str().into()
        } else {
            format!("{} {}", outcome.class.as_str(), outcome.code).into()
        };
        row.attempts += u32::from(attempt.is_some());
        let action = format!("{} {} {}", effect.operation, effect.step, outcome.class.as_str());
        let mut draft = self.draft_of_end(process, memory, effect, action, now);
        let capability = self.capability(effect);
        match outcome.class {
            OutcomeClass::Done => row.state = EffectState::Done,
            OutcomeClass::Refused => row.state = EffectState::Refused,
            OutcomeClass::Reversed => row.state = EffectState::Reversed,
            OutcomeClass::Accepted => {
                row.state = EffectState::Accepted;
                // Asked at its deadline, and from then on ever more rarely; silence that cannot be asked after is flagged all the same.
                let late = now >= effect.deadline;
                let ask =
                    if late { now + Duration::seconds(1) + self.backoff(effect, row.attempts, None) } else { effect.deadline };
                row.due = capability.is_some_and(|c| c.probes).then_some(ask);
            }
            OutcomeClass::Retry => self.try_again(&mut row, outcome, &mut draft, now),
            OutcomeClass::Unknown => self.in_doubt(&mut row, capability, &mut draft, now),
            OutcomeClass::Misconfigured => {
                row.attempts = effect.attempts;
                row.due = Some(now + Duration::seconds(1));
            }
        }
        if !row.state.is_open() {
            row.due = None;
            draft.close_exception(memory, &plan::effect_exception(row.no));
            draft.transition.identities.extend(identities(effect, outcome));
        }
        if outcome.class == OutcomeClass::Retry && memory.called_off.contains(&row.no) {
            self.withdraw(process, memory, row, now, &mut draft);
            self.finish(effect, attempt, &mut draft);
            return Some(draft);
        }
        let ended = !row.state.is_open();
        draft.transition.effects.push(row);
        if ended {
            let input =
                FlowInput::Settled { step: effect.step.to_string(), intent: effect.intent.to_string(), outcome: outcome.clone() };
            self.hear(process, memory, &input, now, &mut draft);
        }
        self.finish(effect, attempt, &mut draft);
        Some(draft)
    }

    pub(super) fn probe_ended(
        &mut self,
        process: &ProcessKey,
        lane: &mut Lane,
        effect: &EffectRow,
        probe: &Probe,
        ended: &Ended,
        now: Timestamp,
    ) -> Option<Box<Draft>> {
        let absent = Outcome::new(OutcomeClass::Retry, "absent", "");
        let (found, outcome) = match probe {
            Probe::Complete(outcome) => ("complete", outcome),
            Probe::Several { outcome, .. } => ("several", outcome),
            Probe::MovedOn(outcome) => ("moved_on", outcome),
            Probe::Absent => ("absent", &absent),
            Probe::Partial(outcome) => ("partial", outcome),
            Probe::Unclear(outcome) => ("unclear", outcome),
        };
        let attempt = Attempt { outcome, probe: found, ended };
        match probe {
            Probe::Complete(_) | Probe::MovedOn(_) => return self.conclude(process, lane, effect, outcome, Some(&attempt), now),
            Probe::Several { copies, .. } => {
                let mut draft = self.conclude(process, lane, effect, outcome, Some(&attempt), now)?;
                self.applied_twice(process, lane, effect, copies, &mut draft, now);
                return Some(draft);
            }
            Probe::Absent | Probe::Partial(_) | Probe::Unclear(_) => {}
        }
        let memory = self.memory(lane);
        let mut row = effect.clone();
        let action = format!("probe {} {found}", effect.step);
        let mut draft = self.draft_of_end(process, memory, effect, action, now);
        row.last = format!("probe {found}").into();
        row.attempts += 1;
        match probe {
            // The only way besides *refused* to a new generation, and it is committed before anything is sent under it.
            Probe::Absent => {
                row.generation += 1;
                row.key = plan::effect_key(process, &effect.step, &effect.intent, row.generation);
                if memory.called_off.contains(&row.no) {
                    self.withdraw(process, memory, row, now, &mut draft);
                    self.finish(effect, Some(&attempt), &mut draft);
                    return Some(draft);
                }
                row.state = EffectState::Pending;
                // The new key may be part of the bytes: a system that keeps answers by key would repeat the old one for ever.
                self.prepare_again(process, memory, &mut row, now, &mut draft);
                if row.state == EffectState::Pending {
                    let code = effect.last.clone();
                    self.try_again(&mut row, &Outcome::retry(&*code, ""), &mut draft, now);
                }
            }
            // A resend completes it: same generation, the connector goes on from what is there.
            Probe::Partial(_) => {
                row.state = EffectState::Pending;
                row.due = Some(now);
            }
            Probe::Unclear(_) | Probe::Complete(_) | Probe::Several { .. } | Probe::MovedOn(_) => {
                row.state = EffectState::Unknown;
                if self.gives_up(effect, now) {
                    row.state = EffectState::Parked;
                    row.due = None;
                    let cause = format!("{} could not say whether {} was applied", effect.system, effect.step);
                    draft.park(&row, "unknown_unresolved", cause, "look in the system; then retry, or skip if it is there", now);
                    self.stats.parked += 1;
                } else {
                    row.due = Some(now + self.backoff(effect, row.attempts, outcome.retry_after_ms));
                }
            }
        }
        draft.transition.effects.push(row);
        self.finish(effect, Some(&attempt), &mut draft);
        Some(draft)
    }

    /// Ends an effect that is known not to be applied and that nobody calls for any more.
    pub(super) fn withdraw(&self, process: &ProcessKey, memory: &Memory, mut row: EffectRow, now: Timestamp, draft: &mut Draft) {
        row.state = EffectState::Skipped;
        row.due = None;
        row.last = EffectRow::WITHDRAWN.into();
        draft.close_exception(memory, &plan::effect_exception(row.no));
        let input = FlowInput::Withdrawn { step: row.step.to_string(), intent: row.intent.to_string() };
        draft.transition.effects.push(row);
        self.hear(process, memory, &input, now, draft);
    }

    /// Reconciliation asked about an effect that is done: whether the system still knows it.
    pub(super) fn audit_ended(
        &mut self,
        process: &ProcessKey,
        lane: &mut Lane,
        effect: &EffectRow,
        probe: &Probe,
        ended: &Ended,
        now: Timestamp,
    ) -> Option<Box<Draft>> {
        let vanished = Outcome::new(OutcomeClass::Reversed, "vanished", "the system no longer knows it");
        let outcome = match probe {
            Probe::Several { outcome, copies } => return self.found_twice(process, lane, effect, (outcome, copies), ended, now),
            Probe::Complete(outcome) if is_applied_twice(self.memory(lane), effect.no) => {
                return Some(self.found_once(process, lane, effect, outcome, ended, now));
            }
            // It was asked after for copies only: of an order that has ended the flow may not know any more what was asked for.
            _ if !effect.operation.leaves_a_record() => return None,
            _ if self.args_of(process, self.memory(lane), effect).is_none() => return None,
            Probe::Absent => &vanished,
            Probe::MovedOn(outcome) if outcome.class == OutcomeClass::Reversed => outcome,
            Probe::Complete(_) | Probe::MovedOn(_) | Probe::Partial(_) | Probe::Unclear(_) => return None,
        };
        let attempt = Attempt { outcome, probe: "audit", ended };
        self.conclude(process, lane, effect, outcome, Some(&attempt), now)
    }

    /// Reconciliation found a copy of what is done. It is told once, and each time the copies are taken back, if their system lets it.
    fn found_twice(
        &mut self,
        process: &ProcessKey,
        lane: &mut Lane,
        effect: &EffectRow,
        (outcome, copies): (&Outcome, &[String]),
        ended: &Ended,
        now: Timestamp,
    ) -> Option<Box<Draft>> {
        let memory = self.memory(lane);
        if is_applied_twice(memory, effect.no) {
            self.take_back(process, lane, effect, copies, now);
            return None;
        }
        let mut draft = self.draft_of_end(process, memory, effect, format!("audit {} several", effect.step), now);
        if draft.stands(memory, &plan::effect_exception(effect.no)) {
            return None;
        }
        self.applied_twice(process, lane, effect, copies, &mut draft, now);
        self.finish(effect, Some(&Attempt { outcome, probe: "several", ended }), &mut draft);
        Some(draft)
    }

    /// The flow goes on with one of them. The others are taken back when this is on disk, or left to a person.
    fn applied_twice(
        &mut self,
        process: &ProcessKey,
        lane: &mut Lane,
        effect: &EffectRow,
        copies: &[String],
        draft: &mut Draft,
        now: Timestamp,
    ) {
        self.stats.parked += 1;
        let cause = format!("{} has {} more than once under our reference", effect.system, effect.step);
        let suggestion = if self.take_back(process, lane, effect, copies, now) {
            "nothing yet: the hub is cancelling the copies and closes this when they are gone"
        } else {
            "cancel the copies in the system, then skip with a reason"
        };
        draft.park(effect, APPLIED_TWICE, cause, suggestion, now);
    }

    /// Has copies taken back when their effect gets a slot, once each time that reconciliation comes by.
    fn take_back(
        &mut self,
        process: &ProcessKey,
        lane: &mut Lane,
        effect: &EffectRow,
        copies: &[String],
        now: Timestamp,
    ) -> bool {
        let can = !copies.is_empty() && self.capability(effect).is_some_and(|c| c.retracts);
        // Without room in the window they wait for the next time.
        if can && lane.retracted.insert(effect.no) && self.dispatcher.offer(&effect.system, process, effect.no, AUDIT, now, now) {
            lane.copies.insert(effect.no, copies.into());
        }
        can
    }

    /// The system has taken copies back, or has not. It is asked whether they are gone as soon as that would show.
    pub(super) fn retract_ended(
        &mut self,
        process: &ProcessKey,
        lane: &mut Lane,
        effect: &EffectRow,
        outcome: &Outcome,
        ended: &Ended,
        now: Timestamp,
    ) -> Option<Box<Draft>> {
        let memory = self.memory(lane);
        let action = format!("retract copies of {} {}", effect.step, outcome.class.as_str());
        let mut draft = self.draft_of_end(process, memory, effect, action, now);
        if outcome.class == OutcomeClass::Refused && is_applied_twice(memory, effect.no) {
            let cause =
                format!("{} has {} more than once and does not cancel the copies: {}", effect.system, effect.step, outcome.code);
            draft.park(effect, APPLIED_TWICE, cause, "cancel the copies in the system, then skip with a reason", now);
        }
        self.finish(effect, Some(&Attempt { outcome, probe: "retract", ended }), &mut draft);
        if outcome.class == OutcomeClass::Done {
            let visible = now + self.capability(effect).map_or(Duration(0), |c| Duration(c.settling_ms));
            if self.dispatcher.offer(&effect.system, process, effect.no, AUDIT, visible, now) {
                lane.audits.insert(effect.no);
            }
        }
        Some(draft)
    }

    /// What was there more than once is there once: the copies are gone, whoever has cancelled them.
    fn found_once(
        &mut self,
        process: &ProcessKey,
        lane: &Lane,
        effect: &EffectRow,
        outcome: &Outcome,
        ended: &Ended,
        now: Timestamp,
    ) -> Box<Draft> {
        let memory = self.memory(lane);
        let mut draft = self.draft_of_end(process, memory, effect, format!("audit {} complete", effect.step), now);
        draft.close_exception(memory, &plan::effect_exception(effect.no));
        self.finish(effect, Some(&Attempt { outcome, probe: "audit", ended }), &mut draft);
        draft
    }

    /// A draft of what its system has said of an effect.
    fn draft_of_end(
        &mut self,
        process: &ProcessKey,
        memory: &Memory,
        effect: &EffectRow,
        action: String,
        now: Timestamp,
    ) -> Box<Draft> {
        self.draft(process, memory, &format!("system:{}", effect.system).into(), action, now)
    }

    fn try_again(&mut self, row: &mut EffectRow, outcome: &Outcome, draft: &mut Draft, now: Timestamp) {
        if self.gives_up(row, now) {
            row.state = EffectState::Parked;
            row.due = None;
            let cause = format!("{} was tried {} times; last: {}", row.step, row.attempts, outcome.code);
            draft.park(row, "retries_spent", cause, "look at the system, then retry", now);
            self.stats.parked += 1;
        } else {
            row.state = EffectState::Pending;
            row.due = Some(now + self.backoff(row, row.attempts, outcome.retry_after_ms));
        }
    }

    fn in_doubt(&mut self, row: &mut EffectRow, capability: Option<Capability>, draft: &mut Draft, now: Timestamp) {
        self.stats.unknown += 1;
        row.state = EffectState::Unknown;
        match capability {
            Some(c) if c.probes => row.due = Some(now + Duration(c.settling_ms)),
            Some(c) if c.identity == Identity::NativeKey && !self.gives_up(row, now) => {
                row.due = Some(now + self.backoff(row, row.attempts, None))
            }
            Some(_) | None => {
                row.state = EffectState::Parked;
                row.due = None;
                let cause = format!("it is not known whether {} applied {}, and it cannot be asked", row.system, row.step);
                draft.park(row, "unknown_unresolved", cause, "look in the system; then retry, or skip if it is there", now);
                self.stats.parked += 1;
            }
        }
    }

    /// Full jitter over an exponential ceiling; `Retry-After` is a floor.
    fn backoff(&mut self, row: &EffectRow, attempts: u32, retry_after_ms: Option<i64>) -> Duration {
        let retry = self.retry_of(row);
        let doubled = retry.first_delay.0.saturating_mul(1_i64 << attempts.min(20));
        let jitter = self.random.jitter(Duration(doubled.min(retry.longest_delay.0)));
        Duration(retry_after_ms.unwrap_or(0).saturating_add(jitter.0).max(1))
    }

    fn gives_up(&self, row: &EffectRow, now: Timestamp) -> bool {
        now - row.made_at >= self.retry_of(row).give_up_after
    }

    fn retry_of(&self, row: &EffectRow) -> crate::wiring::Retry {
        self.wiring.systems.get(&row.system).map_or_else(|| crate::wiring::Limits::default().retry, |s| s.limits.retry)
    }

    pub(super) fn capability(&self, effect: &EffectRow) -> Option<Capability> {
        self.wiring.systems.get(&effect.system)?.connector.capability(effect.operation)
    }

    /// Whether its system would take it twice, and shows that it has.
    pub(super) fn takes_copies(&self, effect: &EffectRow) -> bool {
        self.capability(effect).is_some_and(|c| c.probes && c.identity == Identity::LookupOnly)
    }

    /// Writes the record, with the answer archived.
    fn finish(&self, effect: &EffectRow, attempt: Option<&Attempt<'_>>, draft: &mut Draft) {
        let response =
            attempt.and_then(|a| a.ended.response.as_ref()).filter(|_| self.config.archive).filter(|bytes| !bytes.is_empty());
        let hash = response.map(|bytes| {
            let hash = PayloadHash::of(bytes);
            draft.transition.payloads.push(Payload { hash, bytes: bytes.clone(), message: None });
            hash.to_string()
        });
        let attempt = attempt.map(|a| AttemptRecord {
            no: effect.no,
            generation: effect.generation,
            attempt: effect.attempts + 1,
            class: a.outcome.class.as_str(),
            code: &a.outcome.code,
            probe: a.probe,
            ms: a.ended.took.0,
            response: hash,
            evidence: (!a.outcome.evidence.is_null()).then_some(&a.outcome.evidence),
        });
        let heard = Heard {
            kind: if attempt.is_some() { "attempt" } else { "settled" },
            name: &effect.step,
            from: system_name(&effect.system),
            payload: None,
            ..Heard::default()
        };
        draft.write_record(Record { heard, attempt, ..Record::default() });
    }

    /// What an ended call says of its system, whatever becomes of the effect.
    pub(super) fn note_health(&mut self, ended: &Ended, now: Timestamp) {
        let outcome = match &ended.end {
            // It was asked about the past, perhaps without what it takes to ask: says nothing of the system.
            End::Audit(Probe::Unclear(_)) | End::NotSent => {
                self.dispatcher.answered(&ended.system, Answered::Nothing, ended.took, "", now);
                return;
            }
            End::Attempt(outcome) | End::Retract(outcome) => outcome.clone(),
            End::Probe(probe) | End::Audit(probe) => match probe {
                Probe::Complete(outcome)
                | Probe::Several { outcome, .. }
                | Probe::MovedOn(outcome)
                | Probe::Partial(outcome)
                | Probe::Unclear(outcome) => outcome.clone(),
                Probe::Absent => Outcome::new(OutcomeClass::Done, "", ""),
            },
        };
        let answered = match (outcome.class, outcome.retry_after_ms) {
            (OutcomeClass::Retry, Some(ms)) => Answered::Throttled(Duration(ms)),
            (OutcomeClass::Retry | OutcomeClass::Unknown, _) => Answered::Ill,
            (OutcomeClass::Misconfigured, _) => Answered::Misconfigured,
            (OutcomeClass::Done | OutcomeClass::Accepted | OutcomeClass::Refused | OutcomeClass::Reversed, _) => Answered::Well,
        };
        self.dispatcher.answered(&ended.system, answered, ended.took, &outcome.code, now);
    }
}

fn identities<'a>(effect: &'a EffectRow, outcome: &'a Outcome) -> impl Iterator<Item = IdentityRow> + 'a {
    outcome.identities.iter().map(|identity| IdentityRow {
        system: effect.system.clone(),
        kind: identity.kind.as_str().into(),
        ours: identity.ours.as_str().into(),
        theirs: identity.theirs.as_str().into(),
    })
}
