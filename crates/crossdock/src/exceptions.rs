//! `crossdock exceptions`: what waits for a person, and a person's answer to it.

use crate::{
    exit::{self, Failure},
    remote::Remote,
    source::{self, Source},
    trace,
};
use crossdock_canonical::Timestamp;
use crossdock_engine::shell::clock::Clock;
use crossdock_store::{PayloadHash, ProcessKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt::Write as _, process::ExitCode};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: List,
}

#[derive(clap::Subcommand)]
enum Action {
    /// List what waits for a person, by class (also when no action is named).
    List(List),
    /// Try again what an exception stopped.
    Retry(Act),
    /// Give up on what an exception stopped; the order goes on as if it were done.
    Skip {
        #[command(flatten)]
        act: Act,
        /// Why: it is kept in the journal and the audit.
        #[arg(long)]
        reason: String,
    },
    /// Cancel the order.
    Cancel {
        #[command(flatten)]
        act: Act,
        /// Why: it is kept in the journal and the audit.
        #[arg(long)]
        reason: String,
    },
}

#[derive(clap::Args)]
struct List {
    #[command(flatten)]
    source: source::Args,
    #[command(flatten)]
    key: source::KeyArgs,
    /// Only this class.
    #[arg(long)]
    class: Option<String>,
    /// Only this system.
    #[arg(long)]
    system: Option<String>,
    /// Print the exceptions as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Act {
    /// The order: its number if only one order has it, `site/number`, or `channel/site/number`.
    order: String,
    /// Which of the order's exceptions, by the name that the list shows; not needed when there is one.
    #[arg(long, value_name = "NAME")]
    exception: Option<String>,
    /// The running hub, such as http://127.0.0.1:8080.
    #[arg(long)]
    url: String,
    #[command(flatten)]
    key: source::KeyArgs,
    /// Under the same key a command is given once, however often it is sent [default: made from the exception].
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Exception {
    process: String,
    name: String,
    class: String,
    step: String,
    intent: String,
    system: String,
    cause: String,
    suggestion: String,
    since: Timestamp,
}

pub async fn run(args: Args) -> ExitCode {
    let done = match args.action {
        None => list(&args.list).await,
        Some(Action::List(args)) => list(&args).await,
        Some(Action::Retry(act)) => answer(&act, "retry", None).await,
        Some(Action::Skip { act, reason }) => answer(&act, "skip", Some(&reason)).await,
        Some(Action::Cancel { act, reason }) => cancel(&act, &reason).await,
    };
    match done {
        Ok(text) => {
            println!("{}", text.trim_end());
            exit::OK
        }
        Err(failure) => failure.exit(),
    }
}

async fn list(args: &List) -> Result<String, Failure> {
    let source = Source::open(&args.source, &args.key)?;
    let found: Vec<Exception> = source.exceptions(args.class.as_deref(), args.system.as_deref()).await?;
    Ok(if args.json { json!({ "items": found }).to_string() } else { listed(&found, Clock::System.now()) })
}

/// By class, oldest first within it.
fn listed(exceptions: &[Exception], now: Timestamp) -> String {
    if exceptions.is_empty() {
        return "nothing waits for a person".into();
    }
    let mut classes: BTreeMap<&str, Vec<&Exception>> = BTreeMap::new();
    for exception in exceptions {
        classes.entry(&exception.class).or_default().push(exception);
    }
    let mut out = String::new();
    for (class, exceptions) in classes {
        // Writing into a String cannot fail.
        let _ = writeln!(out, "{class}  {}", exceptions.len());
        for exception in exceptions {
            let order = exception.process.split_once(':').map_or(exception.process.as_str(), |(_, key)| key);
            let system = if exception.system.is_empty() { "-" } else { &exception.system };
            let _ = writeln!(out, "  {order}  {}  {system}  for {}", exception.name, age(now, exception.since));
            let _ = writeln!(out, "      {}", exception.cause);
            if !exception.suggestion.is_empty() {
                let _ = writeln!(out, "      do: {}", exception.suggestion);
            }
        }
    }
    out
}

/// How long ago, in its two largest units.
fn age(now: Timestamp, since: Timestamp) -> String {
    let seconds = ((now - since).0 / 1_000).max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Retries or skips the effect (or the message) that one exception is about.
async fn answer(act: &Act, command: &str, reason: Option<&str>) -> Result<String, Failure> {
    let (source, order) = connect(act).await?;
    let mut open = Vec::new();
    for kind in ["order", "payment"] {
        #[derive(Deserialize)]
        struct Whole {
            exceptions: Vec<Exception>,
        }
        open.extend(
            source.process::<Whole>(&ProcessKey::new(kind, &order)).await?.into_iter().flat_map(|whole| whole.exceptions),
        );
    }
    let exception = chosen(&order, &open, act.exception.as_deref())?;
    let mut body = json!({});
    if !exception.step.is_empty() {
        body = json!({"step": exception.step, "intent": exception.intent});
    }
    if let Some(reason) = reason {
        body["reason"] = json!(reason);
    }
    let process =
        ProcessKey::parse(&exception.process).ok_or_else(|| Failure::fault(format!("{:?} is no process", exception.process)))?;
    let key = key_of(act, &[command, &exception.process, &exception.name, &exception.since.to_string()]);
    told(act, &source, &process, command, body, &key).await
}

/// The one exception that is meant.
fn chosen<'a>(order: &str, open: &'a [Exception], name: Option<&str>) -> Result<&'a Exception, Failure> {
    let meant: Vec<&Exception> = open.iter().filter(|exception| name.is_none_or(|name| exception.name == name)).collect();
    match meant[..] {
        [one] => Ok(one),
        [] if open.is_empty() => Err(Failure::fault(format!("nothing of order {order} waits for a person"))),
        _ => {
            let names: Vec<String> =
                open.iter().map(|exception| format!("  {}  {} {}", exception.name, exception.class, exception.cause)).collect();
            Err(Failure::usage(format!("name one of the exceptions of order {order} with --exception:\n{}", names.join("\n"))))
        }
    }
}

async fn cancel(act: &Act, reason: &str) -> Result<String, Failure> {
    let (source, order) = connect(act).await?;
    let key = key_of(act, &["cancel", &order, reason]);
    told(act, &source, &ProcessKey::new("order", &order), "cancel", json!({"reason": reason}), &key).await
}

async fn connect(act: &Act) -> Result<(Source, String), Failure> {
    let source = Source::Remote(Box::new(Remote::new(&act.url, &act.key.key_env)?));
    let order = trace::find(&source, &act.order).await?;
    Ok((source, order))
}

/// Sent twice for the same occurrence, it is one command: a new occurrence has a new beginning, and so a new key.
fn key_of(act: &Act, about: &[&str]) -> String {
    let made = || format!("cli-{}", &PayloadHash::of(about.join("|").as_bytes()).to_string()[..32]);
    act.idempotency_key.clone().unwrap_or_else(made)
}

async fn told(
    act: &Act,
    source: &Source,
    process: &ProcessKey,
    command: &str,
    body: Value,
    key: &str,
) -> Result<String, Failure> {
    let Source::Remote(hub) = source else { return Err(Failure::usage("a command needs a running hub: --url")) };
    let request = json!({"command": command, "body": body});
    let answer: Option<Value> = hub.post(&source::path(process, "/commands"), &request, key).await?;
    let answer = answer.ok_or_else(|| Failure::fault(format!("there is no process {process}")))?;
    Ok(if act.json { answer.to_string() } else { format!("{command} {process}: taken; see `crossdock trace {}`", process.key) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exception(name: &str, class: &str, since: i64) -> Exception {
        Exception {
            process: "order:sfcc/DE/1".into(),
            name: name.into(),
            class: class.into(),
            step: "release".into(),
            intent: "ship-1".into(),
            system: "warehouse".into(),
            cause: "no answer".into(),
            suggestion: "ring them".into(),
            since: Timestamp(since),
        }
    }

    #[test]
    fn the_list_goes_by_class_and_tells_system_age_cause_and_what_to_do() {
        let list = [
            exception("effect-4", "silent", 0),
            exception("address", "bad_address", 3_540_000),
            exception("effect-5", "silent", 0),
        ];
        assert_eq!(
            listed(&list, Timestamp(3_600_000)),
            "bad_address  1\n  sfcc/DE/1  address  warehouse  for 1 min\n      no answer\n      do: ring them\n\
             silent  2\n  sfcc/DE/1  effect-4  warehouse  for 1 h 0 min\n      no answer\n      do: ring them\n  \
             sfcc/DE/1  effect-5  warehouse  for 1 h 0 min\n      no answer\n      do: ring them\n"
        );
        assert_eq!(listed(&[], Timestamp(0)), "nothing waits for a person");
    }

    #[test]
    fn an_exception_must_be_named_when_there_are_several() {
        let one = [exception("a", "silent", 0)];
        let two = [exception("a", "silent", 0), exception("b", "silent", 0)];
        assert_eq!(chosen("o", &one, None).map(|e| e.name.as_str()), Ok("a"));
        assert_eq!(chosen("o", &two, Some("b")).map(|e| e.name.as_str()), Ok("b"));
        assert!(
            matches!(chosen("o", &two, None), Err(Failure::Usage(text)) if text.contains("  a  silent") && text.contains("  b  silent"))
        );
        assert!(matches!(chosen("o", &two, Some("c")), Err(Failure::Usage(_))));
        assert!(matches!(chosen("o", &[], None), Err(Failure::Fault(_))));
    }
}
