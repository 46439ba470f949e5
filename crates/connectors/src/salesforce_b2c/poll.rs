//! Polling a storefront's orders: for each site, the orders to take, the changes of taken ones, and a slow sweep of everything
//! that is still waiting to be taken.
//!
//! Each call reads one page of one list; the cursor says which list is next. The page size halves when the platform cannot answer a
//! page in its 60 s or 10 MB, and grows back.

use super::Settings;
use crossdock_canonical::{Duration, OrderRef, Outcome, Timestamp};
use crossdock_connect::classify::{self, Credentials, Nature};
use crossdock_connect::http::{Method, Request, Response, percent};
use crossdock_connect::poll::{Row, Watermark};
use crossdock_connect::{About, Exchange, Message, NextPoll, TransportError, cut};
use crossdock_value::Value;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where all lists stand. Written into the stored cursor.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Cursor {
    /// Which list is asked next.
    #[serde(default)]
    turn: usize,
    #[serde(default)]
    page: u32,
    #[serde(default)]
    lists: BTreeMap<String, Place>,
}

/// Where one list stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Place {
    mark: Watermark,
    /// When the last pass over it ended, for the sweep; when it last went back by the overlap, for the others.
    since: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// New orders that are ours to take, by last change.
    Intake,
    /// Orders that changed after they were taken, by last change.
    Changes,
    /// After a restore: orders that were taken since an instant, and that the restored store knows nothing of.
    Recovery,
    /// The same as intake from the beginning, by creation: finds what paging over a moving list can miss.
    Sweep,
}

struct List<'s> {
    kind: Kind,
    site: &'s str,
}

impl List<'_> {
    fn name(&self) -> String {
        let kind = match self.kind {
            Kind::Intake => "intake",
            Kind::Changes => "changes",
            Kind::Recovery => "recovery",
            Kind::Sweep => "sweep",
        };
        format!("{}/{kind}", self.site)
    }

    /// The field that orders this list.
    fn time(&self) -> &'static str {
        match self.kind {
            Kind::Intake | Kind::Changes | Kind::Recovery => "lastModified",
            Kind::Sweep => "creationDate",
        }
    }
}

fn lists(settings: &Settings) -> Vec<List<'_>> {
    let mut lists = Vec::new();
    for site in &settings.sites {
        lists.push(List { kind: Kind::Intake, site });
        if !settings.watch.is_empty() {
            lists.push(List { kind: Kind::Changes, site });
        }
        if settings.recover.is_some() {
            lists.push(List { kind: Kind::Recovery, site });
        }
        lists.push(List { kind: Kind::Sweep, site });
    }
    lists
}

pub(super) fn poll(settings: &Settings, cursor: &Value, exchanges: &[Exchange], now: Timestamp) -> NextPoll {
    // A cursor of another shape is one of another version: begin again, orders taken before are known.
    let mut cursor: Cursor = crossdock_value::from_value(cursor).unwrap_or_default();
    let lists = lists(settings);
    let page = match cursor.page {
        0 => settings.page_max,
        page => page.min(settings.page_max),
    };
    let turn = cursor.turn.min(lists.len() - 1);
    let list = &lists[turn];
    let place =
        cursor.lists.get(&list.name()).cloned().unwrap_or_else(|| Place { mark: first_mark(settings, list, now), since: now });
    let response = match exchanges.last().map(|exchange| &exchange.answer) {
        None => return NextPoll::Send(request(settings, list, &place.mark, page)),
        Some(Ok(response)) if response.is_success() => response,
        Some(answer) if too_much(answer) && page > 1 => {
            cursor.page = page / 2;
            return done(Vec::new(), &cursor, true);
        }
        Some(Ok(response)) => return NextPoll::Failed(classify::answered(response, Nature::Read, Credentials::Token)),
        Some(Err(error)) => return NextPoll::Failed(classify::broken(error, Nature::Read)),
    };
    let (rows, messages) = match read_page(settings, list, &place.mark, response) {
        Ok(read) => read,
        Err(outcome) => return NextPoll::Failed(outcome),
    };
    let (mark, more_here) = place.mark.advance(&rows, page);
    cursor.page = (page + page / 4 + 1).min(settings.page_max);
    let place = if more_here { Place { mark, ..place } } else { at_the_end(settings, list, place, mark, now) };
    cursor.lists.insert(list.name(), place);
    if !more_here {
        cursor.turn = next_turn(settings, &lists, &cursor, turn, now);
    }
    let more = more_here || cursor.turn > turn;
    done(messages, &cursor, more)
}

fn done(messages: Vec<Message>, cursor: &Cursor, more: bool) -> NextPoll {
    match crossdock_value::to_value(cursor) {
        Ok(cursor) => NextPoll::Page { messages, cursor, more },
        Err(error) => NextPoll::Failed(Outcome::misconfigured("cursor", error.to_string())),
    }
}

/// Orders to take are taken from the start on; changes only from now on, for they are changes to what was taken.
fn first_mark(settings: &Settings, list: &List<'_>, now: Timestamp) -> Watermark {
    match list.kind {
        Kind::Intake | Kind::Sweep => Watermark::new(settings.start),
        Kind::Recovery => Watermark::new(settings.recover.unwrap_or(settings.start)),
        Kind::Changes => Watermark::new(now - Duration::millis(settings.overlap_ms)),
    }
}

/// Where to stand after the last page of a list.
fn at_the_end(settings: &Settings, list: &List<'_>, place: Place, mark: Watermark, now: Timestamp) -> Place {
    match list.kind {
        Kind::Sweep => Place { mark: Watermark::new(settings.start), since: now },
        Kind::Intake | Kind::Changes | Kind::Recovery if (now - place.since).0 >= settings.overlap_every_ms => {
            Place { mark: mark.back(Duration::millis(settings.overlap_ms)), since: now }
        }
        Kind::Intake | Kind::Changes | Kind::Recovery => Place { mark, ..place },
    }
}

/// The next list of this round, or the first one of the next.
fn next_turn(settings: &Settings, lists: &[List<'_>], cursor: &Cursor, turn: usize, now: Timestamp) -> usize {
    let due = |list: &List<'_>| match list.kind {
        Kind::Intake | Kind::Changes | Kind::Recovery => true,
        // The intake has just begun at the same place; the first sweep can wait its turn.
        Kind::Sweep => match cursor.lists.get(&list.name()) {
            Some(place) => (now - place.since).0 >= settings.sweep_every_ms,
            None => true,
        },
    };
    (turn + 1..lists.len()).find(|n| due(&lists[*n])).unwrap_or(0)
}

fn request(settings: &Settings, list: &List<'_>, mark: &Watermark, page: u32) -> Request {
    let (sort, from) = match list.kind {
        Kind::Intake | Kind::Changes | Kind::Recovery => ("last_modified_date", "lastModifiedDateFrom"),
        Kind::Sweep => ("creation_date", "creationDateFrom"),
    };
    let (status, export) = match list.kind {
        Kind::Intake | Kind::Sweep => ("new".to_owned(), Some(settings.export.join(","))),
        Kind::Recovery => ("new,completed".to_owned(), Some("exported".to_owned())),
        Kind::Changes => (settings.watch.join(","), None),
    };
    let mut target = format!("{}/organizations/{}/orders?siteId={}", settings.api, settings.organization, percent(list.site));
    target.push_str(&format!("&sortBy={sort}&sortOrder=asc&status={}", percent(&status)));
    if let Some(export) = export {
        target.push_str(&format!("&exportStatus={}", percent(&export)));
    }
    target.push_str(&format!("&{from}={}&limit={page}&offset={}", percent(&mark.from.to_string()), mark.offset));
    Request::new(Method::Get, target)
}

/// Whether a smaller page may help: the platform gave up on this one, or it was too large for it or for us.
fn too_much(answer: &Result<Response, TransportError>) -> bool {
    match answer {
        Ok(response) => matches!(response.status, 500 | 504),
        Err(TransportError::TooLarge(_) | TransportError::Timeout(_)) => true,
        Err(TransportError::NotConnected(_) | TransportError::NotAuthorized(_) | TransportError::Broken(_)) => false,
    }
}

/// Cuts a page into rows and messages. The orders are not parsed here: one that cannot be must not hold up the others.
fn read_page(
    settings: &Settings,
    list: &List<'_>,
    mark: &Watermark,
    response: &Response,
) -> Result<(Vec<Row>, Vec<Message>), Outcome> {
    let malformed = |what: &str| Outcome::misconfigured("malformed_page", format!("the list of orders {what}"));
    let orders = cut::elements(&response.body, "data").ok_or_else(|| malformed("has no `data`"))?;
    let mut rows = Vec::with_capacity(orders.len());
    let mut messages = Vec::with_capacity(orders.len());
    for order in orders {
        let changed = cut::text(order, list.time()).and_then(|text| Timestamp::parse(&text)).unwrap_or(mark.from);
        let site = cut::text(order, "siteId").unwrap_or(list.site.into());
        let Some(number) = cut::text(order, "orderNo").filter(|number| is_name(number) && is_name(&site)) else {
            // It cannot be addressed, and must not hold up the others: a person is asked what it is.
            let id = format!("unnamed-{}", fingerprint(order));
            rows.push(Row { id: id.clone(), changed });
            let about = About::Theirs { kind: "order".into(), id: id.clone() };
            messages.push(Message { id: Some(id), about, kind: "order.observed".into(), body: Arc::from(order) });
            continue;
        };
        rows.push(Row { id: number.to_string(), changed });
        let kind = if list.kind == Kind::Recovery { PLACED } else { kind_of(settings, order) };
        messages.push(Message {
            id: (kind != PLACED).then(|| version(&site, &number, order)),
            about: About::Order(OrderRef {
                channel: settings.channel.as_str().into(),
                site: site.as_ref().into(),
                number: number.as_ref().into(),
            }),
            kind: kind.to_owned(),
            body: Arc::from(order),
        });
    }
    Ok((rows, messages))
}

/// Names one version of an order, so that a row seen again at the watermark, in the overlap or in the sweep is a repeat, while an order
/// that goes from A to B and back to A is told three times: each time it has another time of change.
fn version(site: &str, number: &str, order: &[u8]) -> String {
    let changed = cut::text(order, "lastModified").unwrap_or_default();
    format!("{site}/{number}@{changed}#{}", fingerprint(order))
}

fn fingerprint(order: &[u8]) -> String {
    Sha256::digest(order).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a text can be part of an order's reference. The platform's own numbers and sites have at most 50 characters.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 128 && !text.contains('/') && !text.contains(char::is_control)
}

const PLACED: &str = "order.placed";

/// What a row tells. An order that is still ours to take is placed, however often it is seen; who takes it knows it by its number.
fn kind_of(settings: &Settings, order: &[u8]) -> &'static str {
    let status = cut::text(order, "status");
    let export = cut::text(order, "exportStatus");
    match (status.as_deref(), export.as_deref()) {
        (Some("new"), Some(export)) if settings.export.iter().any(|ours| ours == export) => PLACED,
        (Some("cancelled"), Some("exported")) => "order.cancel_requested",
        _ => "order.observed",
    }
}
