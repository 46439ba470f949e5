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
    match config {
        StoreConfig::Sqlite { path } => {
            let options = Options { payload_retention: retention.payloads, ..Options::new(folder.join(path)) };
            Ok(Arc::new(SqliteStore::open(&options)?))
        }
        StoreConfig::Postgres { .. } => Ok(Arc::new(open_postgres(config, folder, retention)?)),
    }
}

/// Opens a landscape's store as the PostgreSQL store that it is.
pub fn open_postgres(config: &StoreConfig, folder: &Path, retention: &Retention) -> Result<PostgresStore, OpenError> {
    let StoreConfig::Postgres { url, key_file, certificates } = config else {
        return Err(OpenError::Address("the store is a file".into()));
    };
    let url = address(url).map_err(OpenError::Address)?;
    let certificates = certificates.as_ref().map(|path| folder.join(path));
    let options = PostgresOptions {
        certificates,
        payload_retention: retention.payloads,
        ..PostgresOptions::new(url, KeySource::File(folder.join(key_file)))
    };
    Ok(PostgresStore::open(&options)?)
}

/// The address that a reference (`env:NAME`, `file:PATH`) names.
pub fn address(reference: &str) -> Result<String, String> {
    let secrets = Secrets::new(|reference| read_secret(reference, &|name: &str| std::env::var(name).ok()));
    secrets.resolve(reference, "").map(|url| url.expose().to_owned()).map_err(|e| e.to_string())
}

/// Opens a PostgreSQL store at an address that is known.
pub fn postgres(url: &str, key_file: PathBuf) -> Result<Arc<dyn FullStore>, OpenError> {
    let options = PostgresOptions::new(url, KeySource::File(key_file));
    Ok(Arc::new(PostgresStore::open(&options)?))
}
