//! `crossdock store move`: from the file into PostgreSQL, with everything that is under way.

use crate::{exit::Failure, hub, stores};
use crossdock_landscape::StoreConfig;
use crossdock_store::{
    KeySource, Options, PostgresOptions,
    transfer::{self, Move, MoveError, Moved, Phase, Progress},
};
use serde::Serialize;
use std::{
    fmt,
    io::IsTerminal,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// What one answer of the target may take: it writes and reads whole batches.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Move a hub's store from its file into an empty PostgreSQL database. Ended at any moment, it goes on when it is run again.
    Move(MoveArgs),
}

#[derive(clap::Args)]
#[command(
    after_help = "The hub must be stopped. Afterwards it is started on the database, with the same key file, and goes on where each \
                  process stood; the file is marked as moved and no hub opens it any more.\n\n\
                  Exit codes: 0 moved and both sides equal, 1 not, 2 bad usage."
)]
struct MoveArgs {
    /// The store file of the stopped hub.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Its key file [default: FILE.key].
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The database: an address such as postgresql://user@host/database, or env:NAME or file:PATH that holds it.
    #[arg(long, value_name = "ADDRESS", required_unless_present = "landscape", conflicts_with = "landscape")]
    to: Option<String>,
    /// Certificates to trust instead of the public ones, PEM.
    #[arg(long, value_name = "FILE", conflicts_with = "landscape")]
    certificates: Option<PathBuf>,
    /// A landscape whose `store` is the database.
    #[arg(long, value_name = "DIR")]
    landscape: Option<PathBuf>,
    /// Most rows of one batch.
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// What is printed.
#[derive(Serialize)]
struct Report {
    from: String,
    #[serde(flatten)]
    moved: Moved,
    seconds: f64,
}

pub fn run(args: &Args) -> ExitCode {
    let Command::Move(args) = &args.command;
    match moved(args) {
        Ok(report) if args.json => {
            println!("{}", serde_json::to_string(&report).expect("a report is plain data"));
            ExitCode::SUCCESS
        }
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(failure) => failure.exit(),
    }
}

fn moved(args: &MoveArgs) -> Result<Report, Failure> {
    if !args.from.is_file() {
        return Err(Failure::usage(format!("there is no store at {}", args.from.display())));
    }
    let mut from = Options::new(&args.from);
    if let Some(key) = &args.key_file {
        from.key = KeySource::File(key.clone());
    }
    let (url, certificates) = target(args, &from.key)?;
    let to = PostgresOptions { certificates, answer_within: ANSWER_WITHIN, ..PostgresOptions::new(url, from.key.clone()) };
    let what = Move { batch_rows: args.batch as usize, ..Move::new(from, to) };
    let watch = crossdock_engine::shell::clock::Stopwatch::start();
    let moved = transfer::run(&what, &mut teller()).map_err(|error| match error {
        MoveError::Target(e) => Failure::fault(format!("the database: {e}; what was copied stays, run it again")),
        other => Failure::fault(other),
    })?;
    Ok(Report { from: args.from.display().to_string(), moved, seconds: watch.elapsed().0 as f64 / 1_000.0 })
}

/// The database's address, and certificates. A landscape's key file must be the store's.
fn target(args: &MoveArgs, key: &KeySource) -> Result<(String, Option<PathBuf>), Failure> {
    let Some(folder) = &args.landscape else {
        let to = args.to.as_deref().unwrap_or_default();
        let url = if to.starts_with("postgres") { to.to_owned() } else { stores::address(to).map_err(Failure::usage)? };
        return Ok((url, args.certificates.clone()));
    };
    let landscape = hub::landscape(folder).map_err(Failure::usage)?;
    let StoreConfig::Postgres { url, key_file, certificates } = &landscape.node().store else {
        return Err(Failure::usage(format!("the store of {} is no PostgreSQL database", folder.display())));
    };
    if let KeySource::File(own) = key {
        same_key(own, &folder.join(key_file))?;
    }
    let url = stores::address(url).map_err(Failure::usage)?;
    Ok((url, certificates.as_ref().map(|path| folder.join(path))))
}

/// Found before the move rather than at the hub's start.
fn same_key(own: &Path, theirs: &Path) -> Result<(), Failure> {
    let read = |path: &Path| std::fs::read(path).map_err(|e| format!("{} cannot be read ({e})", path.display()));
    let copy = format!("copy {} there: the hub needs the key that the store was made with", own.display());
    match (read(own), read(theirs)) {
        (Ok(own), Ok(theirs)) if own == theirs => Ok(()),
        (Ok(_), Ok(_)) => Err(Failure::usage(format!("the landscape's key file {} holds another key; {copy}", theirs.display()))),
        (Err(reason), _) => Err(Failure::usage(reason)),
        (_, Err(reason)) => Err(Failure::usage(format!("{reason}; {copy}"))),
    }
}

/// A line a table on standard error, where somebody looks.
fn teller() -> impl FnMut(Progress) -> ControlFlow<()> {
    let looks = std::io::stderr().is_terminal();
    move |progress| {
        let Progress { phase, table, done, of } = progress;
        if looks {
            let word = if phase == Phase::Copy { "copied" } else { "verified" };
            eprintln!("{table}: {done} of {of} rows {word}");
        }
        ControlFlow::Continue(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, moved, seconds } = self;
        for same in &moved.tables {
            writeln!(f, "{:<16}{:>12} rows  {}", same.table, same.rows, same.sha256)?;
        }
        writeln!(f, "audit chain: {} rows, head {}", moved.audit_rows, moved.audit_head)?;
        let again = if moved.resumed { ", resumed" } else { "" };
        writeln!(
            f,
            "{from} is moved: both sides are equal ({seconds:.1} s{again}). Start the hub on the database, with the same key file."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_that_is_missing_or_another_is_found_before_the_move() {
        let folder = std::env::temp_dir().join(format!("crossdock-store-move-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = |name: &str, key: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, key).expect("writes");
            path
        };
        let (own, same, other) = (file("own", &[1; 32]), file("same", &[1; 32]), file("other", &[2; 32]));
        assert_eq!(same_key(&own, &same), Ok(()));
        assert!(matches!(same_key(&own, &other), Err(Failure::Usage(told)) if told.contains("another key")));
        assert!(matches!(same_key(&own, &folder.join("none")), Err(Failure::Usage(told)) if told.contains("copy")));
        std::fs::remove_dir_all(&folder).expect("it was just made");
    }
}
