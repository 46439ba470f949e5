//! The people and keys the hub knows: from the landscape's configuration, and those an administrator added to the store.
//!
//! Only hashes are here. There is no default person, key or password.

use super::roles::{Role, Sites};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Principals {
    pub people: Vec<Person>,
    pub keys: Vec<Key>,
}

/// Someone who signs in to the console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// What they type, lower case: `anna`. Recorded as `person:anna`.
    pub name: String,
    pub role: Role,
    #[serde(default)]
    pub sites: Sites,
    /// argon2id, PHC form.
    pub password: String,
}

/// A program that calls the APIs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Recorded as `key:shop`.
    pub name: String,
    pub role: Role,
    #[serde(default)]
    pub sites: Sites,
    /// The part of the key that finds it.
    pub id: String,
    /// SHA-256 of the whole key, hex. The key has 160 random bits, so a fast hash is enough.
    pub hash: String,
}

/// Why a configuration of principals cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrincipalError {
    #[error("person {0:?}: use 1 to 64 of a-z, 0-9, `.`, `-`, `_`")]
    PersonName(String),
    #[error("key {0:?}: use 1 to 64 of a-z, 0-9, `.`, `-`, `_`")]
    KeyName(String),
    #[error("{0} is there twice")]
    Twice(String),
    #[error("person {0}: the password is no argon2id hash; make one with `crossdock password`")]
    Password(String),
    #[error("key {0}: the hash is not 64 hex digits")]
    Hash(String),
}

impl Principals {
    /// Checks every entry, so that a hub with a half-right configuration does not start.
    pub fn check(&self) -> Result<(), PrincipalError> {
        for person in &self.people {
            if !is_name(&person.name) {
                return Err(PrincipalError::PersonName(person.name.clone()));
            }
            if !super::password::is_hash(&person.password) {
                return Err(PrincipalError::Password(person.name.clone()));
            }
            if self.people.iter().filter(|other| other.name == person.name).count() > 1 {
                return Err(PrincipalError::Twice(format!("person {}", person.name)));
            }
        }
        for key in &self.keys {
            if !is_name(&key.name) {
                return Err(PrincipalError::KeyName(key.name.clone()));
            }
            if hex::decode(&key.hash).map_or(0, |hash| hash.len()) != 32 {
                return Err(PrincipalError::Hash(key.name.clone()));
            }
            if self.keys.iter().filter(|other| other.name == key.name || other.id == key.id).count() > 1 {
                return Err(PrincipalError::Twice(format!("key {}", key.name)));
            }
        }
        Ok(())
    }
}

/// Names go into audit rows and file formats: plain, short, lower case.
pub fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}
