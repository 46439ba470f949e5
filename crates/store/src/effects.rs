//! The effects of one process as one value, so that a transition writes them with the process it writes anyway.
//!
//! The value begins with the number of its form. Each effect is its length and its body, in the order of their numbers: of a change all
//! others are copied as they are. Numbers are LEB128; times are differences from when the effect was made.

use crate::{
    EffectRow, EffectState, PayloadHash,
    codes::{compact, expand, state_code, state_of},
};
use crossdock_canonical::{Operation, SystemName, Timestamp};
use std::borrow::Cow;

/// Of the one form that there is.
const FORM: u8 = 1;

/// Why a change is refused, or a value cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("effect {0} would change its name, or its generation fall")]
    Renamed(u32),
    #[error("effect {0} has ended, and is due all the same")]
    DueAtItsEnd(u32),
    #[error("effects and their generations are counted from 1")]
    Uncounted,
    #[error("the effects of a process cannot be read")]
    Unreadable,
}

/// Where an open effect stands among all that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) system: Cow<'a, str>,
    pub(crate) class: u8,
    pub(crate) due: Option<Timestamp>,
    pub(crate) state: EffectState,
}

/// An effect that came, changed or ended, as far as it waits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Moved<'a> {
    pub(crate) no: u32,
    pub(crate) from: Option<Place<'a>>,
    pub(crate) to: Option<Place<'a>>,
}

/// The value after a change of some effects, new ones among them; and which places changed. An effect keeps its name, its generation
/// never falls, and within a generation it keeps its key.
pub(crate) fn change<'a>(value: &'a [u8], changed: &'a [EffectRow]) -> Result<(Vec<u8>, Vec<Moved<'a>>), Fault> {
    let mut bodies = bodies(value)?;
    let mut moved = Vec::with_capacity(changed.len());
    for row in changed {
        if row.no == 0 || row.generation == 0 {
            return Err(Fault::Uncounted);
        }
        if !row.state.is_open() && row.due.is_some() {
            return Err(Fault::DueAtItsEnd(row.no));
        }
        let to = row.state.is_open().then(|| Place {
            system: Cow::Borrowed(row.system.as_str()),
            class: row.class,
            due: row.due,
            state: row.state,
        });
        let found = bodies.binary_search_by_key(&row.no, |(no, _)| *no);
        let from = match found {
            Err(at) => {
                bodies.insert(at, (row.no, Cow::Owned(body(row))));
                None
            }
            Ok(at) => {
                let old = std::mem::replace(&mut bodies[at].1, Cow::Owned(body(row)));
                match old {
                    Cow::Borrowed(old) => successor(Seen::read(old)?, row)?,
                    Cow::Owned(old) => successor(Seen::read(&old)?, row)?.map(Place::into_owned),
                }
            }
        };
        if from != to {
            moved.push(Moved { no: row.no, from, to });
        }
    }
    let length = bodies.iter().map(|(_, body)| body.len() + 3).sum::<usize>() + 1;
    let mut out = Vec::with_capacity(length);
    out.push(FORM);
    for (_, body) in &bodies {
        put(&mut out, body.len() as u64);
        out.extend_from_slice(body);
    }
    Ok((out, moved))
}

/// All effects, in the order of their numbers.
pub(crate) fn unpack(value: &[u8]) -> Result<Vec<EffectRow>, Fault> {
    bodies(value)?.into_iter().map(|(_, body)| Seen::read(&body)?.row()).collect()
}

/// Where an effect stood, if what comes after it may.
fn successor<'a>(old: Seen<'a>, new: &EffectRow) -> Result<Option<Place<'a>>, Fault> {
    let same_name = *old.step == *new.step && *old.intent == *new.intent;
    let goes_on = old.generation < new.generation || (old.generation == new.generation && old.key == compact(&new.key));
    if !same_name || !goes_on {
        return Err(Fault::Renamed(new.no));
    }
    let (system, class, due, state) = (Cow::Borrowed(old.system), old.class, old.due, old.state);
    Ok(state.is_open().then_some(Place { system, class, due, state }))
}

impl Place<'_> {
    fn into_owned<'b>(self) -> Place<'b> {
        Place { system: Cow::Owned(self.system.into_owned()), ..self }
    }
}

type Body<'a> = (u32, Cow<'a, [u8]>);

fn bodies(value: &[u8]) -> Result<Vec<Body<'_>>, Fault> {
    let mut rest = match value.split_first() {
        None => return Ok(Vec::with_capacity(1)),
        Some((&FORM, rest)) => Rest(rest),
        Some(_) => return Err(Fault::Unreadable),
    };
    let mut bodies: Vec<Body<'_>> = Vec::with_capacity(8);
    while !rest.0.is_empty() {
        let body = rest.sized()?;
        let no = Rest(body).small()?;
        if bodies.last().is_some_and(|(last, _)| *last >= no) {
            return Err(Fault::Unreadable);
        }
        bodies.push((no, Cow::Borrowed(body)));
    }
    Ok(bodies)
}

fn body(row: &EffectRow) -> Vec<u8> {
    let since = |at: Timestamp| at.0.wrapping_sub(row.made_at.0);
    let mut out = Vec::with_capacity(160);
    put(&mut out, row.no.into());
    for text in [&*row.step, &*row.intent, row.system.as_str(), row.operation.as_str()] {
        put_sized(&mut out, text.as_bytes());
    }
    put(&mut out, row.generation.into());
    put_sized(&mut out, &compact(&row.key));
    out.extend([state_code(row.state).to_le_bytes()[0], row.class]);
    put(&mut out, row.attempts.into());
    put_signed(&mut out, row.made_at.0);
    put_signed(&mut out, since(row.deadline));
    match row.due {
        Some(due) => {
            out.push(1);
            put_signed(&mut out, since(due));
        }
        None => out.push(0),
    }
    put_sized(&mut out, row.request.as_ref().map_or(&[][..], |hash| &hash.0[..]));
    put_sized(&mut out, row.last.as_bytes());
    out
}

/// An effect as it lies in the value.
struct Seen<'a> {
    no: u32,
    step: &'a str,
    intent: &'a str,
    system: &'a str,
    operation: &'a str,
    generation: u32,
    key: &'a [u8],
    state: EffectState,
    class: u8,
    attempts: u32,
    made_at: Timestamp,
    deadline: Timestamp,
    due: Option<Timestamp>,
    request: &'a [u8],
    last: &'a str,
}

impl<'a> Seen<'a> {
    fn read(body: &'a [u8]) -> Result<Self, Fault> {
        let mut rest = Rest(body);
        let no = rest.small()?;
        let [step, intent, system, operation] = [rest.text()?, rest.text()?, rest.text()?, rest.text()?];
        let (generation, key) = (rest.small()?, rest.sized()?);
        let (state, class) = (state_of(rest.byte()?.into()).ok_or(Fault::Unreadable)?, rest.byte()?);
        let (attempts, made_at) = (rest.small()?, rest.signed()?);
        let deadline = Timestamp(made_at.wrapping_add(rest.signed()?));
        let due = match rest.byte()? {
            0 => None,
            _ => Some(Timestamp(made_at.wrapping_add(rest.signed()?))),
        };
        let (request, last) = (rest.sized()?, rest.text()?);
        let made_at = Timestamp(made_at);
        Ok(Self {
            no,
            step,
            intent,
            system,
            operation,
            generation,
            key,
            state,
            class,
            attempts,
            made_at,
            deadline,
            due,
            request,
            last,
        })
    }

    fn row(&self) -> Result<EffectRow, Fault> {
        Ok(EffectRow {
            no: self.no,
            step: self.step.into(),
            intent: self.intent.into(),
            system: SystemName::new(self.system),
            operation: self.operation.parse::<Operation>().map_err(|_| Fault::Unreadable)?,
            generation: self.generation,
            key: expand(self.key).ok_or(Fault::Unreadable)?,
            state: self.state,
            class: self.class,
            due: self.due,
            attempts: self.attempts,
            deadline: self.deadline,
            made_at: self.made_at,
            request: match self.request {
                [] => None,
                hash => Some(PayloadHash(hash.try_into().map_err(|_| Fault::Unreadable)?)),
            },
            last: self.last.into(),
        })
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Numbers near 0 are short, whatever their sign.
fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

fn put_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// What of a value has yet to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn byte(&mut self) -> Result<u8, Fault> {
        let (first, rest) = self.0.split_first().ok_or(Fault::Unreadable)?;
        self.0 = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u64, Fault> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Fault::Unreadable)
    }

    fn small(&mut self) -> Result<u32, Fault> {
        u32::try_from(self.number()?).map_err(|_| Fault::Unreadable)
    }

    fn signed(&mut self) -> Result<i64, Fault> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn sized(&mut self) -> Result<&'a [u8], Fault> {
        let length = usize::try_from(self.number()?).map_err(|_| Fault::Unreadable)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Fault::Unreadable)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.sized()?).map_err(|_| Fault::Unreadable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(no: u32) -> EffectRow {
        EffectRow {
            no,
            step: "book".into(),
            intent: "shipment-1".into(),
            system: SystemName::new("erp"),
            operation: Operation::ErpCreateOrder,
            generation: 1,
            key: "00112233445566778899aabbccddeeff".into(),
            state: EffectState::Pending,
            class: 3,
            due: Some(Timestamp(1_795_000_000_000)),
            attempts: 0,
            deadline: Timestamp(1_795_000_300_000),
            made_at: Timestamp(1_795_000_000_000),
            request: Some(PayloadHash([7; 32])),
            last: "".into(),
        }
    }

    fn changed(value: &[u8], rows: &[EffectRow]) -> Vec<u8> {
        change(value, rows).expect("may change").0
    }

    #[test]
    fn every_effect_is_read_back_as_it_was_written_and_stays_when_another_changes() {
        let odd = EffectRow {
            intent: "".into(),
            key: "not a hash".into(),
            state: EffectState::Reversed,
            due: None,
            attempts: u32::MAX,
            deadline: Timestamp(i64::MIN),
            made_at: Timestamp(i64::MAX),
            request: None,
            last: "refused no_such_sku".into(),
            generation: u32::MAX,
            class: 255,
            ..effect(300)
        };
        let early = EffectRow { due: Some(Timestamp(-1)), made_at: Timestamp(0), key: "0011".into(), ..effect(2) };
        let value = changed(&changed(&[], &[odd.clone(), effect(1)]), std::slice::from_ref(&early));
        assert_eq!(unpack(&value).expect("reads"), [effect(1), early, odd]);
        assert_eq!(unpack(&[]).expect("reads"), []);
    }

    #[test]
    fn a_change_says_what_waits_where_and_nothing_of_what_stays() {
        let place = |class, state, due| Place { system: "erp".into(), class, due, state };
        let at = Timestamp(1_795_000_000_000);
        let pending = place(3, EffectState::Pending, Some(at));
        let value = changed(&[], &[effect(1)]);
        let cases = [
            (EffectRow { attempts: 1, ..effect(1) }, None),
            (EffectRow { class: 1, ..effect(1) }, Some(place(1, EffectState::Pending, Some(at)))),
            (EffectRow { state: EffectState::Accepted, due: None, ..effect(1) }, Some(place(3, EffectState::Accepted, None))),
        ];
        for (row, to) in cases {
            let rows = [row];
            let moved = change(&value, &rows).expect("may change").1;
            let expected = to.map(|to| Moved { no: 1, from: Some(pending.clone()), to: Some(to) });
            assert_eq!(moved, Vec::from_iter(expected), "{rows:?}");
        }
        let rows = [EffectRow { state: EffectState::Done, due: None, ..effect(1) }, effect(2)];
        let moved = change(&value, &rows).expect("may change").1;
        let [ended, began] = &moved[..] else { panic!("{moved:?}") };
        assert_eq!((ended.no, &ended.from, &ended.to), (1, &Some(pending.clone()), &None));
        assert_eq!((began.no, &began.from, &began.to), (2, &None, &Some(pending)));
    }

    #[test]
    fn an_effect_that_changes_twice_at_once_moves_twice() {
        let rows = [effect(1), EffectRow { class: 1, ..effect(1) }];
        let moved = change(&[], &rows).expect("may change").1;
        assert_eq!(moved.len(), 2);
        assert_eq!(moved[0].to, moved[1].from);
    }

    #[test]
    fn an_effect_keeps_its_name_and_its_key_and_its_generation_does_not_fall() {
        let value = changed(&[], &[EffectRow { generation: 2, ..effect(1) }]);
        for wrong in [
            EffectRow { generation: 1, ..effect(1) },
            EffectRow { generation: 2, key: "ffeeddccbbaa99887766554433221100".into(), ..effect(1) },
            EffectRow { generation: 2, step: "cancel".into(), ..effect(1) },
            EffectRow { generation: 2, intent: "shipment-2".into(), ..effect(1) },
        ] {
            assert_eq!(change(&value, std::slice::from_ref(&wrong)).err(), Some(Fault::Renamed(1)), "{wrong:?}");
        }
        let risen = EffectRow { generation: 3, key: "another".into(), ..effect(1) };
        assert_eq!(unpack(&changed(&value, std::slice::from_ref(&risen))).expect("reads"), [risen]);
    }

    #[test]
    fn what_no_effect_can_be_is_refused() {
        for (wrong, fault) in [
            (EffectRow { state: EffectState::Done, ..effect(1) }, Fault::DueAtItsEnd(1)),
            (EffectRow { no: 0, ..effect(1) }, Fault::Uncounted),
            (EffectRow { generation: 0, ..effect(1) }, Fault::Uncounted),
        ] {
            assert_eq!(change(&[], std::slice::from_ref(&wrong)).err(), Some(fault), "{wrong:?}");
        }
    }

    #[test]
    fn a_damaged_value_is_refused_wherever_it_ends() {
        let value = changed(&[], &[effect(1), effect(2)]);
        let whole = [1, 2 + usize::from(value[1])];
        for end in 1..value.len() {
            let read = unpack(&value[..end]);
            assert!(read.is_err() || whole.contains(&end), "the first {end} bytes were taken for {read:?}");
        }
        assert_eq!(unpack(&[2]), Err(Fault::Unreadable));
        let twice = [&value[..], &value[1..]].concat();
        assert_eq!(unpack(&twice), Err(Fault::Unreadable), "numbers rise");
    }
}
