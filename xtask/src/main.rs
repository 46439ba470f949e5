//! The project's own commands: `cargo xtask COMMAND`.
//!
//! What CI runs, what a contributor runs and what the documents name is one and the same program, so that none of the
//! three can drift. It builds in seconds on purpose: the standard library, a JSON parser, and nothing of the hub. It
//! holds no test of the hub's behaviour: those live beside the code they test, long runs in `crates/trials`.

mod campaign;
mod codegen;
mod packages;
mod peers;
mod process;
mod test;
mod tidy;
mod tryton;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask COMMAND [--help]

  test       everything a change must pass, exactly as CI runs it
  tidy       structure and leftovers: layers, forgotten files, module docs, ...
  codegen    write the generated files, or compare them with --check
  campaign   long runs: kill, crash, sim, bugs, tryton
  peers      the peer steps of `test` alone
  screenshot draw the pictures of the documentation anew

Exit status: 0 all well, 1 a fault was found, 2 bad usage.";

/// Why a command ended without success.
#[derive(Debug)]
pub enum Failure {
    /// The command ran and found something wrong; it has said what, or this text does.
    Fault(String),
    /// The command line makes no sense.
    Usage(String),
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Failure::Fault(message)
    }
}

/// A command, given its arguments.
type Action = fn(&[String]) -> Result<(), Failure>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Fault(message)) => {
            eprintln!("error: {message}");
            ExitCode::from(1)
        }
        Err(Failure::Usage(message)) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Failure> {
    let Some((command, rest)) = arguments.split_first() else {
        return Err(Failure::Usage(format!("no command given\n\n{HELP}")));
    };
    let (help, action): (&str, Action) = match command.as_str() {
        "test" => (test::HELP, test::run),
        "tidy" => (tidy::HELP, tidy::run),
        "codegen" => (codegen::HELP, codegen::run),
        "campaign" => (campaign::HELP, campaign::run),
        "peers" => (peers::HELP, peers::run),
        "screenshot" => (peers::screenshot::HELP, peers::screenshot::run),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            return Ok(());
        }
        unknown => {
            return Err(Failure::Usage(format!("there is no command `{unknown}`\n\n{HELP}")));
        }
    };
    // What stands after `--` is for the program that the command runs.
    let mut own = rest.iter().take_while(|argument| *argument != "--");
    if own.any(|argument| argument == "--help" || argument == "-h") {
        println!("{help}");
        return Ok(());
    }
    action(rest)
}

/// Refuses arguments that a command does not know, naming those it does.
pub fn only_flags(given: &[String], known: &[&str]) -> Result<(), Failure> {
    match given.iter().find(|argument| !known.contains(&argument.as_str())) {
        None => Ok(()),
        Some(unknown) if known.is_empty() => {
            Err(Failure::Usage(format!("unknown argument `{unknown}`: this command takes none")))
        }
        Some(unknown) => Err(Failure::Usage(format!("unknown argument `{unknown}`: this command knows {}", known.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn every_command_answers_help_without_doing_anything() {
        for command in ["test", "tidy", "codegen", "campaign", "peers", "screenshot"] {
            run(&words(&format!("{command} --help"))).expect("help is never a failure");
        }
    }

    #[test]
    fn bad_usage_is_told_apart_from_a_fault() {
        for line in ["", "tset", "test --quick", "tidy --fix", "campaign", "campaign kill --seed", "peers nobody"] {
            assert!(matches!(run(&words(line)), Err(Failure::Usage(_))), "`{line}` is bad usage");
        }
    }
}
