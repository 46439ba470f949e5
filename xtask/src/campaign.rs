//! `cargo xtask campaign NAME`: the long runs, for a night or a release.
//!
//! The campaigns themselves are in `crates/trials`; this only builds them with optimisation, brings up what they need
//! from outside and passes every argument on.

use crate::tryton::{self, Tryton};
use crate::{Failure, packages, process};

pub const HELP: &str = "\
usage: cargo xtask campaign NAME [--seed N] [--count N] [ARGUMENT...]

Runs one of the long campaigns of crates/trials in release mode:

  kill     kill -9 at random and at every state-changing system call
  crash    crash images of the store's files: un-synced writes dropped or torn
           (`--store postgres`: of a PostgreSQL's data folder)
  sim      seeded simulation of the real core and flows, with faults
  bugs     planted bugs, each of which a named test must catch
  nodes    three hubs on one PostgreSQL: killed, paused, cut off and stopped under load
  failover the database killed and its standby promoted, or stopped for a while (--outage)
  move     a store moved into PostgreSQL by a program that is killed and run again
  restore  a hub put back to an older backup, while the systems remember what came after
  fuzz     broken order payloads through the API and the polled page
  tryton   orders through a real ERP, which is set up, cut off, killed and restarted

  --minutes N  how long `nodes` goes on (15); with `--resume FOLDER` it goes on where it was broken off
  --seed N   the first seed (printed again when something is found)
  --count N  how many kills, blows, failovers, images, worlds, payloads or orders

Further arguments go to the campaign as they are; `-- --help` shows its own.";

const NAMES: &[&str] = &["kill", "crash", "sim", "bugs", "nodes", "failover", "move", "restore", "fuzz", "tryton"];

pub fn run(arguments: &[String]) -> Result<(), Failure> {
    let plan = plan(arguments)?;
    let mut command = vec!["run", "--release", "--package", "crossdock-trials", "--", plan.name];
    command.extend(plan.arguments.iter().map(String::as_str));
    let on_postgres = plan.arguments.iter().any(|argument| argument == "postgres");
    if on_postgres || ["failover", "move", "nodes"].contains(&plan.name) {
        packages::ensure(packages::FOR_TESTS)?;
    }
    if plan.name != "tryton" {
        return Ok(process::run_cargo(&command)?);
    }
    packages::ensure(tryton::NEEDS)?;
    let tryton = Tryton::start()?;
    let facts = tryton.facts();
    let facts = facts.to_string_lossy();
    command.extend(["--facts", &facts]);
    Ok(process::run_cargo(&command)?)
}

/// What to run, once the command line has been read.
#[derive(Debug, PartialEq, Eq)]
struct Plan<'a> {
    name: &'a str,
    arguments: Vec<String>,
}

fn plan(arguments: &[String]) -> Result<Plan<'_>, Failure> {
    let known = NAMES.join(", ");
    let Some((name, rest)) = arguments.split_first() else {
        return Err(Failure::Usage(format!("name a campaign: {known}")));
    };
    if !NAMES.contains(&name.as_str()) {
        return Err(Failure::Usage(format!("there is no campaign `{name}`; there are {known}")));
    }
    let mut passed = Vec::new();
    let mut rest = rest.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--" => continue,
            "--seed" | "--count" => {
                let number = rest.next().filter(|value| value.parse::<u64>().is_ok());
                let number = number.ok_or_else(|| Failure::Usage(format!("`{argument}` needs a whole number")))?;
                passed.extend([argument.clone(), number.clone()]);
            }
            _ => passed.push(argument.clone()),
        }
    }
    Ok(Plan { name, arguments: passed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn arguments_reach_the_campaign_in_order() {
        let line = words("kill --seed 7 --count 200 --resume");
        let plan = plan(&line).expect("a known campaign");
        assert_eq!((plan.name, plan.arguments), ("kill", words("--seed 7 --count 200 --resume")));
    }

    #[test]
    fn unknown_names_and_numbers_that_are_none_are_bad_usage() {
        for line in ["", "kil", "kill --seed", "kill --seed x", "kill --count -1"] {
            assert!(matches!(plan(&words(line)), Err(Failure::Usage(_))), "`{line}`");
        }
    }
}
