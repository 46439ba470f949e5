//! The processes of the benchmark: started from this program, spoken to by lines of JSON, measured through `/proc`.
//!
//! A child lives as long as its standard input, so that none is left behind whatever becomes of its parent.

use crate::exit;
use serde_json::Value;
use std::{
    fmt::Display,
    fs,
    io::Write,
    process::{ExitCode, Stdio},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child as Process, ChildStdin, ChildStdout, Command},
    sync::mpsc,
};

/// Clock ticks a second in `/proc`, the same on every Linux that is in use.
const TICKS: u64 = 100;

pub struct Child {
    /// Kept so that it is killed with its parent.
    _process: Process,
    id: u32,
    stdin: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// What it said of itself at its start.
    pub told: Value,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub cpu_ms: u64,
    /// Bytes sent to the disk.
    pub written: u64,
    /// Resident memory, now and at its most.
    pub resident: u64,
    pub peak: u64,
}

impl Child {
    /// Starts this program again and waits for its first line.
    pub async fn start(args: &[&str]) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|e| format!("this program cannot be found: {e}"))?;
        let mut process = Command::new(program)
            .arg("bench")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("{} did not start: {e}", args[0]))?;
        let (Some(stdin), Some(stdout), Some(id)) = (process.stdin.take(), process.stdout.take(), process.id()) else {
            return Err(format!("{} ended at its start", args[0]));
        };
        let mut child = Self { _process: process, id, stdin, answers: BufReader::new(stdout).lines(), told: Value::Null };
        child.told = child.read().await?;
        Ok(child)
    }

    pub async fn ask(&mut self, command: &str) -> Result<Value, String> {
        let line = format!("{command}\n");
        self.stdin.write_all(line.as_bytes()).await.map_err(|e| format!("{command}: the child has gone: {e}"))?;
        self.read().await
    }

    async fn read(&mut self) -> Result<Value, String> {
        match self.answers.next_line().await {
            Ok(Some(line)) => serde_json::from_str(&line).map_err(|e| format!("{line:?}: {e}")),
            Ok(None) => Err("a child ended early; what it said stands above".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Text that the child told at its start.
    pub fn text(&self, name: &str) -> &str {
        self.told[name].as_str().unwrap_or_default()
    }

    pub fn usage(&self) -> Result<Usage, String> {
        Ok(Figures::of(self.id)?.usage)
    }
}

impl Usage {
    /// Of a process and all it began, those that have ended among them. Memory is not added up: they share it.
    pub fn of_family(parent: u32) -> Result<Self, String> {
        let Figures { mut usage, ended_cpu_ms } = Figures::of(parent)?;
        usage.cpu_ms += ended_cpu_ms;
        for child in read(parent, &format!("task/{parent}/children"))?.split_whitespace().filter_map(|id| id.parse().ok()) {
            // One that ends meanwhile is its parent's to count.
            if let Ok(Figures { usage: of, ended_cpu_ms }) = Figures::of(child) {
                usage.cpu_ms += of.cpu_ms + ended_cpu_ms;
                usage.written += of.written;
            }
        }
        Ok(usage)
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.cpu_ms += other.cpu_ms;
        self.written += other.written;
        self.resident += other.resident;
        self.peak += other.peak;
    }
}

/// What `/proc` says of one process.
struct Figures {
    usage: Usage,
    /// Of its children that have ended.
    ended_cpu_ms: u64,
}

impl Figures {
    fn of(id: u32) -> Result<Self, String> {
        let (stat, io, status) = (read(id, "stat")?, read(id, "io")?, read(id, "status")?);
        let number = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0)
        };
        // The fields after the name, which may hold anything but ends with the last parenthesis: user and system ticks, its own and
        // those of its children.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let cpu_ms = |first: usize| {
            let ticks: u64 = fields.iter().skip(first).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
            ticks * 1_000 / TICKS
        };
        let usage = Usage {
            cpu_ms: cpu_ms(11),
            written: number(&io, "write_bytes:"),
            resident: number(&status, "VmRSS:") * 1_024,
            peak: number(&status, "VmHWM:") * 1_024,
        };
        Ok(Self { usage, ended_cpu_ms: cpu_ms(13) })
    }
}

fn read(id: u32, file: &str) -> Result<String, String> {
    let path = format!("/proc/{id}/{file}");
    fs::read_to_string(&path).map_err(|e| format!("{path}: {e} (the benchmark measures through /proc, which Linux has)"))
}

/// The commands a child gets.
pub struct Commands(mpsc::UnboundedReceiver<String>);

impl Commands {
    /// Says that the child is ready, and how it is reached.
    pub fn start(told: &Value) -> Self {
        let (tell, told_to) = mpsc::unbounded_channel();
        // Standard input blocks whoever reads it. The thread ends with it, and so with the parent.
        std::thread::spawn(move || {
            for line in std::io::stdin().lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        let mut commands = Self(told_to);
        commands.answer(told);
        commands
    }

    /// `None` when the parent has gone or is done.
    pub async fn next(&mut self) -> Option<String> {
        self.0.recv().await
    }

    pub fn answer(&mut self, answer: &Value) {
        // A parent that has gone also ended the commands.
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{answer}").and_then(|()| out.flush());
    }
}

/// Runs the body of a child.
pub async fn serve(body: impl Future<Output = Result<(), impl Display>>) -> ExitCode {
    match body.await {
        Ok(()) => exit::OK,
        Err(error) => exit::fault(error),
    }
}
