//! Drawings: marks, the path glyph, the money bar, the edges of the flow. Text inside is escaped here, because templates take
//! these as they are. Their twins in text (tables, lists) are in the templates.

mod lanes;

pub use lanes::{Happening, Lanes, Planned};

use super::words::Tone;
use askama::filters::HtmlSafe;
use rust_decimal::{Decimal, prelude::ToPrimitive};
use std::fmt::{self, Display};

/// Text inside markup.
pub struct Escaped<'a>(pub &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                _ => write!(f, "{letter}")?,
            }
        }
        Ok(())
    }
}

/// A mark that stands alone, with its word for those who do not see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub Tone);

impl HtmlSafe for Mark {}
impl Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, word) = (self.0.as_str(), self.0.word());
        write!(
            f,
            r##"<svg class="mark {class}" viewBox="0 0 16 16" role="img" aria-label="{word}"><use href="#m-{class}"/></svg>"##
        )
    }
}

/// A mark and its word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub tone: Tone,
    pub word: String,
}

impl Status {
    pub fn new(tone: Tone, word: impl Into<String>) -> Self {
        Self { tone, word: word.into() }
    }

    /// The mark alone, with its word for those who do not see it.
    pub fn tone_mark(&self) -> Mark {
        Mark(self.tone)
    }
}

impl HtmlSafe for Status {}
impl Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, word) = (self.tone.as_str(), Escaped(&self.word));
        write!(
            f,
            r##"<span class="st {class}"><svg class="mark {class}" viewBox="0 0 16 16" aria-hidden="true"><use href="#m-{class}"/></svg><span>{word}</span></span>"##
        )
    }
}

/// An amount with its currency. Empty when there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    pub currency: String,
    pub amount: String,
}

impl HtmlSafe for Amount {}
impl Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.amount.is_empty() {
            return Ok(());
        }
        let amount = super::words::amount(&self.amount);
        write!(f, r#"<span class="money"><span class="cur">{}</span>{}</span>"#, Escaped(&self.currency), Escaped(&amount))
    }
}

/// The eight steps of an order, in the order of the glyph.
pub const STEPS: [&str; 8] = ["accepted", "paid", "in the ERP", "released", "picked", "shipped", "captured", "told"];

/// The path glyph: how far an order is, and what stops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Steps done, from the left.
    pub done: usize,
    /// How the next one stands.
    pub next: Tone,
}

impl HtmlSafe for Path {}
impl Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = self.done.min(STEPS.len());
        let class = match self.next {
            Tone::Failed => "f",
            Tone::Unknown => "u",
            Tone::Attention => "a",
            Tone::Waiting => "w",
            Tone::Ok | Tone::Planned | Tone::Off => "",
        };
        let rest = STEPS.get(done).filter(|_| !class.is_empty());
        let name = rest.map_or(String::new(), |step| format!("; {step} {}", self.next.word().to_lowercase()));
        write!(f, r#"<svg class="path" viewBox="0 0 100 12" role="img" aria-label="{done} of 8 steps done{name}">"#)?;
        for at in 0..STEPS.len() {
            let x = at as u32 * 126;
            let (x, tenth) = (x / 10, x % 10);
            match () {
                () if at < done => write!(f, r#"<rect class="d" x="{x}.{tenth}" y="1" width="10.6" height="10"/>"#)?,
                () if at == done && !class.is_empty() => {
                    write!(f, r#"<rect class="{class}" x="{x}.{tenth}" y="1" width="10.6" height="10"/>"#)?;
                }
                () => write!(f, r#"<rect x="{x}.{tenth}" y="4" width="10.6" height="4"/>"#)?,
            }
        }
        f.write_str("</svg>")
    }
}

/// Captured is solid, what is still open is a broken outline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoneyBar {
    pub captured: Decimal,
    pub authorized: Decimal,
    pub currency: String,
}

impl HtmlSafe for MoneyBar {}
impl Display for MoneyBar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A picture's width in pixels, not money: a whole number of 320.
        let share = if self.authorized.is_zero() {
            Decimal::ZERO
        } else {
            self.captured.saturating_mul(Decimal::from(320)) / self.authorized
        };
        let got = share.round().to_u32().unwrap_or(0).min(320);
        let (captured, authorized, currency) = (self.captured, self.authorized, Escaped(&self.currency));
        write!(
            f,
            r#"<svg class="moneybar" viewBox="0 0 320 16" preserveAspectRatio="none" role="img" aria-label="{currency} {captured} of {authorized} captured">"#
        )?;
        if got > 0 {
            write!(f, r#"<rect class="got" x="0" y="2" width="{got}" height="12"/>"#)?;
        }
        if got < 318 && !self.authorized.is_zero() {
            write!(f, r#"<rect class="open" x="{}.5" y="2.75" width="{}" height="10.5"/>"#, got + 1, 318 - got)?;
        }
        f.write_str("</svg>")
    }
}

/// One end of the flow picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    pub calls_per_minute: u32,
    pub waiting: u64,
    pub tone: Tone,
}

/// The picture between the two tables of the home page: channels, the hub, systems, on the tables' own pitch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edges {
    pub channels: Vec<Door>,
    pub systems: Vec<Door>,
    pub orders_per_minute: u32,
    pub open: String,
}

const HEAD: u32 = 28;
const ROW: u32 = 42;
const CHANNEL: u32 = 105;

impl Edges {
    fn height(&self) -> u32 {
        HEAD + (ROW * self.systems.len() as u32).max(CHANNEL * self.channels.len() as u32).max(4 * ROW)
    }
}

/// The middle of a channel's row.
fn channel_level(at: usize) -> u32 {
    HEAD + CHANNEL * at as u32 + CHANNEL / 2
}

impl HtmlSafe for Edges {}
impl Display for Edges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let height = self.height();
        write!(f, r#"<svg class="edges tall" viewBox="0 0 200 {height}" role="img" aria-labelledby="flow-t flow-d">"#)?;
        write!(
            f,
            r#"<title id="flow-t">Flow through the hub</title><desc id="flow-d">{} channels send {} orders a minute; {} systems receive calls. The figures are in the tables on both sides.</desc>"#,
            self.channels.len(),
            self.orders_per_minute,
            self.systems.len()
        )?;
        for (at, door) in self.channels.iter().enumerate() {
            let y = channel_level(at);
            edge(f, door, &format!("M0 {y}C32 {y} 28 {y} 60 {y}"))?;
        }
        for (at, door) in self.systems.iter().enumerate() {
            let y = HEAD + ROW * at as u32 + ROW / 2;
            edge(f, door, &format!("M140 {y}C166 {y} 166 {y} 192 {y}"))?;
        }
        write!(f, r#"<rect class="dock" x="60" y="32" width="80" height="{}" rx="3"/>"#, height - 36)?;
        for (at, door) in self.channels.iter().enumerate() {
            let y = channel_level(at);
            write!(f, r#"<rect class="door{}" x="57" y="{}" width="4" height="8"/>"#, door_class(door), y - 4)?;
        }
        for (at, door) in self.systems.iter().enumerate() {
            let y = HEAD + ROW * at as u32 + ROW / 2;
            write!(f, r#"<rect class="door{}" x="139" y="{}" width="4" height="10"/>"#, door_class(door), y - 5)?;
            if door.waiting > 0 {
                pallets(f, door, y)?;
            }
        }
        let middle = 32 + (height - 36) / 2;
        write!(
            f,
            r#"<text class="lab" x="100" y="52">hub</text><text class="big" x="92" y="{}">{}</text>"#,
            middle,
            Escaped(&self.open)
        )?;
        write!(f, r#"<text class="lab" x="92" y="{}">open orders</text></svg>"#, middle + 17)
    }
}

/// Width grows with the root of the calls, so that a busy system does not hide a quiet one.
fn edge(f: &mut fmt::Formatter<'_>, door: &Door, path: &str) -> fmt::Result {
    let tenths = 12 + (door.calls_per_minute.saturating_mul(110)).isqrt();
    let tenths = tenths.clamp(15, 110);
    let class = match door.tone {
        Tone::Failed => " broken",
        Tone::Attention | Tone::Unknown => " slow",
        Tone::Waiting | Tone::Ok | Tone::Planned | Tone::Off => "",
    };
    write!(f, r#"<path class="edge{class}" stroke-width="{}.{}" d="{path}"/>"#, tenths / 10, tenths % 10)?;
    if door.calls_per_minute > 0 && class.is_empty() {
        write!(f, r#"<path class="pulse" d="{path}"/>"#)?;
    }
    Ok(())
}

fn door_class(door: &Door) -> &'static str {
    match door.tone {
        Tone::Failed => " failed",
        Tone::Attention | Tone::Unknown => " attention",
        Tone::Waiting | Tone::Ok | Tone::Planned | Tone::Off => "",
    }
}

/// One block for 25 waiting, six at most on a row of the flow.
fn pallets(f: &mut fmt::Formatter<'_>, door: &Door, y: u32) -> fmt::Result {
    let blocks = u32::try_from(door.waiting.div_ceil(25)).unwrap_or(6).min(6);
    let class = if door.tone == Tone::Failed { "" } else { " attention" };
    for block in 0..blocks {
        let (column, row) = (block / 2, block % 2);
        write!(f, r#"<rect class="pallet{class}" x="{}" y="{}" width="4" height="4"/>"#, 132 - column * 5, y - 4 + row * 5)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_drawing_becomes_markup() {
        let word = r#"</svg><script>alert(1)</script>" onload='x'"#;
        for drawn in [
            Status::new(Tone::Ok, word).to_string(),
            Amount { currency: word.into(), amount: word.into() }.to_string(),
            MoneyBar { captured: 1.into(), authorized: 2.into(), currency: word.into() }.to_string(),
        ] {
            assert!(!drawn.contains("<script") && !drawn.contains("' ") && drawn.contains("&lt;script"), "{drawn}");
        }
    }

    #[test]
    fn the_glyph_says_in_words_what_it_draws() {
        let drawn = Path { done: 2, next: Tone::Failed }.to_string();
        assert!(drawn.contains(r#"aria-label="2 of 8 steps done; in the ERP failed""#), "{drawn}");
        assert_eq!(drawn.matches(r#"class="d""#).count(), 2);
        assert_eq!(drawn.matches("<rect").count(), 8);
        assert!(Path { done: 8, next: Tone::Failed }.to_string().contains("8 of 8 steps done\""));
    }

    #[test]
    fn the_money_bar_never_leaves_its_frame() {
        for (captured, authorized) in [(0, 0), (0, 10), (10, 10), (20, 10)] {
            let bar = MoneyBar { captured: captured.into(), authorized: authorized.into(), currency: "EUR".into() }.to_string();
            assert!(!bar.contains('-') || !bar.contains("width=\"-"), "{bar}");
        }
    }
}
