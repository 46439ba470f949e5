//! A program of a peer step: started, listened to line by line, bounded in time, ended when the handle is dropped.

use std::{
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use crate::process;

/// Lines kept to tell what a program said before it failed.
const KEPT_MAX: usize = 400;

/// When a step gives up.
#[derive(Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    #[expect(clippy::disallowed_methods, reason = "bounds what other programs may take")]
    pub fn after(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    #[expect(clippy::disallowed_methods, reason = "bounds what other programs may take")]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// A running program. What it prints on either stream is one sequence of lines.
pub struct Program {
    name: String,
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Program {
    pub fn start(command: &mut Command) -> Result<Self, String> {
        let name = command.get_program().to_string_lossy().rsplit('/').next().unwrap_or_default().to_owned();
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
        println!("$ {name} {}", arguments.join(" "));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("`{name}` did not start: {error}"))?;
        let (sender, lines) = mpsc::channel();
        let streams: [Option<Box<dyn Read + Send>>; 2] =
            [child.stdout.take().map(|stream| Box::new(stream) as _), child.stderr.take().map(|stream| Box::new(stream) as _)];
        for stream in streams.into_iter().flatten() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                // A line that is not UTF-8 ends the listening, not the program: the pipe is read to its end all the same.
                let mut reader = BufReader::new(stream);
                let mut line = Vec::new();
                while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                    let _ = sender.send(String::from_utf8_lossy(&line).trim_end().to_owned());
                    line.clear();
                }
            });
        }
        Ok(Self { name, child, lines, said: Vec::new() })
    }

    /// Waits for a line that `pick` makes something of.
    pub fn wait_for<T>(&mut self, what: &str, deadline: Deadline, pick: impl Fn(&str) -> Option<T>) -> Result<T, String> {
        loop {
            match self.lines.recv_timeout(deadline.left()) {
                Ok(line) => {
                    let picked = pick(&line);
                    self.keep(line);
                    if let Some(picked) = picked {
                        return Ok(picked);
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Err(self.told(&format!("did not print {what} in time"))),
                Err(RecvTimeoutError::Disconnected) => return Err(self.told(&format!("ended without printing {what}"))),
            }
        }
    }

    /// Waits until it ends, and returns what it printed; an error when it fails or takes too long.
    pub fn finish(mut self, deadline: Deadline) -> Result<Vec<String>, String> {
        loop {
            match self.lines.recv_timeout(deadline.left()) {
                Ok(line) => {
                    println!("{line}");
                    self.keep(line);
                }
                Err(RecvTimeoutError::Timeout) => return Err(self.told("did not end in time")),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let status = self.child.wait().map_err(|error| self.told(&error.to_string()))?;
        if status.success() { Ok(std::mem::take(&mut self.said)) } else { Err(self.told(&format!("ended with {status}"))) }
    }

    fn keep(&mut self, line: String) {
        if self.said.len() < KEPT_MAX {
            self.said.push(line);
        }
    }

    fn told(&self, fault: &str) -> String {
        let last = self.said.len().saturating_sub(15);
        format!("`{}` {fault}; it said:\n{}", self.name, self.said[last..].join("\n"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end.
pub fn run(command: &mut Command, limit: Duration) -> Result<Vec<String>, String> {
    Program::start(command.current_dir(process::root()))?.finish(Deadline::after(limit))
}

/// Builds targets of the `crossdock` package (`--bin crossdock`, `--example NAME`) and returns the last one's program.
pub fn built(targets: &[&str]) -> Result<PathBuf, String> {
    let mut arguments = vec!["build", "--quiet", "--package", "crossdock", "--message-format=json-render-diagnostics"];
    arguments.extend(targets);
    println!("$ cargo {}", arguments.join(" "));
    let messages = process::output(&process::cargo(), &arguments)?;
    let mut programs = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    programs.next_back().ok_or_else(|| format!("cargo built no program for {}", targets.join(" ")))
}

/// The folder of a peer below `target/peers`, made when it is not there.
pub fn folder(name: &str) -> Result<PathBuf, String> {
    let folder = process::root().join("target/peers").join(name);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

/// A Python with a peer's pinned packages (`peers/PEER/requirements.txt`); installed anew only when the pins change.
pub fn python(peer: &str) -> Result<PathBuf, String> {
    let folder = folder(peer)?;
    let pins = process::root().join("peers").join(peer).join("requirements.txt");
    let wanted = std::fs::read(&pins).map_err(|error| format!("{}: {error}", pins.display()))?;
    let (venv, mark) = (folder.join("venv"), folder.join("installed.txt"));
    let python = venv.join("bin/python");
    if python.exists() && std::fs::read(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    let limit = Duration::from_secs(60);
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv), limit)?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--requirement"]).arg(&pins);
    run(&mut pip, limit)?;
    std::fs::write(&mark, wanted).map_err(|error| format!("{}: {error}", mark.display()))?;
    Ok(python)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_program_is_heard_and_its_failure_tells_what_it_said() {
        let soon = Deadline::after(Duration::from_secs(20));
        let mut program = Program::start(&mut shell("echo one; echo READY two; exec tail -f /dev/null")).expect("it starts");
        let ready = program.wait_for("READY", soon, |line| line.strip_prefix("READY ").map(str::to_owned));
        assert_eq!(ready.as_deref(), Ok("two"));
        let failure = Program::start(&mut shell("echo planted >&2; exit 3")).and_then(|program| program.finish(soon));
        let failure = failure.expect_err("it fails");
        assert!(failure.contains("exit status: 3") && failure.ends_with("planted"), "{failure}");
    }

    #[test]
    fn a_program_that_hangs_is_given_up_and_ended() {
        let mut program = Program::start(&mut shell("exec tail -f /dev/null")).expect("it starts");
        let outcome = program.wait_for("READY", Deadline::after(Duration::from_millis(10)), |_| Some(()));
        assert!(outcome.expect_err("nothing is printed").contains("did not print READY in time"));
    }
}
