//! Commands and replies: what the engine itself can be told (`retry`, `skip`, `repin`), and how everything else reaches the flow.

use super::super::{
    Core, Output, dispatch,
    lane::{Block, Lane, Memory, Work},
    plan,
    record::{CONFLICT, Heard, HubMessage, Record},
};
use super::{Draft, PIN_WAITS_MAX, POISON, TAKEN, begin_born, begin_plain, refused};
use crate::HubError;
use crossdock_canonical::{Outcome, OutcomeClass, SystemName, Timestamp};
use crossdock_flows::{Answer, Input as FlowInput};
use crossdock_store::{EffectRow, EffectState, InboxRow, Payload, PayloadHash, ProcessKey};
use crossdock_value::Value;
use std::sync::Arc;

/// A command as it arrived.
struct Command<'a> {
    name: &'a str,
    body: &'a Value,
    key: &'a str,
    row: &'a InboxRow,
}

impl Core {
    pub(super) fn hub_message(
        &mut self,
        process: &ProcessKey,
        lane: &mut Lane,
        row: &InboxRow,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) -> Option<Box<Draft>> {
        let message = match HubMessage::read(&row.body) {
            Ok(message) => message,
            Err(reason) => return self.poison(process, lane, row, "unreadable", reason, now),
        };
        match message {
            HubMessage::Reply { key, outcome } => self.reply_heard(process, lane, row, &key, &outcome, now),
            HubMessage::Command { name, body, key, seen_version, birth } => {
                let memory = self.memory(lane);
                if memory.version == 0 && birth.is_none() {
                    out.push(Output::Answer { row: row.id, result: Err(HubError::NoProcess(process.clone())) });
                    // Nothing is there to settle it against: it is kept as a stray, so that it is not lost.
                    self.work(
                        super::stray_process(row),
                        super::Work::Inbox(InboxRow { kind: "command.stray".into(), ..row.clone() }),
                        now,
                        out,
                    );
                    return None;
                }
                if let Some(birth) = &birth
                    && memory.version == 0
                    && !birth.policy.is_empty()
                    && !self.pins.contains_key(&*birth.policy)
                {
                    return self.await_pin(process, lane, row, &key, now, out);
                }
                if let Some(seen) = seen_version.filter(|seen| *seen != memory.version) {
                    let conflict = HubError::Conflict { seen, found: memory.version };
                    return Some(self.answered(process, memory.version, lane, row, &name, Err(conflict), now));
                }
                let command = Command { name: &name, body: &body, key: &key, row };
                match name.as_str() {
                    "retry" => self.retry(process, lane, &command, now),
                    "skip" => self.skip(process, lane, &command, now),
                    "repin" => self.repin(process, lane, &command, now),
                    _ => {
                        let mut draft = self.command_draft(process, lane, &command, now);
                        let memory = self.memory(lane);
                        if memory.version == 0 {
                            match birth {
                                Some(birth) => {
                                    begin_born(process, &birth, self.pins.get(birth.policy.as_str()).cloned(), now, &mut draft)
                                }
                                None => begin_plain(process, row, now, &mut draft),
                            }
                        }
                        // An amended document is what effects made by this very command are prepared from.
                        draft.document = self.wiring.drivers[&*process.kind].amended(&name, &memory.document, &body);
                        let input = FlowInput::Command { name: name.clone(), body: body.clone(), key: key.clone() };
                        let answer = self.hear(process, memory, &input, now, &mut draft).unwrap_or(Answer::Refused {
                            code: "unknown_command".into(),
                            text: format!("a {} process takes no command {name}", process.kind),
                        });
                        match (&answer, &draft.document) {
                            (Answer::Taken, Some(document)) => {
                                let bytes: Arc<[u8]> = crossdock_value::to_json(document).into();
                                let hash = PayloadHash::of(&bytes);
                                draft.transition.row.document = Some(hash);
                                draft.transition.payloads.push(Payload { hash, bytes, message: None });
                            }
                            (Answer::Refused { code, text }, _) => {
                                draft.document = None;
                                // A process that asked must hear that it was refused, or it would wait for ever.
                                let outcome = Outcome::refused(code.clone(), text.clone());
                                self.reply_refused(process, memory, &key, outcome, now, &mut draft);
                            }
                            (Answer::Taken, None) => {}
                        }
                        Some(close(draft, &command, Ok(answer)))
                    }
                }
            }
        }
    }

    /// A process begins under its asker's policy, which a restart forgot: reading the asker brings it back.
    fn await_pin(
        &mut self,
        process: &ProcessKey,
        lane: &mut Lane,
        row: &InboxRow,
        key: &str,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) -> Option<Box<Draft>> {
        lane.pin_waits += 1;
        let asker = super::super::record::asker(key).filter(|_| lane.pin_waits <= PIN_WAITS_MAX);
        let Some((_, asker)) = asker else {
            lane.pin_waits = 0;
            return self.poison(
                process,
                lane,
                row,
                "no_policy",
                "the policy of the asking process is not in the store".into(),
                now,
            );
        };
        out.push(Output::Load(asker));
        out.push(Output::Load(process.clone()));
        self.read_first(process, lane, Work::Inbox(row.clone()));
        None
    }

    fn command_draft(&mut self, process: &ProcessKey, lane: &Lane, command: &Command<'_>, now: Timestamp) -> Box<Draft> {
        let memory = self.memory(lane);
        let mut draft = self.draft(process, memory, &command.row.actor, format!("command {}", command.name), now);
        draft.transition.settles = Some(command.row.id);
        draft
    }

    /// A command that changes nothing but is on record with its answer.
    #[expect(clippy::too_many_arguments, reason = "each is one fact of the record")]
    fn answered(
        &mut self,
        process: &ProcessKey,
        _version: u64,
        lane: &Lane,
        row: &InboxRow,
        name: &str,
        answer: Result<Answer, HubError>,
        now: Timestamp,
    ) -> Box<Draft> {
        let command = Command { name, body: &Value::Null, key: "", row };
        let draft = self.command_draft(process, lane, &command, now);
        close(draft, &command, answer)
    }

    /// `retry {step, intent}`: a parked or refused effect is tried again, a waiting one at once. Without a step: the message that
    /// blocks the process.
    fn retry(&mut self, process: &ProcessKey, lane: &mut Lane, command: &Command<'_>, now: Timestamp) -> Option<Box<Draft>> {
        let mut draft = self.command_draft(process, lane, command, now);
        let Some(step) = command.body.get("step").as_str() else {
            if lane.blocked.is_none() {
                return Some(close(draft, command, refused("nothing_to_retry", "no message blocks this process; name a step")));
            }
            draft.block = Some(Block::Open);
            let memory = self.memory(lane);
            draft.close_exception(memory, POISON);
            return Some(close(draft, command, Ok(Answer::Taken)));
        };
        let intent = command.body.get("intent").as_str().unwrap_or_default();
        let memory = self.memory(lane);
        let Some(effect) = memory.effect_named(step, intent) else {
            return Some(close(draft, command, refused("no_such_effect", format!("no effect {step} {intent}"))));
        };
        let mut row = effect.clone();
        match effect.state {
            EffectState::Pending => row.due = Some(now),
            // Asked when it must have become visible, not before: *absent* would be believed.
            EffectState::Unknown => {}
            EffectState::Accepted => {
                return Some(close(
                    draft,
                    command,
                    refused("still_waiting", format!("{} has taken it; its answer is awaited", effect.system)),
                ));
            }
            EffectState::Parked => {
                // What was ever tried is asked after, not sent. Where nobody can be asked, the person has looked.
                let probes = self.capability(effect).is_some_and(|c| c.probes);
                let tried = effect.attempts > 0 || memory.doubtful.contains(&effect.no);
                row.state = if tried && probes { EffectState::Unknown } else { EffectState::Pending };
                // On a restored store it counts as tried: the person has looked, and it is not asked after once more.
                row.attempts = if row.state == EffectState::Pending { u32::from(self.config.restored) } else { effect.attempts };
                row.due = Some(now);
                row.deadline = now + plan::remaining(effect.deadline, effect.made_at);
                row.made_at = now;
                if effect.request.is_none() {
                    self.prepare_again(process, memory, &mut row, now, &mut draft);
                }
            }
            EffectState::Refused => {
                row.generation += 1;
                row.key = plan::effect_key(process, step, intent, row.generation);
                row.state = EffectState::Pending;
                row.due = Some(now);
                row.deadline = now + plan::remaining(effect.deadline, effect.made_at);
                row.made_at = now;
                self.prepare_again(process, memory, &mut row, now, &mut draft);
            }
            EffectState::Done | EffectState::Skipped | EffectState::Reversed => {
                return Some(close(draft, command, refused("already_ended", format!("{step} is {}", effect.state.as_str()))));
            }
        }
        if row.state != EffectState::Parked {
            draft.close_exception(memory, &plan::effect_exception(row.no));
        }
        draft.transition.effects.push(row);
        Some(close(draft, command, Ok(Answer::Taken)))
    }

    /// Makes the bytes anew from what the flow calls for now; if it no longer does, the old bytes stand.
    pub(super) fn prepare_again(
        &self,
        process: &ProcessKey,
        memory: &Memory,
        row: &mut EffectRow,
        now: Timestamp,
        draft: &mut Draft,
    ) {
        if let Some(effect) = self.asked_for(process, memory, row, now) {
            self.prepare(process, memory, &effect, row, now, draft);
            row.class = dispatch::class(memory.row.priority, row.operation);
        }
    }

    /// `skip {step, intent, reason}`: a person gives up on an effect; the flow goes on as if it were done.
    fn skip(&mut self, process: &ProcessKey, lane: &mut Lane, command: &Command<'_>, now: Timestamp) -> Option<Box<Draft>> {
        let mut draft = self.command_draft(process, lane, command, now);
        let Some(reason) = command.body.get("reason").as_str().filter(|r| !r.trim().is_empty()).map(str::to_owned) else {
            return Some(close(draft, command, refused("reason_required", "say why in `reason`")));
        };
        let Some(step) = command.body.get("step").as_str() else {
            let Some(blocked) = lane.blocked else {
                return Some(close(draft, command, refused("nothing_to_skip", "no message blocks this process; name a step")));
            };
            // The message settles with what this records; the command's own row after it, with nothing more to do.
            draft.transition.settles = Some(blocked);
            draft.block = Some(Block::Open);
            draft.then = Some(Work::Inbox(InboxRow { kind: TAKEN.into(), ..command.row.clone() }));
            let memory = self.memory(lane);
            draft.close_exception(memory, POISON);
            return Some(close(draft, command, Ok(Answer::Taken)));
        };
        let intent = command.body.get("intent").as_str().unwrap_or_default();
        let memory = self.memory(lane);
        let Some(effect) = memory.effect_named(step, intent) else {
            return Some(close(draft, command, refused("no_such_effect", format!("no effect {step} {intent}"))));
        };
        match effect.state {
            EffectState::Pending | EffectState::Unknown | EffectState::Accepted | EffectState::Parked | EffectState::Refused => {}
            // It has ended, but something about it still wants a person's word.
            EffectState::Done | EffectState::Reversed if draft.stands(memory, &plan::effect_exception(effect.no)) => {
                draft.close_exception(memory, &plan::effect_exception(effect.no));
                return Some(close(draft, command, Ok(Answer::Taken)));
            }
            EffectState::Done | EffectState::Skipped | EffectState::Reversed => {
                return Some(close(draft, command, refused("already_ended", format!("{step} is {}", effect.state.as_str()))));
            }
        }
        if lane.in_flight.contains_key(&effect.no) {
            return Some(close(
                draft,
                command,
                refused("in_flight", format!("a call to {} is under way; wait for its end", effect.system)),
            ));
        }
        let mut row = effect.clone();
        row.state = EffectState::Skipped;
        row.due = None;
        row.last = "skipped".into();
        draft.close_exception(memory, &plan::effect_exception(row.no));
        draft.transition.effects.push(row);
        let input = FlowInput::Skipped { step: step.to_owned(), intent: intent.to_owned(), reason };
        self.hear(process, memory, &input, now, &mut draft);
        Some(close(draft, command, Ok(Answer::Taken)))
    }

    /// `repin {reason}`: the process goes on under the policy that the landscape gives it today.
    fn repin(&mut self, process: &ProcessKey, lane: &mut Lane, command: &Command<'_>, now: Timestamp) -> Option<Box<Draft>> {
        let mut draft = self.command_draft(process, lane, command, now);
        let memory = self.memory(lane);
        if command.body.get("reason").as_str().is_none_or(|r| r.trim().is_empty()) {
            return Some(close(draft, command, refused("reason_required", "say why in `reason`")));
        }
        match self.wiring.policies.policy_for(&memory.document) {
            Ok(pinned) => {
                draft.transition.row.policy = pinned.hash.clone();
                let plan = self.wiring.drivers[&*process.kind].plan(&memory.state, &pinned.policy, memory.row.logic, now);
                draft.pinned = Some(pinned);
                self.difference(process, memory, plan, now, &mut draft);
                Some(close(draft, command, Ok(Answer::Taken)))
            }
            Err(reason) => Some(close(draft, command, refused("no_policy", reason))),
        }
    }

    /// The end of an effect that another process carried out.
    fn reply_heard(
        &mut self,
        process: &ProcessKey,
        lane: &mut Lane,
        row: &InboxRow,
        key: &str,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Option<Box<Draft>> {
        let memory = self.memory(lane);
        let effect = memory.effect_with_key(key).cloned();
        self.settle_effect(process, lane, row, effect, outcome, now)
    }

    /// `effect.settled {key | reference | step, intent, outcome}`: a system tells how an effect it had accepted ended.
    pub(super) fn settled_notice(
        &mut self,
        process: &ProcessKey,
        lane: &mut Lane,
        row: &InboxRow,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) -> Option<Box<Draft>> {
        let body = match self.translate(row) {
            Ok(body) => body,
            Err(reason) => return self.poison(process, lane, row, "unreadable", reason, now),
        };
        let outcome: Outcome = match crossdock_value::from_value(body.get("outcome")) {
            Ok(outcome) => outcome,
            Err(error) => return self.poison(process, lane, row, "unreadable", error.to_string(), now),
        };
        let memory = self.memory(lane);
        let effect = match (body.get("key").as_str(), body.get("reference").as_str()) {
            (Some(key), _) => memory.effect_with_key(key),
            (None, Some(reference)) => referred(process, memory, &row.source, reference),
            (None, None) => memory
                .effect_named(body.get("step").as_str().unwrap_or_default(), body.get("intent").as_str().unwrap_or_default()),
        }
        .cloned();
        // A system names the order; what it speaks of may be the order's payment.
        if effect.is_none() && &*process.kind == "order" && self.wiring.drivers.contains_key("payment") {
            self.work(ProcessKey::new("payment", &process.key), Work::Inbox(row.clone()), now, out);
            return None;
        }
        self.settle_effect(process, lane, row, effect, &outcome, now)
    }

    fn settle_effect(
        &mut self,
        process: &ProcessKey,
        lane: &mut Lane,
        row: &InboxRow,
        effect: Option<EffectRow>,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Option<Box<Draft>> {
        let reversed = outcome.class == OutcomeClass::Reversed;
        let wanted = effect.filter(|e| e.state.is_open() || (reversed && e.state == EffectState::Done));
        let mut draft = match wanted {
            Some(effect) => self.notified(process, lane, &effect, outcome, now)?,
            // Told twice, or told late: on record, and nothing more.
            None => {
                let memory = self.memory(lane);
                let mut draft = self.draft(process, memory, &row.actor, format!("message {} (nothing new)", row.kind), now);
                let heard = Heard { kind: "message", name: &row.kind, from: row.source.as_str(), ..Heard::default() };
                draft.write_record(Record { heard, ..Record::default() });
                draft
            }
        };
        draft.transition.settles = Some(row.id);
        Some(draft)
    }
}

/// The effect that a system calls by our reference: the one whose end is awaited, if there are several.
fn referred<'m>(process: &ProcessKey, memory: &'m Memory, system: &SystemName, reference: &str) -> Option<&'m EffectRow> {
    let intent = match reference.strip_prefix(&*process.key)? {
        "" => "",
        rest => rest.strip_prefix('#')?,
    };
    let ours = |e: &&EffectRow| e.system == *system && *e.intent == *intent;
    let awaited = memory.effects.iter().filter(ours).find(|e| e.state == EffectState::Accepted);
    awaited.or_else(|| memory.effects.iter().rev().find(ours))
}

/// Completes a command's draft with its answer.
fn close(mut draft: Box<Draft>, command: &Command<'_>, answer: Result<Answer, HubError>) -> Box<Draft> {
    let reason = command.body.get("reason").as_str().unwrap_or_default();
    let told = match &answer {
        Ok(answer) => answer.clone(),
        Err(error) => Answer::Refused { code: CONFLICT.into(), text: error.to_string() },
    };
    let row = Some(command.row.id.0);
    let heard = Heard { kind: "command", name: command.name, from: &command.row.actor, payload: None, row };
    draft.write_record(Record { heard, answer: Some(&told), reason, ..Record::default() });
    draft.answer = Some((command.row.id, answer));
    let _ = command.key;
    draft
}
