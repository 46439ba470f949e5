//! The difference between what a flow calls for and what exists: new effects, moved timers, opened and closed exceptions, replies.

use super::{
    Core, HUB, dispatch,
    fold::Draft,
    lane::Memory,
    record::{Birth, HubMessage},
};
use crate::{Driver, driver::State};
use crossdock_canonical::{Duration, Operation, OrderRef, Outcome, SystemName, Timestamp};
use crossdock_connect::{Call, PrepareError};
use crossdock_flows::{Effect, Plan, Target};
use crossdock_store::{Addressee, EffectRow, EffectState, ExceptionRow, Intake, Payload, PayloadHash, ProcessKey};
use crossdock_value::Value;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The step name under which a process's replies are kept, so that each is sent once.
pub(super) const REPLY: &str = "reply";

/// The exception that belongs to an effect.
pub(super) fn effect_exception(no: u32) -> String {
    format!("effect/{no}")
}

/// Whether an effect is on its way to a system, or its end awaited from one.
pub(super) fn is_calling_out(effect: &EffectRow) -> bool {
    effect.state.is_open() && effect.system.as_str() != HUB
}

/// Numbers of the open effects that a state no longer calls for.
pub(super) fn called_off(driver: &dyn Driver, state: &State, effects: &[EffectRow], plan: &Plan) -> Vec<u32> {
    let named = |e: &EffectRow| plan.effects.iter().any(|named| *named.step == *e.step && *named.intent == *e.intent);
    let off = effects.iter().filter(|e| is_calling_out(e) && !named(e) && driver.reopened(state, &e.step, &e.intent).is_none());
    off.map(|e| e.no).collect()
}

/// `H(process, step, intent, generation)`, 32 hex digits.
pub(super) fn effect_key(process: &ProcessKey, step: &str, intent: &str, generation: u32) -> Arc<str> {
    let mut hash = Sha256::new();
    for part in [&*process.kind, &*process.key, step, intent] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.update(generation.to_be_bytes());
    let digest = hash.finalize();
    hex::encode(&digest[..16]).into()
}

/// Our name for an effect in its system, whatever its generation.
fn reference(process: &ProcessKey, intent: &str) -> Arc<str> {
    if intent.is_empty() { process.key.clone() } else { format!("{}#{intent}", process.key).into() }
}

impl Core {
    /// Adds to `draft` what `plan` calls for beyond what `memory` (and the draft itself) has.
    pub(super) fn difference(&self, process: &ProcessKey, memory: &Memory, plan: Plan, now: Timestamp, draft: &mut Draft) {
        let driver = &self.wiring.drivers[&*process.kind];
        let state = draft.state.as_ref().unwrap_or(&memory.state);
        draft.called_off = Some(called_off(&**driver, state, &memory.effects, &plan));
        for effect in plan.effects {
            match memory.effect_named(effect.step, &effect.intent) {
                None if !draft.makes(effect.step, &effect.intent) => self.make(process, memory, &effect, now, draft),
                Some(row) if row.is_withdrawn() => self.take_up_again(process, memory, row, &effect, now, draft),
                None | Some(_) => {}
            }
        }
        for reply in plan.replies {
            if memory.effect_named(REPLY, &reply.to).is_none() && !draft.makes(REPLY, &reply.to) {
                self.reply(process, memory, reply, now, draft);
            }
        }
        for timer in &plan.timers {
            let known = memory.timers.iter().any(|(name, due)| **name == *timer.name && *due == timer.due);
            if !known {
                draft.transition.timers.push((Arc::from(timer.name.as_str()), Some(timer.due)));
            }
        }
        for (name, _) in &memory.timers {
            if !super::fold::is_own_timer(name) && !plan.timers.iter().any(|timer| *timer.name == **name) {
                draft.transition.timers.push((name.clone(), None));
            }
        }
        for exception in &plan.exceptions {
            let standing = memory.exceptions.iter().find(|(name, _)| **name == *exception.name);
            if standing.is_none_or(|(_, row)| *row.class != *exception.class || *row.cause != *exception.cause) {
                let step = exception.step.as_deref().unwrap_or_default();
                let intent = exception.intent.as_deref().unwrap_or_default();
                let row = ExceptionRow {
                    class: exception.class.as_str().into(),
                    step: step.into(),
                    intent: intent.into(),
                    system: memory.effect_named(step, intent).map_or("", |e| e.system.as_str()).into(),
                    cause: exception.cause.as_str().into(),
                    suggestion: exception.suggestion.as_str().into(),
                    since: now,
                    payload: None,
                };
                draft.transition.exceptions.push((exception.name.as_str().into(), Some(row)));
            }
        }
        for (name, _) in &memory.exceptions {
            let ours = name.starts_with("effect/") || &**name == super::fold::POISON;
            if !ours && !plan.exceptions.iter().any(|e| *e.name == **name) {
                draft.transition.exceptions.push((name.clone(), None));
            }
        }
        let summary = &mut draft.transition.row.summary;
        summary.stage = plan.summary.stage.into();
        summary.status = plan.summary.status.as_str().into();
        summary.waiting_for = plan.summary.waiting_for.into();
    }

    fn make(&self, process: &ProcessKey, memory: &Memory, effect: &Effect, now: Timestamp, draft: &mut Draft) {
        let no = draft.next_no(memory);
        let key = effect_key(process, effect.step, &effect.intent, 1);
        let system = match &effect.target {
            Target::System(name) => name.clone(),
            Target::Process { .. } => SystemName::new(HUB),
        };
        let mut row = EffectRow {
            no,
            step: effect.step.into(),
            intent: effect.intent.as_str().into(),
            system,
            operation: effect.operation,
            generation: 1,
            key,
            state: EffectState::Pending,
            class: dispatch::class(draft.transition.row.priority, effect.operation),
            due: Some(now),
            attempts: 0,
            deadline: now + effect.deadline,
            made_at: now,
            request: None,
            last: "".into(),
        };
        match &effect.target {
            Target::Process { kind, key } => {
                row.state = EffectState::Accepted;
                row.due = None;
                let to = ProcessKey::new(kind, key);
                let message = HubMessage::Command {
                    name: effect.args.get("command").as_str().unwrap_or_default().to_owned(),
                    body: effect.args.get("body").clone(),
                    key: format!("{}@{process}", row.key),
                    seen_version: None,
                    birth: Some(Birth {
                        policy: draft.transition.row.policy.to_string(),
                        subject: draft.transition.row.subject.to_string(),
                        priority: draft.transition.row.priority,
                        market: draft.transition.row.summary.market.to_string(),
                    }),
                };
                draft.transition.messages.push(hub_message(process, to, "command", &message, draft, now));
            }
            Target::System(_) => self.prepare(process, memory, effect, &mut row, now, draft),
        }
        draft.transition.effects.push(row);
    }

    /// A withdrawn effect is called for again. It was certainly not applied, so nothing stands against sending it.
    fn take_up_again(
        &self,
        process: &ProcessKey,
        memory: &Memory,
        row: &EffectRow,
        effect: &Effect,
        now: Timestamp,
        draft: &mut Draft,
    ) {
        let mut row = EffectRow { attempts: 0, deadline: now + effect.deadline, made_at: now, last: "".into(), ..row.clone() };
        self.prepare(process, memory, effect, &mut row, now, draft);
        draft.transition.effects.push(row);
    }

    /// Makes the exact bytes of an intent. A mapping that fails parks the effect; nothing was sent.
    pub(super) fn prepare(
        &self,
        process: &ProcessKey,
        memory: &Memory,
        effect: &Effect,
        row: &mut EffectRow,
        now: Timestamp,
        draft: &mut Draft,
    ) {
        let document = draft.document.as_ref().unwrap_or(&memory.document).clone();
        let call = self.call_of(process, memory, row, effect.args.clone(), document);
        let prepared = match self.wiring.systems.get(&row.system) {
            Some(system) => system.connector.prepare(&call),
            None => Err(PrepareError::Misconfigured(format!("no system is called {}", row.system))),
        };
        match prepared {
            Ok(prepared) => {
                let hash = PayloadHash::of(&prepared.bytes);
                row.request = Some(hash);
                draft.transition.payloads.push(Payload { hash, bytes: prepared.bytes.clone(), message: None });
                draft.requests.push((row.no, prepared.bytes, effect.args.clone()));
                row.state = EffectState::Pending;
                row.due = Some(now);
            }
            Err(error) => {
                row.state = EffectState::Parked;
                row.due = None;
                row.request = None;
                let (class, suggestion) = match &error {
                    PrepareError::Mapping { .. } => ("mapping", "mend the mapping or the order, then retry"),
                    PrepareError::Unsupported { .. } | PrepareError::Misconfigured(_) => {
                        ("misconfigured", "mend the landscape, then retry")
                    }
                };
                row.last = class.into();
                draft.park(row, class, error.to_string(), suggestion, now);
            }
        }
    }

    /// An effect as its connector sees it.
    pub(super) fn call_of(&self, process: &ProcessKey, memory: &Memory, row: &EffectRow, args: Value, document: Value) -> Call {
        let order = OrderRef::parse(&process.key).unwrap_or_else(|| OrderRef {
            channel: HUB.into(),
            site: process.kind.as_ref().into(),
            number: process.key.as_ref().into(),
        });
        Call {
            system: row.system.clone(),
            operation: row.operation,
            key: row.key.clone(),
            reference: reference(process, &row.intent),
            order,
            args,
            document,
            identities: identities_of(memory, &row.system),
            at: row.made_at,
        }
    }

    /// Tells an asking process that its command was refused, unless the flow has answered it.
    pub(super) fn reply_refused(
        &self,
        process: &ProcessKey,
        memory: &Memory,
        key: &str,
        outcome: Outcome,
        now: Timestamp,
        draft: &mut Draft,
    ) {
        let asked = super::record::asker(key).is_some();
        if asked && memory.effect_named(REPLY, key).is_none() && !draft.makes(REPLY, key) {
            self.reply(process, memory, crossdock_flows::Reply { to: key.to_owned(), outcome }, now, draft);
        }
    }

    fn reply(&self, process: &ProcessKey, memory: &Memory, reply: crossdock_flows::Reply, now: Timestamp, draft: &mut Draft) {
        let no = draft.next_no(memory);
        // Whoever else commands (a person, a client) reads the process; only processes are told.
        let asker = super::record::asker(&reply.to).filter(|(_, to)| self.wiring.drivers.contains_key(&*to.kind));
        if let Some((effect, to)) = asker {
            let message = HubMessage::Reply { key: effect.to_owned(), outcome: reply.outcome.clone() };
            draft.transition.messages.push(hub_message(process, to, "reply", &message, draft, now));
        }
        draft.transition.effects.push(EffectRow {
            no,
            step: REPLY.into(),
            intent: reply.to.as_str().into(),
            system: SystemName::new(HUB),
            operation: Operation::HubCommand,
            generation: 1,
            key: effect_key(process, REPLY, &reply.to, 1),
            state: EffectState::Done,
            class: 0,
            due: None,
            attempts: 1,
            deadline: now,
            made_at: now,
            request: None,
            last: reply.outcome.class.as_str().into(),
        });
    }
}

impl Draft {
    fn makes(&self, step: &str, intent: &str) -> bool {
        self.transition.effects.iter().any(|e| &*e.step == step && &*e.intent == intent)
    }

    /// Numbers go on from what is stored and what this draft adds.
    fn next_no(&self, memory: &Memory) -> u32 {
        let stored = u32::try_from(memory.effects.len()).unwrap_or(u32::MAX);
        self.transition.effects.iter().map(|e| e.no).max().unwrap_or(0).max(stored) + 1
    }

    /// Opens the exception of an effect.
    pub(super) fn park(&mut self, row: &EffectRow, class: &str, cause: String, suggestion: &str, now: Timestamp) {
        let exception = ExceptionRow {
            class: class.into(),
            step: row.step.clone(),
            intent: row.intent.clone(),
            system: row.system.as_str().into(),
            cause: cause.into(),
            suggestion: suggestion.into(),
            since: now,
            payload: row.request.map(|hash| hash.to_string()),
        };
        self.transition.exceptions.push((effect_exception(row.no).into(), Some(exception)));
    }
}

fn hub_message(from: &ProcessKey, to: ProcessKey, kind: &str, message: &HubMessage, draft: &Draft, now: Timestamp) -> Intake {
    Intake {
        to: Addressee::Process(to),
        source: SystemName::new(HUB),
        message_id: None,
        kind: kind.into(),
        actor: format!("process:{from}").into(),
        body: message.to_bytes(),
        subject: draft.transition.row.subject.clone(),
        at: now,
        starts: false,
    }
}

/// What `system` calls the records of a process: `{kind: {ours: theirs}}`.
fn identities_of(memory: &Memory, system: &SystemName) -> Value {
    let mut kinds = Value::Null;
    for identity in memory.identities.iter().filter(|i| i.system == *system) {
        let mut names = kinds.get(&identity.kind).clone();
        names.insert(identity.ours.clone(), Value::from(&*identity.theirs));
        kinds.insert(identity.kind.clone(), names);
    }
    kinds
}

/// What is left of a deadline, never negative.
pub(super) fn remaining(deadline: Timestamp, now: Timestamp) -> Duration {
    Duration((deadline - now).0.max(0))
}
