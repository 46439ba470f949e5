//! Opening the store that a landscape names.

use crossdock_connect::secret::Secrets;
use crossdock_landscape::{StoreConfig, read_secret};
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
pub fn open(config: &StoreConfig, folder: &Path) -> Result<Arc<dyn FullStore>, OpenError> {
    match config {
        StoreConfig::Sqlite { path } => Ok(Arc::new(SqliteStore::open(&Options::new(folder.join(path)))?)),
        StoreConfig::Postgres { url, key_file, certificates } => {
            let secrets = Secrets::new(|reference| read_secret(reference, &|name: &str| std::env::var(name).ok()));
            let url = secrets.resolve(url, "").map_err(|e| OpenError::Address(e.to_string()))?;
            postgres(url.expose(), folder.join(key_file), certificates.as_ref().map(|path| folder.join(path)))
        }
    }
}

/// Opens a PostgreSQL store at an address that is known.
pub fn postgres(url: &str, key_file: PathBuf, certificates: Option<PathBuf>) -> Result<Arc<dyn FullStore>, OpenError> {
    let options = PostgresOptions { certificates, ..PostgresOptions::new(url, KeySource::File(key_file)) };
    Ok(Arc::new(PostgresStore::open(&options)?))
}
