//! `cargo xtask test`: everything a change must pass, the same here as in CI.
//!
//! Cheap steps come first. All steps of the first part run even when one fails, so that one run shows every fault; the
//! peers, which take minutes, wait until the first part is green.

use std::time::Duration;

use crate::peers::PEERS;
use crate::{Failure, codegen, only_flags, packages, process, tidy};

pub const HELP: &str = "\
usage: cargo xtask test [--fast]

Format, lints, tidy, the whole test suite, generated files, then the peer steps
(other people's software, in short form). Installs missing Debian packages (a
PostgreSQL for the tests, more for the peers) when run as root, and says what to
install otherwise.

  --fast   leave the peers out";

/// A named step; the peers have the same shape.
struct Step {
    name: &'static str,
    run: fn() -> Result<(), String>,
}

const OWN: &[Step] = &[
    Step { name: "format", run: || process::run_cargo(&["fmt", "--all", "--check"]) },
    Step { name: "tidy", run: tidy::check },
    Step { name: "lints", run: lints },
    Step { name: "tests", run: tests },
    Step { name: "generated files", run: codegen::check },
];

fn lints() -> Result<(), String> {
    process::run_cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

/// nextest where it is installed (it runs test binaries side by side), cargo's own runner elsewhere.
fn tests() -> Result<(), String> {
    packages::ensure(packages::FOR_TESTS)?;
    if process::is_on_path("cargo-nextest") {
        process::run_cargo(&["nextest", "run", "--workspace"])
    } else {
        process::run_cargo(&["test", "--workspace"])
    }
}

pub fn run(arguments: &[String]) -> Result<(), Failure> {
    only_flags(arguments, &["--fast"])?;
    let fast = !arguments.is_empty();
    let mut report = Report::default();
    for step in OWN {
        report.take(step.name, step.run);
    }
    if !fast && report.failed() == 0 {
        let needs: Vec<&str> = PEERS.iter().flat_map(|peer| peer.needs.iter().copied()).collect();
        packages::ensure(&needs)?;
        for peer in PEERS {
            report.take(peer.name, peer.run);
        }
    }
    println!("\n{}", report.text());
    match report.failed() {
        0 => Ok(()),
        failed => Err(Failure::Fault(format!("{failed} of {} steps failed", report.lines.len()))),
    }
}

/// What became of each step.
#[derive(Default)]
struct Report {
    lines: Vec<(&'static str, Duration, Result<(), String>)>,
}

impl Report {
    fn take(&mut self, name: &'static str, run: fn() -> Result<(), String>) {
        println!("\n== {name}");
        let start = stopwatch();
        let outcome = run();
        if let Err(error) = &outcome {
            eprintln!("{name}: {error}");
        }
        self.lines.push((name, start.elapsed(), outcome));
    }

    fn failed(&self) -> usize {
        self.lines.iter().filter(|(_, _, outcome)| outcome.is_err()).count()
    }

    /// One line a step, then the count.
    fn text(&self) -> String {
        let mut text = String::new();
        for (name, took, outcome) in &self.lines {
            let mark = if outcome.is_ok() { "ok    " } else { "FAILED" };
            text.push_str(&format!("{mark} {:>5} s  {name}\n", took.as_secs()));
        }
        let failed = self.failed();
        text + &format!("steps: {} passed, {failed} failed", self.lines.len() - failed)
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a step took is only printed")]
fn stopwatch() -> std::time::Instant {
    std::time::Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_counts_and_names_what_failed() {
        let mut report = Report::default();
        report.take("good", || Ok(()));
        report.take("bad", || Err("planted".to_owned()));
        assert_eq!(report.failed(), 1);
        let text = report.text();
        assert!(text.contains("FAILED     0 s  bad") && text.ends_with("steps: 1 passed, 1 failed"), "{text}");
    }
}
