//! Columns to rows and back.

use crate::{
    Addressee, EffectRow, EffectState, ExceptionRow, PayloadHash, ProcessKey, ProcessRow, SummaryRow,
    audit::{hex, unhex},
    codes::{priority_of, state_of},
};
use crossdock_canonical::{SystemName, Timestamp};
use rusqlite::{
    Row, ToSql,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, Value, ValueRef},
};
use std::sync::Arc;

/// A hash written as hex takes half the room as bytes; any other text stays text.
pub(super) struct Compact<'a>(pub(super) &'a str);

impl ToSql for Compact<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match unhex(self.0).filter(|bytes| bytes.len() >= 8) {
            Some(bytes) => ToSqlOutput::Owned(Value::Blob(bytes)),
            None => ToSqlOutput::Borrowed(ValueRef::Text(self.0.as_bytes())),
        })
    }
}

pub(super) struct Expanded(pub(super) Arc<str>);

impl FromSql for Expanded {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Blob(bytes) => Ok(Self(Arc::from(hex(bytes)))),
            ValueRef::Text(_) => Arc::<str>::column_result(value).map(Self),
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => Err(FromSqlError::InvalidType),
        }
    }
}

impl ToSql for PayloadHash {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(&self.0)))
    }
}

impl FromSql for PayloadHash {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 32]>::column_result(value).map(Self)
    }
}

pub(super) fn state(code: i64) -> rusqlite::Result<EffectState> {
    state_of(code).ok_or_else(|| wrong("effect state", &code.to_string()))
}

/// A stored value that this program cannot have written.
pub(super) fn wrong(what: &str, value: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, format!("{what} {value:?} is not one").into())
}

pub(super) fn unsigned<T: TryFrom<i64>>(row: &Row<'_>, at: usize) -> rusqlite::Result<T> {
    let value: i64 = row.get(at)?;
    T::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(at, value))
}

pub(super) fn time(row: &Row<'_>, at: usize) -> rusqlite::Result<Timestamp> {
    row.get(at).map(Timestamp)
}

/// The columns of a process row that belong to the engine, in the order `process_row` reads them.
pub(super) const PROCESS_COLUMNS: &str = "s.state, s.schema, p.logic, p.policy, s.document, p.subject, p.priority, p.opened_at, \
     p.channel, p.site, p.number, p.market, s.stage, s.status, s.waiting_for, p.total, p.currency";

pub(super) fn process_row(row: &Row<'_>, at: usize) -> rusqlite::Result<ProcessRow> {
    Ok(ProcessRow {
        state: row.get(at)?,
        schema: row.get(at + 1)?,
        logic: row.get(at + 2)?,
        policy: row.get::<_, Expanded>(at + 3)?.0,
        document: row.get(at + 4)?,
        subject: row.get(at + 5)?,
        priority: priority_of(row.get(at + 6)?),
        opened_at: time(row, at + 7)?,
        summary: SummaryRow {
            channel: row.get(at + 8)?,
            site: row.get(at + 9)?,
            number: row.get(at + 10)?,
            market: row.get(at + 11)?,
            stage: row.get(at + 12)?,
            status: row.get(at + 13)?,
            waiting_for: row.get(at + 14)?,
            total: row.get(at + 15)?,
            currency: row.get(at + 16)?,
        },
    })
}

/// The effects that a process row holds.
pub(super) fn effects(row: &Row<'_>, at: usize) -> rusqlite::Result<Vec<EffectRow>> {
    crate::effects::unpack(row.get_ref(at)?.as_blob()?).map_err(|fault| wrong("effects", &fault.to_string()))
}

pub(super) const EXCEPTION_COLUMNS: &str =
    "x.name, x.class, x.step, x.intent, x.system, x.cause, x.suggestion, x.since, x.payload";

pub(super) fn exception_row(row: &Row<'_>, at: usize) -> rusqlite::Result<(Arc<str>, ExceptionRow)> {
    Ok((
        row.get(at)?,
        ExceptionRow {
            class: row.get(at + 1)?,
            step: row.get(at + 2)?,
            intent: row.get(at + 3)?,
            system: row.get(at + 4)?,
            cause: row.get(at + 5)?,
            suggestion: row.get(at + 6)?,
            since: time(row, at + 7)?,
            payload: row.get(at + 8)?,
        },
    ))
}

pub(super) fn system(row: &Row<'_>, at: usize) -> rusqlite::Result<SystemName> {
    Ok(SystemName::new(row.get_ref(at)?.as_str().map_err(|_| wrong("system", "a number"))?))
}

pub(super) fn process_key(row: &Row<'_>, at: usize) -> rusqlite::Result<ProcessKey> {
    Ok(ProcessKey::of(row.get(at)?, row.get(at + 1)?))
}

pub(super) fn addressee(row: &Row<'_>, at: usize) -> rusqlite::Result<Addressee> {
    Ok(match row.get::<_, Option<Arc<str>>>(at)? {
        None => Addressee::Process(process_key(row, at + 1)?),
        Some(system) => Addressee::Theirs { system: SystemName::new(system), kind: row.get(at + 1)?, id: row.get(at + 2)? },
    })
}
