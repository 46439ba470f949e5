//! A running hub, asked over its HTTP API with a key from the environment.
//!
//! The key is never an argument: arguments show in process lists and shell histories.

use crate::exit::Failure;
use crossdock_canonical::Duration;
use crossdock_connect::http::{Method, Request};
use crossdock_engine::shell::client::Client;
use serde::{Deserialize, de::DeserializeOwned};

const PATIENCE: Duration = Duration::seconds(30);
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

pub struct Remote {
    client: Client,
    url: String,
    key: String,
}

/// The fields of an RFC 9457 answer that a person needs.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Problem {
    code: String,
    title: String,
    detail: String,
}

impl Remote {
    pub fn new(url: &str, key_env: &str) -> Result<Self, Failure> {
        let key = std::env::var(key_env).ok().filter(|key| !key.trim().is_empty()).ok_or_else(|| {
            Failure::usage(format!("the environment variable {key_env} holds no API key; set it, or name another with --key-env"))
        })?;
        Ok(Self::with_key(url, key))
    }

    fn with_key(url: &str, key: String) -> Self {
        Self { client: Client::new(ANSWER_BYTES_MAX), url: url.trim_end_matches('/').to_owned(), key }
    }

    /// `None` when the hub does not know it.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Failure> {
        self.send(Request::new(Method::Get, path)).await
    }

    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
        idempotency_key: &str,
    ) -> Result<Option<T>, Failure> {
        let request = Request::new(Method::Post, path).header("idempotency-key", idempotency_key);
        self.send(request.json(body.to_string().into_bytes())).await
    }

    async fn send<T: DeserializeOwned>(&self, request: Request) -> Result<Option<T>, Failure> {
        let request = request.header("authorization", format!("Bearer {}", self.key));
        let response = self.client.raw(&self.url, request, PATIENCE).await;
        let response = response.map_err(|error| Failure::fault(format!("{} did not answer: {error}", self.url)))?;
        if response.is_success() {
            return serde_json::from_slice(&response.body)
                .map(Some)
                .map_err(|error| Failure::fault(format!("{} answered what is not understood here: {error}", self.url)));
        }
        let problem: Problem = serde_json::from_slice(&response.body).unwrap_or_default();
        if response.status == 404 && problem.code == "process_not_found" {
            return Ok(None);
        }
        let said = if problem.detail.is_empty() { problem.title } else { problem.detail };
        Err(Failure::fault(format!("{} answered {} {}: {said}", self.url, response.status, problem.code)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hub_that_is_not_there_is_a_fault_that_names_it() {
        // Port 9 of this machine: nobody listens.
        let remote = Remote::with_key("http://127.0.0.1:9/", "cdk_x".into());
        let failure = remote.get::<serde_json::Value>("/process/v1/exceptions").await.expect_err("nobody listens");
        assert!(matches!(&failure, Failure::Fault(text) if text.starts_with("http://127.0.0.1:9 did not answer")), "{failure:?}");
    }

    #[test]
    fn a_missing_key_is_bad_usage_that_says_how_to_give_one() {
        let failure = Remote::new("http://127.0.0.1:9", "CROSSDOCK_TEST_NO_SUCH_KEY").err();
        assert!(matches!(&failure, Some(Failure::Usage(text)) if text.contains("--key-env")), "{failure:?}");
    }
}
