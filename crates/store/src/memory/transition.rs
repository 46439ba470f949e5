//! One transition: checked whole, then made whole.

use super::state::{Link, Process, State, Taken};
use crate::{Committed, EffectRow, InboxId, StoreError, Transition, audit};
use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    sync::Arc,
};

/// What the schema of the embedded store allows.
const STATUSES: [&str; 5] = ["open", "held", "closed", "cancelled", "failed"];

impl State {
    pub(super) fn commit(&mut self, transition: Transition) -> Result<Committed, StoreError> {
        self.check(&transition)?;
        Ok(self.apply(transition))
    }

    fn check(&self, transition: &Transition) -> Result<(), StoreError> {
        let refused = |reason: String| Err(StoreError::Constraint(reason));
        let partition = transition.process.partition();
        let epoch = self.epochs[usize::from(partition)];
        if transition.epoch != epoch {
            return Err(StoreError::StaleEpoch { partition, expected: transition.epoch, found: epoch });
        }
        let found = self.find(&transition.process);
        let version = found.map_or(0, |(_, process)| process.version);
        if transition.version != version {
            return Err(StoreError::StaleVersion {
                process: transition.process.clone(),
                expected: transition.version,
                found: version,
            });
        }
        if let Some(id) = transition.settles
            && !self.pending.contains_key(&id)
        {
            return refused(format!("inbox row {} does not wait: it was settled before, or never stored", id.0));
        }
        if !STATUSES.contains(&&*transition.row.summary.status) {
            return refused(format!("{:?} is not a status", transition.row.summary.status));
        }
        for effect in &transition.effects {
            check_effect(effect, found.and_then(|(_, process)| process.effects.get(&effect.no)))?;
        }
        let no = self.keys.get(&transition.process);
        for identity in &transition.identities {
            let key = (identity.system.clone(), Arc::clone(&identity.kind), Arc::clone(&identity.theirs));
            if self.identities.get(&key).is_some_and(|of| Some(of) != no) {
                return refused(format!(
                    "{} {} of {} belongs to another process",
                    identity.kind, identity.theirs, identity.system
                ));
            }
        }
        Ok(())
    }

    fn apply(&mut self, transition: Transition) -> Committed {
        let Transition { id, process: key, version, epoch, at, actor, action, settles, record, row, .. } = transition;
        if let Some(settles) = settles {
            self.pending.remove(&settles);
        }
        let no = match self.keys.get(&key) {
            Some(no) => *no,
            None => {
                let no = settles.map_or_else(
                    || {
                        self.no += 1;
                        self.no
                    },
                    |InboxId(id)| id,
                );
                self.keys.insert(key.clone(), no);
                no
            }
        };
        for payload in transition.payloads {
            self.subjects.insert(Arc::clone(&row.subject));
            self.payloads.insert((no, payload.hash), (Arc::clone(&row.subject), payload.bytes));
        }
        let messages = transition.messages.into_iter().map(|message| match self.take(message) {
            Taken::Stored(id) => id,
            Taken::Seen(id) => id.unwrap_or_default(),
        });
        let messages = messages.collect();
        let link = Link {
            partition: key.partition(),
            offset: None,
            process: Some(key.clone()),
            version: version + 1,
            at,
            actor,
            action,
            record: record.map(Arc::from),
            hash: audit::GENESIS,
        };
        let place = self.append(link);
        let committed = Committed { version: version + 1, messages };

        let process = match self.processes.entry(no) {
            Entry::Occupied(there) => {
                let process = there.into_mut();
                process.row = row;
                process
            }
            Entry::Vacant(empty) => empty.insert(Process {
                key,
                version: 0,
                row,
                updated_at: at,
                effects: BTreeMap::new(),
                effect_epochs: BTreeMap::new(),
                timers: BTreeMap::new(),
                exceptions: BTreeMap::new(),
                identities: BTreeMap::new(),
                journal: Vec::new(),
                commits: VecDeque::new(),
            }),
        };
        process.version = committed.version;
        process.updated_at = at;
        process.journal.push(place);
        Self::remember(&mut process.commits, id, &committed);
        for effect in transition.effects {
            process.effect_epochs.insert(effect.no, epoch);
            if let Some(due) = effect.due {
                self.due_effects.entry(effect.system.clone()).or_default().insert((effect.class, due, no, effect.no));
            }
            let (system, now) = (effect.system.clone(), effect.due.map(|due| (effect.class, due)));
            if let Some(old) = process.effects.insert(effect.no, effect)
                && let Some(due) = old.due
                && (old.system != system || now != Some((old.class, due)))
                && let Some(waiting) = self.due_effects.get_mut(&old.system)
            {
                waiting.remove(&(old.class, due, no, old.no));
            }
        }
        for (name, due) in transition.timers {
            let old = match due {
                Some(due) => {
                    let old = process.timers.insert(Arc::clone(&name), due);
                    self.due_timers.insert((due, no, Arc::clone(&name)));
                    old.filter(|old| *old != due)
                }
                None => process.timers.remove(&name),
            };
            if let Some(old) = old {
                self.due_timers.remove(&(old, no, name));
            }
        }
        for identity in transition.identities {
            let theirs = (identity.system, identity.kind, identity.theirs);
            self.identities.insert(theirs.clone(), no);
            process.identities.insert(theirs, identity.ours);
        }
        for (name, row) in transition.exceptions {
            match row {
                Some(row) => process.exceptions.insert(name, row),
                None => process.exceptions.remove(&name),
            };
        }
        committed
    }
}

fn check_effect(effect: &EffectRow, there: Option<&EffectRow>) -> Result<(), StoreError> {
    let refused = |reason: &str| Err(StoreError::Constraint(format!("effect {}: {reason}", effect.no)));
    if effect.no == 0 || effect.generation == 0 {
        return refused("numbers and generations count from 1");
    }
    if !effect.state.is_open() && effect.due.is_some() {
        return refused("what has ended is not due");
    }
    match there {
        Some(there) if there.step != effect.step || there.intent != effect.intent => refused("its name never changes"),
        Some(there) if effect.generation < there.generation => refused("its generation never falls"),
        Some(there) if effect.generation == there.generation && effect.key != there.key => {
            refused("its key is that of its generation")
        }
        Some(_) | None => Ok(()),
    }
}
