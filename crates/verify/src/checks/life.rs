//! Liveness (I12).

use crate::{
    report::{Finding, Tally, Verdict},
    world::World,
};
use crossdock_store::EffectState;

/// I12: nothing is stuck in silence. What is overdue (an unanswered effect, a timer, a message nobody folded) has an exception, and an
/// open order has something that will move it on.
///
/// From the hub's rows, at `Options::now`. "Everything is done or parked" for orders is I1; this is about the parts, payments included.
pub(crate) fn nothing_is_stuck(world: &World<'_>) -> Verdict {
    let Some(hub) = world.hub else { return Verdict::not_checked("the hub's processes were not given") };
    let mut tally = Tally::default();
    if hub.inbox_depth > 0 && world.options.settle.0 == 0 {
        tally
            .found(Finding { text: format!("{} messages wait in the inbox, not folded", hub.inbox_depth), ..Finding::default() });
    }
    for process in hub.processes.values() {
        tally.saw();
        let stuck = |text: String| Finding { order: process.key.to_string(), text, ..Finding::default() };
        let flagged = |no: u32| process.exceptions.iter().any(|(name, _)| **name == *format!("effect/{no}"));
        for effect in process.effects.iter().filter(|effect| effect.state.is_open() && !flagged(effect.no)) {
            let overdue = world.is_due(effect.deadline);
            if effect.state == EffectState::Parked || overdue {
                let why =
                    if overdue { format!("unanswered since its deadline {}", effect.deadline) } else { "parked".to_owned() };
                tally.found(Finding {
                    system: effect.system.to_string(),
                    ..stuck(format!("{} is {why}, and no exception says so", effect.step))
                });
            }
        }
        if process.is_ended() || process.is_parked() {
            continue;
        }
        for (name, due) in process.timers.iter().filter(|(_, due)| *due < world.options.now && world.is_due(*due)) {
            tally.found(stuck(format!("timer {name} was due at {due} and has not fired")));
        }
        let moves_on = process.timers.len() + process.effects.iter().filter(|effect| effect.state.is_open()).count();
        let is_order = &*process.key.kind == "order";
        let asked = world.order(&process.key.key).is_some_and(|order| order.is_parked);
        if is_order && !asked && moves_on == 0 && world.is_due(process.opened_at) {
            tally.found(stuck(format!("open at {}, with no effect, timer or exception that could move it", process.stage)));
        }
    }
    tally.verdict("the hub has no process")
}
