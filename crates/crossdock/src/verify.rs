//! `crossdock verify`: the systems' own ledgers against each other, and against what the hub says.

use crate::{exit::Failure, source};
use crossdock_canonical::Duration;
use crossdock_connect::http::{Method, Request};
use crossdock_engine::shell::{client::Client, clock::Clock};
use crossdock_verify::{HubView, Options, Report, known_flows, parse_all, verify};
use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

const PATIENCE: Duration = Duration::seconds(60);
const LEDGER_BYTES_MAX: usize = 1 << 30;
/// Where a simulated system shows its ledger.
const LEDGER_PATH: &str = "/_sim/ledger";

#[derive(clap::Args)]
#[command(after_help = "Exit codes: 0 nothing is wrong, 1 an invariant does not hold or nothing could be checked, 2 bad usage.")]
pub struct Args {
    /// A system's ledger: JSON lines in a file, or a simulated system's address.
    #[arg(long = "ledger", value_name = "SYSTEM=FILE_OR_URL", required = true, value_parser = ledger)]
    ledgers: Vec<(String, String)>,
    /// The hub's store file, while no hub runs on it. Without it the ledgers are compared with each other alone.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// How long something may still be under way, such as `30s`; nothing may by default.
    #[arg(long, default_value = "0s", value_parser = duration)]
    settle: Duration,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

fn ledger(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((system, place)) if !system.is_empty() && !place.is_empty() => Ok((system.into(), place.into())),
        _ => Err("expected a system's name and where its ledger is, such as `erp=erp.jsonl`".into()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    Duration::parse(text).ok_or_else(|| "expected a duration such as `500ms`, `30s` or `5m`".into())
}

pub async fn run(args: Args) -> ExitCode {
    match report(&args).await {
        Ok(report) => {
            if args.json {
                println!("{}", report.to_json());
            } else {
                print!("{report}");
            }
            ExitCode::from(report.exit_code())
        }
        Err(failure) => failure.exit(),
    }
}

async fn report(args: &Args) -> Result<Report, Failure> {
    let client = Client::new(LEDGER_BYTES_MAX);
    let mut texts = BTreeMap::new();
    for (system, place) in &args.ledgers {
        if texts.insert(system.as_str(), read(&client, place).await?).is_some() {
            return Err(Failure::usage(format!("two ledgers of {system}")));
        }
    }
    let ledgers = parse_all(texts.iter().map(|(system, text)| (*system, text.as_str())));
    let hub = match &args.store {
        Some(path) => {
            let store = source::open(path)?;
            Some(HubView::read(&store).await.map_err(|error| Failure::fault(format!("the store cannot be read: {error}")))?)
        }
        None => None,
    };
    let options = Options { settle: args.settle, ..Options::at_rest(Clock::System.now()) };
    Ok(verify(&ledgers, hub.as_ref(), Some(&known_flows), &options))
}

async fn read(client: &Client, place: &str) -> Result<String, Failure> {
    if !place.starts_with("http://") && !place.starts_with("https://") {
        return std::fs::read_to_string(place).map_err(|error| Failure::usage(format!("{place} cannot be read: {error}")));
    }
    let base = place.trim_end_matches('/');
    let base = base.strip_suffix(LEDGER_PATH).unwrap_or(base);
    let response = client.raw(base, Request::new(Method::Get, LEDGER_PATH), PATIENCE).await;
    let response = response.map_err(|error| Failure::fault(format!("{base} did not answer: {error}")))?;
    if !response.is_success() {
        return Err(Failure::fault(format!("{base}{LEDGER_PATH} answered {}; is it a simulated system?", response.status)));
    }
    Ok(String::from_utf8_lossy(&response.body).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossdock_verify::Invariant;

    fn args(ledgers: &[(&str, &str)]) -> Args {
        let ledgers = ledgers.iter().map(|(system, place)| ((*system).to_owned(), (*place).to_owned())).collect();
        Args { ledgers, store: None, settle: Duration(0), json: false }
    }

    #[test]
    fn a_ledger_is_given_with_its_system() {
        assert_eq!(ledger("erp=a=b.jsonl"), Ok(("erp".into(), "a=b.jsonl".into())));
        for wrong in ["erp", "=x", "erp="] {
            assert!(ledger(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn ledgers_alone_say_what_they_can_and_the_rest_is_not_checked() {
        let path = std::env::temp_dir().join(format!("crossdock-cli-ledger-{}.jsonl", std::process::id()));
        let create = |seq: u8| {
            format!(
                r#"{{"seq":{seq},"at":1000,"operation":"sales_order.create","key":"k{seq}","channel":"sfcc","site":"DE","order":"1","ref":"SO{seq}","amount":"10.00","currency":"EUR"}}"#
            )
        };
        let two = format!("{}\n{}\n", create(1), create(2));
        std::fs::write(&path, two).expect("the temporary folder takes a file");
        let place = path.to_str().expect("the path is text");
        let report = report(&args(&[("erp", place)])).await;
        std::fs::remove_file(&path).expect("it was just written");
        let report = report.expect("the ledger is read");
        assert!(report.violated().any(|invariant| invariant == Invariant::I2), "two ERP orders for one: {report}");
        assert_eq!(report.exit_code(), 1);
        assert!(report.to_string().contains("I8      not checked"), "{report}");
    }

    #[tokio::test]
    async fn a_ledger_or_a_store_that_is_not_there_is_bad_usage() {
        assert!(matches!(report(&args(&[("erp", "/nowhere/erp.jsonl")])).await, Err(Failure::Usage(_))));
        let args = Args { store: Some("/nowhere/hub.db".into()), ..args(&[]) };
        assert!(matches!(report(&args).await, Err(Failure::Usage(_))));
    }
}
