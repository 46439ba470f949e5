//! `bugs`: bugs planted on purpose. Each is one replacement in one file, and names the test that must fail because of it.
//!
//! The workspace is copied below `target/bugs` and built there. First every named test runs on the unchanged copy, where it must
//! pass; then each bug is planted alone, its test must fail, and the file is restored. A bug that does not compile is not caught,
//! and one whose text is no longer found exactly once is stale: both are failures of this list, not of the hub.

use crate::program;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// Folders that are not copied.
const LEFT_OUT: [&str; 4] = ["target", ".git", "node_modules", "peers"];

#[derive(clap::Args)]
pub struct Args {
    /// Only bugs whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Only check that every bug can be planted; nothing is built.
    #[arg(long)]
    dry: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// The first bug to plant, from 0.
    #[arg(long, default_value_t = 0)]
    seed: usize,
    /// How many bugs to plant.
    #[arg(long, default_value_t = usize::MAX)]
    count: usize,
}

/// One planted bug.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bug {
    /// What is wrong, as one would say it.
    pub name: String,
    /// Below the workspace.
    pub file: String,
    /// Occurs exactly once in the file.
    pub find: String,
    pub replace: String,
    pub package: String,
    /// `lib` or the name of a test binary.
    pub target: String,
    /// The whole path of the test.
    pub test: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The named test failed.
    Caught,
    /// The named test passed all the same.
    Missed,
    /// It does not compile with the bug.
    NotBuilt,
    /// The named test did not end in time.
    TimedOut,
    /// The tests ended before the named one had a result: killed, aborted.
    Crashed,
    /// The text to replace is not there exactly once.
    Stale,
    /// The named test does not pass, or does not exist, without the bug.
    NoTest,
    /// Looked at without building.
    Plantable,
}

#[derive(Serialize)]
struct Line<'b> {
    name: &'b str,
    test: &'b str,
    end: End,
    /// What the named test said when it failed.
    told: &'b str,
}

pub fn run(args: &Args) -> ExitCode {
    match campaign(args) {
        Ok(well) => ExitCode::from(u8::from(!well)),
        Err(error) => {
            eprintln!("bugs: {error}");
            ExitCode::from(2)
        }
    }
}

/// The list, in the order it was written.
pub fn all() -> Result<Vec<Bug>, String> {
    serde_json::from_str(include_str!("../bugs/bugs.json")).map_err(|e| format!("bugs/bugs.json: {e}"))
}

/// Whether a bug's text is in its file exactly once.
pub fn can_be_planted(root: &Path, bug: &Bug) -> bool {
    fs::read_to_string(root.join(&bug.file)).is_ok_and(|text| text.matches(&bug.find).count() == 1 && bug.find != bug.replace)
}

/// The workspace this was built from.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn campaign(args: &Args) -> Result<bool, String> {
    let wanted = |bug: &Bug| args.only.as_ref().is_none_or(|part| bug.name.contains(part.as_str()));
    let bugs: Vec<Bug> = all()?.into_iter().filter(wanted).skip(args.seed).take(args.count).collect();
    let root = workspace();
    if args.dry {
        let end = |bug| if can_be_planted(&root, bug) { End::Plantable } else { End::Stale };
        let ends = bugs.iter().map(|bug| (end(bug), String::new())).collect::<Vec<_>>();
        return Ok(report(args, &bugs, &ends));
    }
    let copy = Copy::of(&root).map_err(|e| format!("the workspace cannot be copied: {e}"))?;
    let passing = copy.passing(&bugs)?;
    let mut ends = Vec::new();
    for bug in &bugs {
        let (end, told) = if passing.contains(&bug.test) { copy.plant(bug)? } else { (End::NoTest, String::new()) };
        eprintln!("{:<10} {}", word(end), bug.name);
        ends.push((end, told));
    }
    Ok(report(args, &bugs, &ends))
}

fn report(args: &Args, bugs: &[Bug], ends: &[(End, String)]) -> bool {
    let lines: Vec<Line<'_>> =
        bugs.iter().zip(ends).map(|(bug, (end, told))| Line { name: &bug.name, test: &bug.test, end: *end, told }).collect();
    let well = ends.iter().filter(|(end, _)| matches!(end, End::Caught | End::Plantable)).count();
    if args.json {
        println!("{}", serde_json::json!({"bugs": bugs.len(), "caught": well, "lines": lines}));
    } else {
        for line in &lines {
            println!("{:<10} {:<62} {}", word(line.end), line.name, line.test);
        }
        println!("{well} of {}", bugs.len());
    }
    well == bugs.len()
}

fn word(end: End) -> &'static str {
    match end {
        End::Caught => "caught",
        End::Missed => "MISSED",
        End::NotBuilt => "NOT BUILT",
        End::TimedOut => "TIMED OUT",
        End::Crashed => "CRASHED",
        End::Stale => "STALE",
        End::NoTest => "NO TEST",
        End::Plantable => "plantable",
    }
}

/// What `timeout` exits with when it had to end the command.
const TIMED_OUT: i32 = 124;
const TOLD_MAX: usize = 160;

/// The workspace's copy in which bugs are planted.
struct Copy {
    root: PathBuf,
    target: PathBuf,
}

impl Copy {
    fn of(workspace: &Path) -> io::Result<Self> {
        let place = workspace.join("target/bugs");
        let copy = Self { root: place.join("workspace"), target: place.join("target") };
        // Files that did not change keep their times, so that cargo builds only what is new.
        copy_folder(workspace, &copy.root)?;
        Ok(copy)
    }

    /// The named tests that pass without any bug.
    fn passing(&self, bugs: &[Bug]) -> Result<BTreeSet<String>, String> {
        let groups: BTreeSet<(&str, &str)> = bugs.iter().map(|bug| (bug.package.as_str(), bug.target.as_str())).collect();
        let mut passing = BTreeSet::new();
        for (package, target) in groups {
            let tests: BTreeSet<&str> =
                bugs.iter().filter(|b| b.package == package && b.target == target).map(|b| b.test.as_str()).collect();
            let tests: Vec<&str> = tests.into_iter().collect();
            let ran = self.test(package, target, &tests)?;
            if !ran.built {
                return Err(format!("{package} does not build without any bug:\n{}", ran.text));
            }
            passing.extend(tests.into_iter().filter(|test| ran.text.contains(&format!("test {test} ... ok"))).map(str::to_owned));
        }
        Ok(passing)
    }

    fn plant(&self, bug: &Bug) -> Result<(End, String), String> {
        let file = self.root.join(&bug.file);
        let failed = |e: io::Error| format!("{}: {e}", bug.file);
        if !can_be_planted(&self.root, bug) {
            return Ok((End::Stale, String::new()));
        }
        let text = fs::read_to_string(&file).map_err(failed)?;
        fs::write(&file, text.replacen(&bug.find, &bug.replace, 1)).map_err(failed)?;
        let ran = self.test(&bug.package, &bug.target, &[&bug.test]);
        fs::write(&file, text).map_err(failed)?;
        let ran = ran?;
        Ok((ran.end_of(&bug.test), ran.told()))
    }

    fn test(&self, package: &str, target: &str, tests: &[&str]) -> Result<Ran, String> {
        let mut command = program::cargo();
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target).env("RUST_BACKTRACE", "0");
        command.args(["test", "--quiet", "--package", package]);
        match target {
            "lib" => command.arg("--lib"),
            other => command.args(["--test", other]),
        };
        // One bug may make a test run for ever; its build may not.
        let build = command.arg("--no-run").output().map_err(|e| format!("cargo cannot be started: {e}"))?;
        if !build.status.success() {
            return Ok(Ran { built: false, timed_out: false, text: String::from_utf8_lossy(&build.stderr).into_owned() });
        }
        let mut command = Command::new("timeout");
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target).env("RUST_BACKTRACE", "0");
        program::forget_our_package(&mut command);
        command.arg("300").arg(std::env::var_os("CARGO").as_deref().unwrap_or(OsStr::new("cargo")));
        command.args(["test", "--package", package]);
        match target {
            "lib" => command.arg("--lib"),
            other => command.args(["--test", other]),
        };
        let output =
            command.args(["--", "--exact"]).args(tests).output().map_err(|e| format!("`timeout` cannot be started: {e}"))?;
        let timed_out = output.status.code() == Some(TIMED_OUT);
        Ok(Ran { built: true, timed_out, text: String::from_utf8_lossy(&output.stdout).into_owned() })
    }
}

struct Ran {
    built: bool,
    timed_out: bool,
    text: String,
}

impl Ran {
    /// Only the named test's own failure counts as caught.
    fn end_of(&self, test: &str) -> End {
        let said = |word: &str| self.text.contains(&format!("test {test} ... {word}"));
        match self.built {
            false => End::NotBuilt,
            true if said("ok") => End::Missed,
            true if said("FAILED") => End::Caught,
            true if self.timed_out => End::TimedOut,
            true => End::Crashed,
        }
    }

    /// The line with which the test failed.
    fn told(&self) -> String {
        let mut lines = self.text.lines().skip_while(|line| !line.contains("panicked at")).skip(1);
        lines.next().unwrap_or_default().chars().take(TOLD_MAX).collect()
    }
}

/// Makes `to` the same as `from`: copies what differs, removes what is gone.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        let (source, target) = (entry.path(), to.join(&name));
        names.insert(name);
        if entry.file_type()?.is_dir() {
            copy_folder(&source, &target)?;
        } else if fs::read(&target).ok() != Some(fs::read(&source)?) {
            fs::copy(&source, &target)?;
        }
    }
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if !names.contains(&entry.file_name()) && !LEFT_OUT.iter().any(|left_out| entry.file_name() == *left_out) {
            if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{End, Ran};

    #[test]
    fn only_the_failure_of_the_named_test_counts_as_caught() {
        let cases = [
            (true, false, "test a::b ... FAILED\n", End::Caught),
            (true, false, "test a::b ... ok\n", End::Missed),
            (true, false, "test a::other ... FAILED\n", End::Crashed),
            (true, false, "", End::Crashed),
            (true, true, "running 1 test\n", End::TimedOut),
            (false, false, "error[E0308]", End::NotBuilt),
        ];
        for (built, timed_out, text, expected) in cases {
            let ran = Ran { built, timed_out, text: text.to_owned() };
            assert_eq!(ran.end_of("a::b"), expected, "{text}");
        }
    }
}
