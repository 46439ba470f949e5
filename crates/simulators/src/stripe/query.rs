//! Lists (newest first, cursors by id) and the search by metadata, which lags behind writes.

use super::params::Params;
use super::{Answer, Refusal, Stripe};
use crate::http::Response;
use crate::json::{Json, object};

/// One page of a list that is stored oldest first.
pub fn page<T>(items: &[T], params: &Params, url: &str, show: impl Fn(&T) -> Json) -> Response {
    let limit = params.get("limit").and_then(|l| l.parse().ok()).unwrap_or(10usize).clamp(1, 100);
    let shown: Vec<Json> = items.iter().rev().map(show).collect();
    let position = |name: &str| params.get(name).and_then(|id| shown.iter().position(|item| item.text("id") == id));
    let from = position("starting_after").map_or(0, |at| at + 1);
    let to = position("ending_before").unwrap_or(shown.len());
    let window = shown.get(from.min(to)..to).unwrap_or(&[]);
    // Before a cursor the page is the one next to it, not the newest.
    let page = if params.get("ending_before").is_some() && window.len() > limit {
        &window[window.len() - limit..]
    } else {
        &window[..window.len().min(limit)]
    };
    let body = object! { "object": "list", "data": page.to_vec(), "has_more": page.len() < window.len(), "url": url };
    Response::json(200, &body)
}

impl Stripe {
    pub(super) fn list_intents(&self, params: &Params) -> Response {
        let since = params.get("created[gte]").and_then(|s| s.parse::<i64>().ok());
        let found: Vec<_> = self.intents.iter().filter(|i| since.is_none_or(|s| i.created.div_euclid(1000) >= s)).collect();
        page(&found, params, "/v1/payment_intents", |intent| intent.json(self))
    }

    /// `query=metadata['order']:'O1' AND status:'requires_capture'`.
    pub(super) fn search(&self, params: &Params, now: i64) -> Answer {
        let query = params
            .get("query")
            .ok_or_else(|| Refusal::parameter("query", "parameter_missing", "Missing required param: query."))?;
        let mut metadata: Vec<(String, String)> = Vec::new();
        let mut status = None;
        for clause in query.split(" AND ") {
            let parsed = clause.trim().split_once(':').map(|(field, value)| (field.trim(), unquote(value)));
            match parsed {
                Some(("status", value)) => status = Some(value.to_owned()),
                Some((field, value)) => match field.strip_prefix("metadata[").and_then(|f| f.strip_suffix(']')) {
                    Some(name) => metadata.push((unquote(name).to_owned(), value.to_owned())),
                    None => {
                        return Err(Refusal::parameter(
                            "query",
                            "parameter_invalid",
                            format!("Field '{field}' can't be searched."),
                        ));
                    }
                },
                None => {
                    return Err(Refusal::parameter("query", "parameter_invalid", "We were unable to parse your search query."));
                }
            }
        }
        let Some(first) = metadata.first() else {
            return Err(Refusal::parameter("query", "parameter_invalid", "Search by at least one metadata field here."));
        };
        let visible = now.saturating_sub(self.config.search_lag_ms);
        let candidates = self.by_metadata.get(first).map_or(&[][..], Vec::as_slice);
        let found = candidates.iter().map(|index| &self.intents[*index]).filter(|intent| {
            intent.created <= visible
                && metadata.iter().all(|pair| intent.metadata.contains(pair))
                && status.as_ref().is_none_or(|s| intent.status.name() == s)
        });
        let limit = params.get("limit").and_then(|l| l.parse().ok()).unwrap_or(10usize).clamp(1, 100);
        let mut data: Vec<Json> = found.rev().map(|intent| intent.json(self)).take(limit + 1).collect();
        let more = data.len() > limit;
        data.truncate(limit);
        let body = object! {
            "object": "search_result", "url": "/v1/payment_intents/search", "has_more": more, "data": data, "next_page": Json::Null,
        };
        Ok(Response::json(200, &body))
    }
}

fn unquote(text: &str) -> &str {
    text.trim().trim_matches(['\'', '"'])
}
