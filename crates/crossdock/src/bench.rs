//! `crossdock bench order-flow`: how many orders the hub carries through six durable effects, and what one costs.
//!
//! Two workloads in one run, over real sockets and a real store that syncs every commit. *engine*: an opaque order, trivial bodies,
//! no archive, so that nothing but the engine and the store is measured. *full*: a Salesforce order, mapped by the very connectors a
//! landscape uses, archived, traced, audited and sealed. Beside each runs *raw*: the same calls by the same client with the same
//! mapping, and nothing durable.
//!
//! With `--store postgres` the hub keeps its orders in a PostgreSQL of the benchmark's own, alone and with other hubs beside it.
//!
//! Hub, outside systems and raw caller are processes of their own (this program, started again with a hidden command), so that the
//! CPU time of one is exactly its own. What each figure means is in `docs/performance.md`.

mod child;
mod cluster;
mod fill;
mod flow;
mod hub;
mod load;
mod opaque;
mod orders;
mod raw;
mod report;
mod rounds;
mod stub;
mod systems;
mod watch;

use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Orders through six effects: orders a second, latencies, CPU, bytes and memory, each beside the same calls without a hub.
    OrderFlow(rounds::Args),
    /// The hub under measurement.
    #[command(hide = true)]
    Hub(hub::Args),
    /// The outside systems.
    #[command(hide = true)]
    Stub,
    /// The same calls without a hub.
    #[command(hide = true)]
    Raw(raw::Args),
    /// Fills a store with closed orders.
    #[command(hide = true)]
    Fill(fill::Args),
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    Engine,
    Full,
}

impl Workload {
    pub const ALL: [Self; 2] = [Self::Engine, Self::Full];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Full => "full",
        }
    }
}

pub async fn run(args: Args) -> ExitCode {
    crate::run::logs();
    match args.what {
        What::OrderFlow(args) => rounds::run(args).await,
        What::Hub(args) => child::serve(hub::run(args)).await,
        What::Stub => child::serve(stub::run()).await,
        What::Raw(args) => child::serve(raw::run(args)).await,
        What::Fill(args) => child::serve(fill::run(args)).await,
    }
}
