//! Columns to rows and back.

use crate::{
    Addressee, EffectRow, ExceptionRow, JournalRow, PayloadHash, ProcessKey, ProcessRow, StoreError, SummaryRow,
    audit::hex,
    codes::{expand, priority_of, state_of},
};
use crossdock_canonical::{SystemName, Timestamp};
use std::sync::Arc;
use tokio_postgres::{Row, types::FromSql};

fn compacted(row: &Row, at: usize) -> Result<Arc<str>, StoreError> {
    let stored: &[u8] = get(row, at)?;
    expand(stored).ok_or_else(|| wrong("compact text", &hex(stored)))
}

/// A stored value that this program cannot have written.
pub(super) fn wrong(what: &str, value: &str) -> StoreError {
    StoreError::Damaged(format!("{what} {value:?} is not one"))
}

pub(super) fn get<'r, T: FromSql<'r>>(row: &'r Row, at: usize) -> Result<T, StoreError> {
    Ok(row.try_get(at)?)
}

pub(super) fn text(row: &Row, at: usize) -> Result<Arc<str>, StoreError> {
    get::<&str>(row, at).map(Arc::from)
}

pub(super) fn bytes(row: &Row, at: usize) -> Result<Arc<[u8]>, StoreError> {
    get::<&[u8]>(row, at).map(Arc::from)
}

pub(super) fn unsigned<T: TryFrom<i64>>(row: &Row, at: usize) -> Result<T, StoreError> {
    let value: i64 = get(row, at)?;
    T::try_from(value).map_err(|_| wrong("count", &value.to_string()))
}

pub(super) fn small<T: TryFrom<i16>>(row: &Row, at: usize) -> Result<T, StoreError> {
    let value: i16 = get(row, at)?;
    T::try_from(value).map_err(|_| wrong("code", &value.to_string()))
}

pub(super) fn time(row: &Row, at: usize) -> Result<Timestamp, StoreError> {
    get(row, at).map(Timestamp)
}

pub(super) fn system(row: &Row, at: usize) -> Result<SystemName, StoreError> {
    text(row, at).map(SystemName::new)
}

pub(super) fn process_key(row: &Row, at: usize) -> Result<ProcessKey, StoreError> {
    Ok(ProcessKey::of(text(row, at)?, text(row, at + 1)?))
}

pub(super) fn hash<const N: usize>(row: &Row, at: usize) -> Result<[u8; N], StoreError> {
    let bytes: &[u8] = get(row, at)?;
    bytes.try_into().map_err(|_| wrong("hash", &hex(bytes)))
}

fn payload_hash(row: &Row, at: usize) -> Result<Option<PayloadHash>, StoreError> {
    match get::<Option<&[u8]>>(row, at)? {
        Some(_) => hash(row, at).map(|hash| Some(PayloadHash(hash))),
        None => Ok(None),
    }
}

/// The columns of a process row that belong to the engine, in the order `process_row` reads them.
pub(super) const PROCESS_COLUMNS: &str = "s.state, s.schema, p.logic, p.policy, s.document, p.subject, p.priority, p.opened_at, \
     p.channel, p.site, p.number, p.market, s.stage, s.status, s.waiting_for, p.total, p.currency";

pub(super) fn process_row(row: &Row, at: usize) -> Result<ProcessRow, StoreError> {
    Ok(ProcessRow {
        state: bytes(row, at)?,
        schema: unsigned(row, at + 1)?,
        logic: unsigned(row, at + 2)?,
        policy: compacted(row, at + 3)?,
        document: payload_hash(row, at + 4)?,
        subject: text(row, at + 5)?,
        priority: priority_of(get::<i16>(row, at + 6)?.into()),
        opened_at: time(row, at + 7)?,
        summary: SummaryRow {
            channel: text(row, at + 8)?,
            site: text(row, at + 9)?,
            number: text(row, at + 10)?,
            market: text(row, at + 11)?,
            stage: text(row, at + 12)?,
            status: text(row, at + 13)?,
            waiting_for: text(row, at + 14)?,
            total: text(row, at + 15)?,
            currency: text(row, at + 16)?,
        },
    })
}

pub(super) const EFFECT_COLUMNS: &str =
    "no, step, intent, system, operation, generation, key, state, class, due, attempts, deadline, made_at, request, last";

pub(super) fn effect_row(row: &Row) -> Result<EffectRow, StoreError> {
    let (operation, state): (&str, i16) = (get(row, 4)?, get(row, 7)?);
    Ok(EffectRow {
        no: unsigned(row, 0)?,
        step: text(row, 1)?,
        intent: text(row, 2)?,
        system: system(row, 3)?,
        operation: operation.parse().map_err(|_| wrong("operation", operation))?,
        generation: unsigned(row, 5)?,
        key: compacted(row, 6)?,
        state: state_of(state.into()).ok_or_else(|| wrong("effect state", &state.to_string()))?,
        class: small(row, 8)?,
        due: get::<Option<i64>>(row, 9)?.map(Timestamp),
        attempts: unsigned(row, 10)?,
        deadline: time(row, 11)?,
        made_at: time(row, 12)?,
        request: payload_hash(row, 13)?,
        last: text(row, 14)?,
    })
}

pub(super) const EXCEPTION_COLUMNS: &str =
    "x.name, x.class, x.step, x.intent, x.system, x.cause, x.suggestion, x.since, x.payload";

pub(super) fn exception_row(row: &Row, at: usize) -> Result<(Arc<str>, ExceptionRow), StoreError> {
    Ok((
        text(row, at)?,
        ExceptionRow {
            class: text(row, at + 1)?,
            step: text(row, at + 2)?,
            intent: text(row, at + 3)?,
            system: text(row, at + 4)?,
            cause: text(row, at + 5)?,
            suggestion: text(row, at + 6)?,
            since: time(row, at + 7)?,
            payload: get(row, at + 8)?,
        },
    ))
}

/// From `to_system, to_kind, to_key`.
pub(super) fn addressee(row: &Row, at: usize) -> Result<Addressee, StoreError> {
    Ok(match get::<Option<&str>>(row, at)? {
        None => Addressee::Process(process_key(row, at + 1)?),
        Some(system) => Addressee::Theirs { system: SystemName::new(system), kind: text(row, at + 1)?, id: text(row, at + 2)? },
    })
}

/// From `partition, "offset", kind, key, version, at, actor, action, record`.
pub(super) fn journal_row(row: &Row) -> Result<JournalRow, StoreError> {
    Ok(JournalRow {
        partition: small(row, 0)?,
        offset: unsigned(row, 1)?,
        process: process_key(row, 2)?,
        version: unsigned(row, 4)?,
        at: time(row, 5)?,
        actor: text(row, 6)?,
        action: text(row, 7)?,
        record: bytes(row, 8)?,
    })
}
