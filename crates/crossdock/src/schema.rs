//! Writes the JSON Schemas that are committed under `schemas/`.

use crate::exit;
use std::{fs, path::PathBuf, process::ExitCode};

#[derive(clap::Args)]
pub struct Args {
    /// The folder to write into.
    out: PathBuf,
}

pub fn run(args: &Args) -> ExitCode {
    let written = fs::create_dir_all(&args.out).and_then(|()| {
        crossdock_canonical::schema::all().into_iter().try_for_each(|(name, schema)| {
            let text = serde_json::to_string_pretty(&schema).map_err(std::io::Error::other)?;
            fs::write(args.out.join(name), text + "\n")
        })
    });
    match written {
        Ok(()) => exit::OK,
        Err(error) => exit::fault(format!("{}: {error}", args.out.display())),
    }
}
