//! A life as lines for people: what was heard on the left margin of its moment, what followed from it below.

use super::life::{Attempt, Effect, Exception, Life, Transition};
use std::fmt;

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total.as_ref().map_or_else(String::new, |total| format!("  total {} {}", total.amount, total.currency));
        writeln!(f, "order    {}  market {}{total}", self.order, self.market)?;
        writeln!(f, "status   {}  stage {}{}", self.status, self.stage, waiting(&self.waiting_for))?;
        writeln!(f, "opened   {}  last change {}", self.opened_at, self.updated_at)?;
        for identity in &self.identities {
            writeln!(f, "known    {:<14}{:<12}{} = {}", identity.system, identity.kind, identity.ours, identity.theirs)?;
        }
        for timer in &self.timers {
            writeln!(f, "timer    {} at {}", timer.name, timer.due)?;
        }
        for exception in &self.exceptions {
            open(f, exception)?;
        }
        writeln!(f)?;
        self.transitions.iter().try_for_each(|transition| line(f, transition))
    }
}

fn waiting(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("  waiting for {text}") }
}

/// The hop that is missing goes first: who owes what.
fn open(f: &mut fmt::Formatter<'_>, exception: &Exception) -> fmt::Result {
    let hop = hop(&exception.system, &exception.step, &exception.intent);
    writeln!(f, "OPEN     {}{}  since {}", exception.class, hop, exception.since)?;
    writeln!(f, "         {}", exception.cause)?;
    if !exception.suggestion.is_empty() {
        writeln!(f, "         do: {}", exception.suggestion)?;
    }
    Ok(())
}

/// ` at warehouse: release ship-1`, as much of it as is known.
pub fn hop(system: &str, step: &str, intent: &str) -> String {
    let at = if system.is_empty() { String::new() } else { format!(" at {system}") };
    let what = if step.is_empty() { String::new() } else { format!(": {}", named(step, intent)) };
    at + &what
}

fn named(step: &str, intent: &str) -> String {
    if intent.is_empty() { step.to_owned() } else { format!("{step} {intent}") }
}

fn line(f: &mut fmt::Formatter<'_>, transition: &Transition) -> fmt::Result {
    let record = &transition.record;
    writeln!(f, "{}  {:<8} {}", transition.at, transition.process, heard(transition))?;
    let mut below = |word: &str, text: String| writeln!(f, "{:37}{word:<10} {text}", "");
    for event in &record.events {
        below("event", event.name.clone())?;
    }
    for effect in &record.effects {
        below("effect", about(effect))?;
    }
    for (name, due) in &record.timers.set {
        below("timer", format!("{name} at {due}"))?;
    }
    for name in &record.timers.cancelled {
        below("timer", format!("{name} cancelled"))?;
    }
    for opened in &record.exceptions.opened {
        below("EXCEPTION", format!("{} {}: {}", opened.class, opened.name, opened.cause))?;
    }
    for name in &record.exceptions.closed {
        below("closed", format!("exception {name}"))?;
    }
    Ok(())
}

fn heard(transition: &Transition) -> String {
    let record = &transition.record;
    if let Some(attempt) = &record.attempt {
        return tried(transition, attempt);
    }
    let heard = &record.heard;
    match heard.kind.as_str() {
        "message" => format!("message {} from {}", heard.name, heard.from),
        "settled" => format!("told by {}: how {} ended", heard.from, heard.name),
        "timer" => format!("timer {} ran out", heard.name),
        "deadline" => format!("no answer to {} by its deadline", heard.name),
        "command" => {
            let reason = if record.reason.is_empty() { String::new() } else { format!(" ({:?})", record.reason) };
            format!("command {} by {}{reason}: {}", heard.name, transition.actor, answer(record.answer.as_ref()))
        }
        _ => format!("{} by {}", transition.action, transition.actor),
    }
}

/// `attempt 2 erp.create_order at erp (book_erp): unknown timeout, 5012 ms`.
fn tried(transition: &Transition, attempt: &Attempt) -> String {
    let (what, step) = transition.tried.as_ref().map_or_else(
        || (format!("effect {}", attempt.no), transition.record.heard.name.clone()),
        |tried| (format!("{} at {}", tried.operation, tried.system), named(&tried.step, &tried.intent)),
    );
    let ended = if attempt.code.is_empty() { attempt.class.clone() } else { format!("{} {}", attempt.class, attempt.code) };
    let how = match attempt.probe.as_str() {
        "" => format!("attempt {}", attempt.attempt),
        "audit" => "audit".to_owned(),
        "retract" => "cancelling copies of".to_owned(),
        found => return format!("probe {what} ({step}): {found}, {} ms", attempt.ms),
    };
    format!("{how} {what} ({step}): {ended}, {} ms", attempt.ms)
}

fn about(effect: &Effect) -> String {
    let name = named(&effect.step, &effect.intent);
    if effect.new {
        format!(
            "{name}: {} at {}, generation {}, key {}, {}",
            effect.operation, effect.system, effect.generation, effect.key, effect.state
        )
    } else {
        format!("{name}: {}", effect.state)
    }
}

fn answer(answer: Option<&serde_json::Value>) -> String {
    let Some(answer) = answer else { return "not answered".into() };
    let text = |name: &str| answer.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    match text("answer").as_str() {
        "" => answer.to_string(),
        "refused" => format!("refused {}: {}", text("code"), text("text")),
        other => other.to_owned(),
    }
}
