//! Live pages: one event stream a page. The page is rendered again when the journal moved, and the regions that differ from
//! what this reader has are sent, to be swapped in place by id.
//!
//! A region stands between `<!--live:ID-->` and `<!--/live-->` in a template and is one element with that id. So a page has one
//! template, and what is swapped can never differ from what is loaded.

use super::{break_page, exceptions_page, home_page, order_page, orders_page, shell::Theme, systems_page};
use crate::{
    api::{events::event_stream, experience},
    app::App,
    auth::roles::{Action, Actor},
    input::Query,
    problem::{Code, Problem},
    tick,
};
use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use crossdock_canonical::{Duration, OrderRef, Timestamp};
use serde::Deserialize;
use std::{collections::BTreeMap, convert::Infallible, fmt::Write as _};
use tokio::sync::mpsc;

/// A region is swapped at most this often.
const EVERY: Duration = Duration::seconds(1);
/// Ages move on even when nothing happens.
const AT_LEAST_EVERY: Duration = Duration::seconds(5);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Path and query of the page.
    page: String,
}

/// A page that lives.
enum View {
    Home,
    Orders(orders_page::Wish),
    Order(OrderRef),
    Exceptions(exceptions_page::Wish),
    Systems,
    Break(break_page::Wish),
}

impl View {
    fn parse(page: &str) -> Result<(Self, Action), Problem> {
        let unknown = || Problem::new(Code::InvalidParameter, "This page has no stream.").at("page");
        let uri: Uri = page.parse().map_err(|_| unknown())?;
        let parts: Vec<&str> = uri.path().split('/').skip(1).collect();
        Ok(match parts.as_slice() {
            [""] => (Self::Home, Action::UseConsole),
            ["orders"] => (Self::Orders(query(&uri)?), Action::ReadOrders),
            ["orders", channel, site, number] => {
                let decode = |part: &str| decoded(part).ok_or_else(unknown);
                (Self::Order(experience::reference(&decode(channel)?, &decode(site)?, &decode(number)?)?), Action::ReadOrders)
            }
            ["exceptions"] => (Self::Exceptions(query(&uri)?), Action::ReadProcesses),
            ["systems"] => (Self::Systems, Action::ReadSystems),
            ["break"] => (Self::Break(query(&uri)?), Action::BreakThings),
            _ => return Err(unknown()),
        })
    }

    async fn render(&self, app: &App, actor: &Actor) -> Result<String, Problem> {
        let theme = Theme::System;
        match self {
            Self::Home => home_page::render(app, actor, theme).await,
            Self::Orders(wish) => orders_page::render(app, actor, theme, wish).await,
            Self::Order(reference) => order_page::render(app, actor, theme, reference, None).await,
            Self::Exceptions(wish) => exceptions_page::render(app, actor, theme, wish).await,
            Self::Systems => systems_page::render(app, actor, theme).await,
            Self::Break(wish) => break_page::render(app, actor, theme, wish).await,
        }
    }
}

fn query<T: serde::de::DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let read = axum::extract::Query::try_from_uri(uri);
    read.map(|axum::extract::Query(query)| query).map_err(|rejection| Problem::new(Code::InvalidParameter, rejection.body_text()))
}

fn decoded(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

pub async fn stream(
    State(app): State<App>,
    actor: Actor,
    headers: HeaderMap,
    Query(wish): Query<Wish>,
) -> Result<Response, Problem> {
    let (view, action) = View::parse(&wish.page)?;
    if !actor.may(action) {
        return Err(Problem::of(Code::Forbidden));
    }
    let place = app.streams.clone().try_acquire_owned().map_err(|_| Problem::of(Code::Overloaded))?;
    let mut known = regions(&view.render(&app, &actor).await?);
    // A reader that lost the stream may have missed swaps: it gets every region once.
    if headers.contains_key("last-event-id") {
        known.values_mut().for_each(String::clear);
    }
    let (sender, receiver) = mpsc::channel::<Result<Bytes, Infallible>>(2);
    tokio::spawn(async move {
        let _place = place;
        let mut cursor = String::new();
        let mut rendered_at = Timestamp(0);
        loop {
            let now = app.hub.now();
            let moved = match app.read.stream("now", 1).await {
                Ok((_, next)) if next != cursor => {
                    cursor = next;
                    true
                }
                Ok(_) => false,
                Err(_) => return,
            };
            let age = now - rendered_at;
            if (moved && age >= EVERY) || age >= AT_LEAST_EVERY {
                rendered_at = now;
                // Signed out, or the order is gone: the page says as of when it is.
                let Some(actor) = app.auth.recheck(&headers, now) else { return };
                let Ok(page) = view.render(&app, &actor).await else { return };
                let message = message(&mut known, regions(&page), now);
                if sender.send(Ok(message.into())).await.is_err() {
                    return;
                }
            } else if moved {
                cursor.clear();
            }
            tokio::select! {
                () = tick::beat() => {}
                () = sender.closed() => return,
            }
        }
    });
    Ok(event_stream(receiver))
}

/// The regions of a page by id.
fn regions(page: &str) -> BTreeMap<String, String> {
    const BEGIN: &str = "<!--live:";
    const END: &str = "<!--/live-->";
    let mut regions = BTreeMap::new();
    let mut rest = page;
    while let Some(at) = rest.find(BEGIN) {
        let Some((id, body)) = rest[at + BEGIN.len()..].split_once("-->") else { break };
        let Some((inside, after)) = body.split_once(END) else { break };
        regions.insert(id.to_owned(), inside.to_owned());
        rest = after;
    }
    regions
}

/// One message with every region that changed.
fn message(known: &mut BTreeMap<String, String>, fresh: BTreeMap<String, String>, now: Timestamp) -> String {
    let mut text = format!("id: {}\n", now.0);
    for (id, body) in &fresh {
        if known.get(id) == Some(body) {
            continue;
        }
        write!(text, "data: <hx-partial hx-target=\"#{id}\" hx-swap=\"outerMorph\">").expect("writing to a string does not fail");
        for (at, line) in body.lines().enumerate() {
            text.push_str(if at == 0 { "" } else { "\ndata: " });
            text.push_str(line);
        }
        text.push_str("</hx-partial>\n");
    }
    *known = fresh;
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_sent() {
        let page = |n: u32| {
            format!("<p>x</p><!--live:a--><b id=\"a\">{n}</b><!--/live-->\n<!--live:b--><i id=\"b\">\n same</i><!--/live-->")
        };
        let mut known = regions(&page(1));
        assert_eq!(known.keys().collect::<Vec<_>>(), ["a", "b"]);
        let text = message(&mut known, regions(&page(2)), Timestamp(5));
        assert_eq!(text, "id: 5\ndata: <hx-partial hx-target=\"#a\" hx-swap=\"outerMorph\"><b id=\"a\">2</b></hx-partial>\n\n");
        assert_eq!(message(&mut known, regions(&page(2)), Timestamp(6)), "id: 6\n\n");
    }

    #[test]
    fn a_region_of_several_lines_stays_one_message() {
        let mut known = BTreeMap::from([("b".to_owned(), String::new())]);
        let text = message(&mut known, BTreeMap::from([("b".to_owned(), "<i>\n x</i>".to_owned())]), Timestamp(1));
        assert_eq!(text, "id: 1\ndata: <hx-partial hx-target=\"#b\" hx-swap=\"outerMorph\"><i>\ndata:  x</i></hx-partial>\n\n");
    }

    #[test]
    fn pages_without_a_stream_are_refused() {
        for page in ["", "/sign-in", "/orders/a/b", "/orders/a//c", "https://elsewhere.example/", "/break?x=1"] {
            let parsed = View::parse(page);
            assert!(parsed.is_err() || page.starts_with("https"), "{page}");
        }
        assert!(View::parse("/orders/a/b%2F/c%20d").is_err(), "a slash in a site is no site");
        assert!(matches!(View::parse("/orders/a/b/c%20d"), Ok((View::Order(order), _)) if order.number.as_str() == "c d"));
    }
}
