//! `crossdock backup`: a copy of the store while the hub runs, checked; a checkpoint to be kept elsewhere; the way back.

use crate::{exit::Failure, hub, stores};
use crossdock_canonical::Timestamp;
use crossdock_engine::shell::{RESTORED, clock::Clock};
use crossdock_landscape::{NodeConfig, StoreConfig};
use crossdock_store::{
    AuditVerdict, CursorWrite, FullStore, KeySource,
    checkpoint::{Checkpoint, Since, Walked},
    sqlite::{self, Checked, Options, SqliteStore},
};
use serde::Serialize;
use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

/// No checkpoint is larger by far.
const CHECKPOINT_BYTES_MAX: u64 = 1 << 20;
const ACTOR: &str = "person:command line";

#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "The key file is not in a backup: keep it apart, and without it nothing in a backup can be read. A PostgreSQL store is \
                  backed up with its own tools; `check`, `checkpoint`, `restored` and `settled` serve it too (docs/operations.md).\n\n\
                  Exit codes: 0 ok, 1 found a fault, 2 bad usage."
)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    store: StoreArgs,
    /// The backup's name; its checkpoint is written beside it, as FILE.checkpoint.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Do not read the copy again.
    #[arg(long)]
    unchecked: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Read a backup, or a store in PostgreSQL, whole: its integrity, its audit chain, and whether a checkpoint's tail is in it.
    Check(CheckArgs),
    /// Write the ends of the audit chain into a small sealed file, to be kept where the hub cannot write. The hub may run.
    Checkpoint(CheckpointArgs),
    /// Put a backup where the store is to be, and have the hub ask the systems before it sends anything for the first time.
    Restore(RestoreArgs),
    /// Say that a store was restored to an older point by other means, such as PostgreSQL's own.
    Restored(StoreArgs),
    /// Say that after a restore all is settled: the hub sends again without asking first, from its next start on.
    Settled(StoreArgs),
}

/// Which store.
#[derive(clap::Args, Clone)]
#[group(multiple = false)]
struct StoreArgs {
    /// The landscape whose store it is [default: the current folder].
    #[arg(long, value_name = "DIR")]
    landscape: Option<PathBuf>,
    /// The store's file.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
}

#[derive(clap::Args)]
struct CheckArgs {
    /// The backup.
    #[arg(required_unless_present = "landscape", conflicts_with = "landscape")]
    file: Option<PathBuf>,
    /// A landscape whose store in PostgreSQL is checked, while hubs run on it or not.
    #[arg(long, value_name = "DIR")]
    landscape: Option<PathBuf>,
    /// The hub's key file; without it neither the key nor the checkpoint's seal is checked.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// A checkpoint: what it knew must be there.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct CheckpointArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Where to write it.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

#[derive(clap::Args)]
struct RestoreArgs {
    /// The backup.
    file: PathBuf,
    /// The store's file, which must not be there.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// The hub's key file, copied to its place beside the store unless it is there.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The newest checkpoint: what the backup lacks of it is told.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// What is printed of a backup, new or old.
#[derive(Serialize)]
struct Report {
    file: String,
    bytes: Option<u64>,
    checkpoint: Option<String>,
    #[serde(flatten)]
    checked: Option<Checked>,
    good: bool,
}

pub async fn run(args: Args) -> ExitCode {
    let (report, json) = match (&args.command, &args.to) {
        (Some(Command::Check(args)), _) => (check(args).await, args.json),
        (Some(Command::Restore(args)), _) => (restore(args).await, args.json),
        (Some(Command::Checkpoint(args)), _) => (take_checkpoint(args).await, false),
        (Some(Command::Restored(args)), _) => (mark(args, true).await, false),
        (Some(Command::Settled(args)), _) => (mark(args, false).await, false),
        (None, Some(to)) => (take(&args, to).await, args.json),
        (None, None) => (Err(Failure::usage("say where to, with --to FILE; see --help")), false),
    };
    match report {
        Ok(Some(report)) => {
            if json {
                println!("{}", serde_json::to_string(&report).expect("a report is plain data"));
            } else {
                print!("{report}");
            }
            ExitCode::from(u8::from(!report.good))
        }
        Ok(None) => ExitCode::SUCCESS,
        Err(failure) => failure.exit(),
    }
}

/// A store by its place.
enum Which {
    File(PathBuf),
    Landscape(PathBuf, Box<NodeConfig>),
}

impl StoreArgs {
    fn which(&self) -> Result<Which, Failure> {
        if let Some(file) = &self.store {
            return Ok(Which::File(file.clone()));
        }
        let folder = self.landscape.clone().unwrap_or_else(|| ".".into());
        let node = hub::landscape(&folder).map_err(Failure::usage)?.node().clone();
        match &node.store {
            StoreConfig::Sqlite { path } => Ok(Which::File(folder.join(path))),
            StoreConfig::Postgres { .. } => Ok(Which::Landscape(folder, Box::new(node))),
        }
    }
}

async fn take(args: &Args, to: &Path) -> Result<Option<Report>, Failure> {
    let Which::File(store) = args.store.which()? else {
        return Err(Failure::usage(
            "this store is in PostgreSQL: back it up with pg_basebackup or pg_dump, see docs/operations.md",
        ));
    };
    let options = Options::new(&store);
    let bytes = sqlite::backup(&options, to).map_err(Failure::fault)?;
    let key = options.key;
    // Of the copy, not of the store, which has gone on meanwhile.
    let taken = sqlite::checkpoint_of_backup(to, &key, Clock::System.now()).map_err(Failure::fault)?;
    let checkpoint = beside(to, ".checkpoint");
    write(&checkpoint, &taken)?;
    let checked = match args.unchecked {
        true => None,
        false => Some(sqlite::check_backup(to, Some(&key), Some(&taken)).map_err(Failure::fault)?),
    };
    let good = checked.as_ref().is_none_or(Checked::is_good);
    let checkpoint = Some(checkpoint.display().to_string());
    Ok(Some(Report { file: to.display().to_string(), bytes: Some(bytes), checkpoint, checked, good }))
}

async fn check(args: &CheckArgs) -> Result<Option<Report>, Failure> {
    let wanted = args.checkpoint.as_deref().map(read).transpose()?;
    let (file, checked) = match (&args.file, &args.landscape) {
        (Some(file), _) => {
            let key = args.key_file.clone().map(KeySource::File);
            (file.display().to_string(), sqlite::check_backup(file, key.as_ref(), wanted.as_ref()).map_err(Failure::fault)?)
        }
        (None, folder) => {
            let folder = folder.clone().unwrap_or_else(|| ".".into());
            let store = StoreArgs { landscape: Some(folder.clone()), store: None };
            (folder.display().to_string(), check_database(&store, wanted).await?)
        }
    };
    let good = checked.is_good();
    Ok(Some(Report { file, bytes: None, checkpoint: None, checked: Some(checked), good }))
}

async fn check_database(store: &StoreArgs, wanted: Option<Checkpoint>) -> Result<Checked, Failure> {
    let Which::Landscape(folder, node) = store.which()? else {
        return Err(Failure::usage("the landscape's store is a file: name its backup instead"));
    };
    let database = stores::open_postgres(&node.store, &folder, &node.retention).map_err(Failure::fault)?;
    let walked = match wanted {
        Some(wanted) => database.verify_since(wanted).await,
        None => crossdock_store::ReadStore::verify_audit(&database).await.map(|audit| Walked { audit, since: None }),
    };
    let walked = walked.map_err(Failure::fault)?;
    let (audit_rows, audit_head, audit_broken) = match walked.audit {
        AuditVerdict::Intact { rows, head } => (rows, Some(head), None),
        AuditVerdict::Broken { partition, offset, reason } => {
            (0, None, Some(format!("partition {partition}, row {offset}: {reason}")))
        }
    };
    // It would not have opened under another key.
    let key_fits = Some(true);
    Ok(Checked { integrity: Vec::new(), audit_rows, audit_head, audit_broken, key_fits, since: walked.since })
}

async fn take_checkpoint(args: &CheckpointArgs) -> Result<Option<Report>, Failure> {
    let now = Clock::System.now();
    let taken = match args.store.which()? {
        Which::File(file) => sqlite::checkpoint(&file, &Options::new(&file).key, now).map_err(Failure::fault)?,
        Which::Landscape(folder, node) => {
            let database = stores::open_postgres(&node.store, &folder, &node.retention).map_err(Failure::fault)?;
            database.checkpoint(now).await.map_err(Failure::fault)?
        }
    };
    write(&args.to, &taken)?;
    println!("the ends of {} partitions are in {}", taken.heads.len(), args.to.display());
    Ok(None)
}

async fn restore(args: &RestoreArgs) -> Result<Option<Report>, Failure> {
    let KeySource::File(own) = Options::new(&args.to).key else { return Err(Failure::fault("the key is not in a file")) };
    let key = match (&args.key_file, own.is_file()) {
        (Some(key), _) => key.clone(),
        (None, true) => own.clone(),
        (None, false) => {
            return Err(Failure::usage(format!(
                "{} is missing: say where the hub's key is, with --key-file FILE",
                own.display()
            )));
        }
    };
    let wanted = args.checkpoint.as_deref().map(read).transpose()?;
    let checked =
        sqlite::check_backup(&args.file, Some(&KeySource::File(key.clone())), wanted.as_ref()).map_err(Failure::fault)?;
    // An older point is what a restore goes to; everything else that is wrong stays wrong.
    let usable = Checked { since: checked.since.clone().filter(|since| *since == Since::Forged), ..checked.clone() };
    let file = args.to.display().to_string();
    if !usable.is_good() {
        return Ok(Some(Report {
            file: args.file.display().to_string(),
            bytes: None,
            checkpoint: None,
            checked: Some(checked),
            good: false,
        }));
    }
    if !own.is_file() {
        copy_key(&key, &own).map_err(|e| Failure::fault(format!("{} cannot be written: {e}", own.display())))?;
    }
    sqlite::restore(&args.file, &args.to).map_err(Failure::fault)?;
    let store = SqliteStore::open(&Options::new(&args.to)).map_err(Failure::fault)?;
    set(&store, true, &args.file.display().to_string()).await?;
    eprintln!(
        "The hub will ask the systems before it sends anything for the first time. When no exception is left of it, say \
         `crossdock backup settled --store {file}`."
    );
    Ok(Some(Report { file, bytes: None, checkpoint: None, checked: Some(checked), good: true }))
}

async fn mark(args: &StoreArgs, restored: bool) -> Result<Option<Report>, Failure> {
    let store: Arc<dyn FullStore> = match args.which()? {
        Which::File(file) => Arc::new(crate::source::open(&file)?),
        Which::Landscape(folder, node) => stores::open(&node.store, &folder, &node.retention).map_err(Failure::fault)?,
    };
    set(&*store, restored, "by word").await?;
    println!("noted; it holds from the hub's next start on");
    Ok(None)
}

async fn set(store: &dyn FullStore, restored: bool, how: &str) -> Result<(), Failure> {
    let now: Timestamp = Clock::System.now();
    let body = if restored { now.0.to_string().into_bytes() } else { Vec::new() };
    store.set_cursor(CursorWrite { name: RESTORED.into(), body, seen: None }).await.map_err(Failure::fault)?;
    let action = if restored { "restored" } else { "settled" };
    store.record_audit(now, ACTOR, action, how).await.map_err(Failure::fault)
}

/// Readable by its owner only, from the beginning.
fn copy_key(from: &Path, to: &Path) -> std::io::Result<()> {
    let key = fs::read(from)?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(to)?;
    std::io::Write::write_all(&mut file, &key)?;
    file.sync_all()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn write(path: &Path, taken: &Checkpoint) -> Result<(), Failure> {
    let text = serde_json::to_string(taken).map_err(Failure::fault)?;
    let failed = |e: std::io::Error| Failure::fault(format!("{} cannot be written: {e}", path.display()));
    fs::write(path, text).and_then(|()| fs::File::open(path)?.sync_all()).map_err(failed)
}

fn read(path: &Path) -> Result<Checkpoint, Failure> {
    let failed = |reason: String| Failure::usage(format!("{} is no checkpoint: {reason}", path.display()));
    let size = fs::metadata(path).map_err(|e| failed(e.to_string()))?.len();
    if size > CHECKPOINT_BYTES_MAX {
        return Err(failed(format!("it has {size} bytes")));
    }
    let text = fs::read_to_string(path).map_err(|e| failed(e.to_string()))?;
    serde_json::from_str(&text).map_err(|e| failed(e.to_string()))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes {
            Some(bytes) => writeln!(f, "{}: {bytes} bytes", self.file)?,
            None => writeln!(f, "{}", self.file)?,
        }
        if let Some(checkpoint) = &self.checkpoint {
            writeln!(f, "  checkpoint   {checkpoint}: keep it where the hub cannot write")?;
        }
        let Some(checked) = &self.checked else { return writeln!(f, "  not checked") };
        match checked.integrity.as_slice() {
            [] => writeln!(f, "  integrity    ok")?,
            faults => faults.iter().try_for_each(|fault| writeln!(f, "  integrity    {fault}"))?,
        }
        match (&checked.audit_head, &checked.audit_broken) {
            (_, Some(reason)) => writeln!(f, "  audit chain  broken: {reason}")?,
            (head, None) => {
                writeln!(f, "  audit chain  ok: {} rows, head {}", checked.audit_rows, head.as_deref().unwrap_or_default())?;
            }
        }
        match checked.key_fits {
            Some(true) => writeln!(f, "  key          fits")?,
            Some(false) => writeln!(f, "  key          is not the one this store was made with")?,
            None => writeln!(f, "  key          not checked: give --key-file")?,
        }
        match &checked.since {
            None => writeln!(f, "  tail         not checked: give --checkpoint"),
            Some(Since::Contained) => writeln!(f, "  tail         ok: all that the checkpoint knew is there"),
            Some(Since::Forged) => writeln!(f, "  tail         the checkpoint was changed, or belongs to another hub"),
            Some(Since::CutOff { partitions, partition, known, found }) => writeln!(
                f,
                "  tail         older than the checkpoint in {partitions} partitions: {partition} ends at offset {found}, which was {known}"
            ),
        }
    }
}
