//! Opening the store that a landscape names.

use crossdock_connect::secret::Secrets;
use crossdock_landscape::{Retention, StoreConfig, read_secret};
use crossdock_store::{FullStore, KeySource, Options, PostgresOptions, PostgresStore, SqliteStore, StoreError};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the address of the store: {0}")]
    Address(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens it, or makes it when it is new. Relative paths are below the landscape's folder. Blocks.
pub fn open(config: &StoreConfig, folder: &Path, retention: &Retention) -> Result<Arc<dyn FullStore>, OpenError> {
    let payload_retention = retention.payloads;
    match config {
        StoreConfig::Sqlite { path } => {
            let options = Options { payload_retention, ..Options::new(folder.join(path)) };
            Ok(Arc::new(SqliteStore::open(&options)?))
        }
        StoreConfig::Postgres { url, key_file, certificates } => {
            let secrets = Secrets::new(|reference| read_secret(reference, &|name: &str| std::env::var(name).ok()));
            let url = secrets.resolve(url, "").map_err(|e| OpenError::Address(e.to_string()))?;
            let options = PostgresOptions {
                certificates: certificates.as_ref().map(|path| folder.join(path)),
                payload_retention,
                ..PostgresOptions::new(url.expose(), KeySource::File(folder.join(key_file)))
            };
            Ok(Arc::new(PostgresStore::open(&options)?))
        }
    }
}

/// Opens a PostgreSQL store at an address that is known.
pub fn postgres(url: &str, key_file: PathBuf) -> Result<Arc<dyn FullStore>, OpenError> {
    let options = PostgresOptions::new(url, KeySource::File(key_file));
    Ok(Arc::new(PostgresStore::open(&options)?))
}
