//! `GET /orders`: filters, sorting and paging as documented, without a total.
//!
//! Only placed orders can be listed; `created` and `failed` ones never appear, whatever the filter.

use super::problem::Problem;
use super::{Storefront, orders::Stored};
use crate::http::{Call, Response};
use crate::time;

const OFFSET_PLUS_LIMIT_MAX: u64 = 10_000;

struct Filter {
    status: Vec<String>,
    export: Vec<String>,
    confirmation: Vec<String>,
    payment: Vec<String>,
    shipping: Vec<String>,
    external: Option<String>,
    created: (i64, i64),
    modified: (i64, i64),
}

impl Filter {
    fn takes(&self, order: &Stored) -> bool {
        let one_of = |values: &[String], value: &str| values.is_empty() || values.iter().any(|v| v == value);
        let within = |(from, to): (i64, i64), at: i64| from <= at && at < to;
        !matches!(order.status.as_str(), "created" | "failed")
            && one_of(&self.status, &order.status)
            && one_of(&self.export, &order.export)
            && one_of(&self.confirmation, &order.confirmation)
            && one_of(&self.payment, &order.payment)
            && one_of(&self.shipping, &order.shipping)
            && self.external.as_ref().is_none_or(|e| *e == order.external)
            && within(self.created, order.created)
            && within(self.modified, order.modified)
    }
}

impl Storefront {
    pub(super) fn list(&mut self, call: &Call, site: &str, _now: i64) -> Result<Response, Problem> {
        let number = |name: &str, default: u64| match call.query(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| Problem::bad_request(&format!("The parameter '{name}' must be a number."))),
        };
        let (limit, offset) = (number("limit", 100)?, number("offset", 0)?);
        if !(1..=200).contains(&limit) || offset + limit > OFFSET_PLUS_LIMIT_MAX {
            return Err(Problem::bad_request("'limit' must be 1 to 200 and 'offset' plus 'limit' at most 10000."));
        }
        let choice = |name: &str, default: &'static str, other: &'static str| match call.query(name).unwrap_or(default) {
            value if value == default => Ok(false),
            value if value == other => Ok(true),
            value => Err(Problem::bad_request(&format!("'{value}' is not a value of '{name}'."))),
        };
        let by_modified = choice("sortBy", "creation_date", "last_modified_date")?;
        let ascending = choice("sortOrder", "desc", "asc")?;
        let filter = Filter {
            status: values(call, "status", 2, &["new", "completed", "cancelled"])?,
            export: values(call, "exportStatus", 3, &["not_exported", "exported", "ready", "failed"])?,
            confirmation: values(call, "confirmationStatus", 1, &["confirmed", "not_confirmed"])?,
            payment: values(call, "paymentStatus", 2, &["not_paid", "part_paid", "paid"])?,
            shipping: values(call, "shippingStatus", 2, &["not_shipped", "part_shipped", "shipped"])?,
            external: call.query("externalStatus").map(str::to_owned),
            created: range(call, "creationDateFrom", "creationDateTo")?,
            modified: range(call, "lastModifiedDateFrom", "lastModifiedDateTo")?,
        };
        let (from, to) = if by_modified { filter.modified } else { filter.created };
        let orders = &self.orders;
        let sorted = orders.sorted(site, by_modified, from, to);
        let sorted: Box<dyn Iterator<Item = usize>> = if ascending { Box::new(sorted) } else { Box::new(sorted.rev()) };
        let page: Vec<usize> =
            sorted.filter(|index| filter.takes(orders.get(*index))).skip(offset as usize).take(limit as usize).collect();
        let mut body = String::with_capacity(page.len() * 4_500 + 16);
        body.push_str("{\"data\":[");
        for (i, index) in page.into_iter().enumerate() {
            if i > 0 {
                body.push(',');
            }
            body.push_str(&self.orders.text(index));
        }
        body.push_str("]}");
        Ok(Response::bytes(200, "application/json", body))
    }
}

/// The comma-separated values of a filter, checked against what the vendor allows.
fn values(call: &Call, name: &str, max: usize, allowed: &[&str]) -> Result<Vec<String>, Problem> {
    let Some(text) = call.query(name) else { return Ok(Vec::new()) };
    let values: Vec<String> = text.split(',').map(|v| v.trim().to_owned()).collect();
    if values.len() > max {
        return Err(Problem::bad_request(&format!("'{name}' takes at most {max} values.")));
    }
    match values.iter().find(|v| !allowed.contains(&v.as_str())) {
        Some(bad) => Err(Problem::bad_request(&format!("'{bad}' is not a value of '{name}'."))),
        None => Ok(values),
    }
}

/// From is inclusive, To exclusive.
fn range(call: &Call, from: &str, to: &str) -> Result<(i64, i64), Problem> {
    let bound = |name: &str, default: i64| match call.query(name) {
        None => Ok(default),
        Some(text) => time::parse(text)
            .ok_or_else(|| Problem::bad_request(&format!("'{name}' must be a date-time such as 2026-01-31T00:00:00.000Z."))),
    };
    Ok((bound(from, i64::MIN)?, bound(to, i64::MAX)?))
}
