//! `crossdock trace ORDER`: the whole life of one order with every attempt, from the journals of its order and payment processes.

mod life;
#[cfg(test)]
mod tests;
mod text;

use crate::{
    exit::{self, Failure},
    source::{self, Found, Source},
};
use crossdock_store::ProcessKey;
use life::{Journal, Life};
use std::process::ExitCode;

/// Candidates shown when a number means several orders.
const SHOWN_MAX: usize = 20;

#[derive(clap::Args)]
pub struct Args {
    /// The order: its number if only one order has it, `site/number`, or `channel/site/number`.
    order: String,
    #[command(flatten)]
    source: source::Args,
    #[command(flatten)]
    key: source::KeyArgs,
    /// Print the life as JSON.
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args) -> ExitCode {
    match traced(&args).await {
        Ok(life) if args.json => {
            println!("{}", serde_json::to_string_pretty(&life).expect("a life is plain data with string keys"));
            exit::OK
        }
        Ok(life) => {
            print!("{life}");
            exit::OK
        }
        Err(failure) => failure.exit(),
    }
}

async fn traced(args: &Args) -> Result<Life, Failure> {
    let source = Source::open(&args.source, &args.key)?;
    let order = find(&source, &args.order).await?;
    life(&source, &order).await
}

/// The key of the one order that a text means: `channel/site/number`.
pub async fn find(source: &Source, text: &str) -> Result<String, Failure> {
    let parts: Vec<&str> = text.split('/').collect();
    let (site, number) = match parts[..] {
        [_, _, _] => return Ok(text.to_owned()),
        [site, number] => (Some(site), number),
        [number] => (None, number),
        _ => return Err(Failure::usage(format!("{text:?} is no order: a number, site/number or channel/site/number"))),
    };
    let on_site = |order: &Found| site.is_none_or(|site| order.site == site);
    let found: Vec<Found> = source.orders(number).await?.into_iter().filter(on_site).collect();
    // A search finds beginnings of numbers and other systems' ids; the number itself goes first, then ids.
    let exact: Vec<&Found> = found.iter().filter(|order| order.number == number).collect();
    let theirs: Vec<&Found> = found.iter().filter(|order| !order.number.starts_with(number)).collect();
    let meant = if exact.is_empty() { theirs } else { exact };
    match meant[..] {
        [] => Err(Failure::fault(format!("there is no order {text}"))),
        [order] => Ok(key_of(order)),
        _ => {
            let mut listed: Vec<String> = meant
                .iter()
                .take(SHOWN_MAX)
                .map(|order| format!("  {}  {} {}", key_of(order), order.status, order.stage))
                .collect();
            if meant.len() > SHOWN_MAX {
                listed.push(format!("  and {} more", meant.len() - SHOWN_MAX));
            }
            Err(Failure::usage(format!("{text} is {} orders; name one of them:\n{}", meant.len(), listed.join("\n"))))
        }
    }
}

fn key_of(order: &Found) -> String {
    order.id.split_once(':').map_or(order.id.as_str(), |(_, key)| key).to_owned()
}

/// Reads the order's processes.
async fn life(source: &Source, order: &str) -> Result<Life, Failure> {
    let mut journals = Vec::new();
    for kind in ["order", "payment"] {
        let key = ProcessKey::new(kind, order);
        if let Some(whole) = source.process(&key).await? {
            journals.push(Journal { kind, whole, rows: source.journal(&key).await? });
        }
    }
    Life::new(order, journals).ok_or_else(|| Failure::fault(format!("there is no order {order}")))
}
