//! The APIs for programs. Each file is one surface and lists its own routes.

pub mod admin;
pub mod events;
pub mod experience;
pub mod inbound;
pub mod open;
pub mod process;
pub mod system;
pub mod wire;

use crate::{
    auth::roles::Actor,
    problem::{Code, Problem},
    route::Route,
};
use crossdock_store::{ProcessDetail, ProcessKey, ReadStore};

pub fn routes() -> Vec<Route> {
    [
        experience::routes(),
        process::routes(),
        system::routes(),
        inbound::routes(),
        events::routes(),
        admin::routes(),
        open::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A process as the actor may see it: one outside the actor's sites is absent, as if it did not exist.
pub async fn find(read: &dyn ReadStore, actor: &Actor, key: &ProcessKey) -> Result<ProcessDetail, Problem> {
    let absent = || Problem::new(Code::ProcessNotFound, format!("There is no process {key}."));
    if !actor.sites.hold_key(&key.key) {
        return Err(absent());
    }
    read.process(key).await?.ok_or_else(absent)
}

/// Reads a process id of a path.
pub fn process_key(id: &str) -> Result<ProcessKey, Problem> {
    ProcessKey::parse(id).filter(|_| id.len() <= 512).ok_or_else(|| Problem::of(Code::ProcessNotFound))
}
