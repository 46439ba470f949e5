//! Writes the OpenAPI document to the file given: `cargo run -p crossdock-server --example openapi -- docs/openapi.json`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: openapi FILE");
        return ExitCode::from(2);
    };
    match std::fs::write(&path, crossdock_server::openapi::text()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::FAILURE
        }
    }
}
