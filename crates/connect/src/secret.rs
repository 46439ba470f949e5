//! Secrets: named in configuration, resolved once when a connector is built, printed never.
//!
//! Configuration holds references only. `env:NAME` and `file:PATH` are read by whoever calls (this crate does no I/O);
//! `sim:VALUE` is the published test value of a simulator and is refused for any address that is not this machine.

use std::fmt;
use std::sync::Arc;

/// A resolved secret. `Debug` and `Display` hide it; `expose` is the one way to its text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(Arc::from(text.as_ref()))
    }

    /// The text, for a header that is about to leave. Never format it into a message.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// `env:NAME`: an environment variable.
    Env(String),
    /// `file:PATH`: a file's content, without the line end.
    File(String),
    /// `sim:VALUE`: the value itself, for a simulator on this machine.
    Sim(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The text is not shown: it may be the secret itself, pasted where its name belongs.
    #[error("a secret is named, not written: use `env:NAME` or `file:PATH`")]
    NotAReference,
    #[error(
        "`sim:` is the value of a simulator and may only be sent to 127.0.0.1, ::1 or localhost; use `env:NAME` or `file:PATH`"
    )]
    SimAbroad,
    #[error("{name} cannot be read: {reason}")]
    Unresolved { name: String, reason: String },
}

impl SecretRef {
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.into())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("sim", value)) if !value.is_empty() => Ok(Self::Sim(value.into())),
            _ => Err(SecretError::NotAReference),
        }
    }

    /// What to call it in a message.
    fn name(&self) -> String {
        match self {
            Self::Env(name) => format!("the environment variable {name}"),
            Self::File(path) => format!("the file {path}"),
            Self::Sim(_) => "the simulator's value".into(),
        }
    }
}

type Read = dyn Fn(&SecretRef) -> Result<String, String> + Send + Sync;

/// Resolves references. The reader is passed in; it sees only `Env` and `File`.
pub struct Secrets(Box<Read>);

impl Secrets {
    pub fn new(read: impl Fn(&SecretRef) -> Result<String, String> + Send + Sync + 'static) -> Self {
        Self(Box::new(read))
    }

    /// Resolves every reference to a placeholder: enough to check a landscape where its secrets are not at hand.
    pub fn placeholders() -> Self {
        Self::new(|_| Ok("placeholder".into()))
    }

    /// Reads the secret that `text` names, for a system at `url`.
    pub fn resolve(&self, text: &str, url: &str) -> Result<Secret, SecretError> {
        let reference = SecretRef::parse(text)?;
        match &reference {
            SecretRef::Sim(value) if is_loopback(url) => Ok(Secret::new(value)),
            SecretRef::Sim(_) => Err(SecretError::SimAbroad),
            SecretRef::Env(_) | SecretRef::File(_) => match (self.0)(&reference) {
                Ok(text) if !text.trim_end_matches(['\r', '\n']).is_empty() => {
                    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
                }
                Ok(_) => Err(SecretError::Unresolved { name: reference.name(), reason: "it is empty".into() }),
                Err(reason) => Err(SecretError::Unresolved { name: reference.name(), reason }),
            },
        }
    }
}

/// Whether an `http(s)` address is this machine's own.
pub fn is_loopback(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")) else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    // `user@host` would let a loopback-looking user name hide a foreign host.
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(""),
        None => authority.split(':').next().unwrap_or(""),
    };
    !authority.contains('@') && matches!(host, "127.0.0.1" | "localhost" | "::1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        Secrets::new(|reference| match reference {
            SecretRef::Env(name) if name == "KEY" => Ok("s3cret".into()),
            SecretRef::File(path) if path == "/run/key" => Ok("from file\n".into()),
            SecretRef::File(_) => Ok("\n".into()),
            _ => Err("not set".into()),
        })
    }

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {secret} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn references_resolve_and_values_are_refused_unseen() {
        let at = "https://erp.example";
        assert_eq!(secrets().resolve("env:KEY", at), Ok(Secret::new("s3cret")));
        assert_eq!(secrets().resolve("file:/run/key", at), Ok(Secret::new("from file")));
        let pasted = secrets().resolve("sk_live_123", at).expect_err("a value is no reference").to_string();
        assert!(!pasted.contains("sk_live"), "{pasted}");
        assert!(matches!(secrets().resolve("env:OTHER", at), Err(SecretError::Unresolved { .. })));
        assert!(matches!(secrets().resolve("file:/empty", at), Err(SecretError::Unresolved { .. })));
    }

    #[test]
    fn simulator_values_stay_on_this_machine() {
        for (url, taken) in [
            ("http://127.0.0.1:9001", true),
            ("http://localhost/x", true),
            ("http://[::1]:1", true),
            ("https://erp.example", false),
            ("http://127.0.0.1.evil.example", false),
            ("http://127.0.0.1@evil.example", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(secrets().resolve("sim:crossdock-sim", url).is_ok(), taken, "{url}");
        }
    }
}
