//! `crash`: power cuts without a power cut. Records what SQLite writes and syncs under orders that are accepted and moved on, then
//! builds files as a disk may hold them after the power failed at some instant, opens each as a hub would, and looks for what had
//! been answered and is gone.
//!
//! How images are built and judged is the store's own business (`crossdock_store::crash`); here are the numbers, the two controls and
//! the verdict. The controls run the same orders with the syncs left out. They must lose something, or the campaign has proved
//! nothing and fails.
//!
//! An image is named by seed and number over one recording, and a recording is of real threads: no two are the same. What is found is
//! therefore shown by its kind and range, and another recording finds its like.

use crossdock_store::{
    Durability,
    crash::{Log, Verdict, Workload, campaign, record},
};
use serde::Serialize;
use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// Images a thread takes at a time: playing the recording once costs as much as a few of them.
const CHUNK: u64 = 250;
/// Images of each control. The weaker one loses something in most.
const CONTROL_IMAGES: u64 = 200;

#[derive(clap::Args)]
pub struct Args {
    /// How many images.
    #[arg(long, default_value_t = 10_000)]
    count: u64,
    /// Decides where the power fails and what of the un-synced writes is kept.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The number of the first image: goes on where an earlier run ended.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Images at once.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Which store.
    #[arg(long, value_enum, default_value_t = Which::Sqlite)]
    store: Which,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    Sqlite,
    /// A server recovers each image: a thousand of them take as long as a million of the file's.
    Postgres,
}

/// What a campaign found.
#[derive(Serialize)]
pub struct Report {
    pub seed: u64,
    pub from: u64,
    pub images: u64,
    /// Where a following run goes on.
    pub next: u64,
    pub seconds: f64,
    pub images_a_second: f64,
    /// What the recording holds.
    pub events: usize,
    pub syncs: usize,
    pub answers: usize,
    pub full: Count,
    pub normal: Count,
    pub off: Count,
    pub verdict: &'static str,
}

/// A verdict of the store's, for printing.
#[derive(Clone, Copy, Default, Serialize)]
pub struct Count {
    pub images: u64,
    /// That do not open, or whose integrity or audit chain is broken.
    pub corrupt: u64,
    /// That hold half a transaction.
    pub halves: u64,
    /// That lost something that was answered.
    pub losing: u64,
    /// Most answers one image lost.
    pub worst: u64,
}

pub fn run(args: &Args) -> ExitCode {
    if args.store == Which::Postgres {
        return match crate::crash_postgres::examine(args.seed, args.count, args.threads) {
            Ok(report) => tell(&report, args.json, report.is_good()),
            Err(reason) => {
                eprintln!("crash: {reason}");
                ExitCode::from(2)
            }
        };
    }
    let report = match examine(args.seed, args.from..args.from.saturating_add(args.count), args.threads.max(1)) {
        Ok(report) => report,
        Err(reason) => {
            eprintln!("crash: {reason}");
            return ExitCode::from(2);
        }
    };
    tell(&report, args.json, report.is_good())
}

fn tell<R: Serialize + fmt::Display>(report: &R, json: bool, good: bool) -> ExitCode {
    if json {
        println!("{}", serde_json::to_string(report).expect("a report is plain data"));
    } else {
        print!("{report}");
    }
    ExitCode::from(u8::from(!good))
}

/// Checks the images of these numbers and both controls.
#[expect(clippy::disallowed_methods, reason = "the campaign's own stopwatch; nothing is decided by it")]
pub fn examine(seed: u64, images: Range<u64>, threads: usize) -> Result<Report, String> {
    let begun = Instant::now();
    let log = recording(Durability::Full)?;
    let full = check(&log, seed, images.clone(), threads)?;
    let seconds = begun.elapsed().as_secs_f64();
    let control = |durability| check(&recording(durability)?, seed, 0..CONTROL_IMAGES, threads);
    let (normal, off) = (control(Durability::Normal)?, control(Durability::Off)?);
    let counted = images.end.saturating_sub(images.start);
    let report = Report {
        seed,
        from: images.start,
        images: counted,
        next: images.end,
        seconds,
        images_a_second: counted as f64 / seconds,
        events: log.len(),
        syncs: log.syncs(),
        answers: log.answers(),
        full,
        normal,
        off,
        verdict: "",
    };
    Ok(Report { verdict: report.word(), ..report })
}

fn recording(durability: Durability) -> Result<Log, String> {
    let folder = Scratch::new()?;
    // Long enough for several checkpoints and a reset of the log, short enough that an image is checked in a millisecond or two.
    let workload = Workload { orders: 90, transitions: 4, in_flight: 8, checkpoint_pages: 60, durability };
    record(&workload, folder.path()).map_err(|e| format!("the workload cannot be recorded: {e}"))
}

fn check(log: &Log, seed: u64, images: Range<u64>, threads: usize) -> Result<Count, String> {
    let next = AtomicU64::new(images.start);
    let total = Mutex::new(Ok(Count::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let start = next.fetch_add(CHUNK, Ordering::Relaxed);
                    if start >= images.end {
                        return;
                    }
                    let found = Scratch::new().and_then(|scratch| {
                        campaign(log, seed, start..images.end.min(start + CHUNK), &scratch.path().join("image"))
                            .map_err(|e| format!("an image cannot be written: {e}"))
                    });
                    let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                    match (&mut *total, found) {
                        (Ok(count), Ok(verdict)) => count.add(verdict),
                        (Ok(_), Err(reason)) => *total = Err(reason),
                        (Err(_), _) => return,
                    }
                }
            });
        }
    });
    total.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.word() == "good"
    }

    fn word(&self) -> &'static str {
        if !self.full.is_clean() {
            "what was answered is lost, or a file is damaged"
        } else if self.normal.is_clean() || self.off.is_clean() {
            "a control lost nothing, so this proves nothing"
        } else {
            "good"
        }
    }
}

impl Count {
    fn add(&mut self, verdict: Verdict) {
        self.images += verdict.images;
        self.corrupt += verdict.corrupt;
        self.halves += verdict.halves;
        self.losing += verdict.losing;
        self.worst = self.worst.max(verdict.worst);
    }

    /// Adds what another thread counted.
    pub(crate) fn join(&mut self, other: Self) {
        self.images += other.images;
        self.corrupt += other.corrupt;
        self.halves += other.halves;
        self.losing += other.losing;
        self.worst = self.worst.max(other.worst);
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.images > 0 && self.corrupt == 0 && self.halves == 0 && self.losing == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { images, from, seed, seconds, images_a_second, events, syncs, answers, .. } = self;
        writeln!(f, "{images} images from {from} of seed {seed} in {seconds:.1} s: {images_a_second:.0} a second")?;
        writeln!(f, "recorded {events} events with {syncs} syncs and {answers} answers")?;
        writeln!(f, "{:<24}{:>9}{:>9}{:>9}{:>9}{:>9}", "", "images", "corrupt", "halves", "losing", "worst")?;
        for (name, count) in [("full", self.full), ("control normal", self.normal), ("control off", self.off)] {
            let Count { images, corrupt, halves, losing, worst } = count;
            writeln!(f, "{name:<24}{images:>9}{corrupt:>9}{halves:>9}{losing:>9}{worst:>9}")?;
        }
        writeln!(f, "{}; go on with --from {}", self.verdict, self.next)
    }
}

/// A folder whose files are in memory, where the machine has one.
pub(crate) fn memory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// A folder of its own, in memory where there is such a place, removed when dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Result<Self, String> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self::within(&memory(), &format!("crossdock-crash-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    /// A new folder in another.
    pub fn within(parent: &Path, name: &str) -> Result<Self, String> {
        let path = parent.join(name);
        std::fs::create_dir_all(&path).map_err(|e| format!("{} cannot be made: {e}", path.display()))?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
