//! Words, numbers and addresses as the console writes them. Pure text; templates escape it.

use crossdock_canonical::{Duration, OrderRef, Timestamp};
use crossdock_store::EffectState;

/// What a mark says: a shape, a color and a word, always together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    Failed,
    Unknown,
    Attention,
    Waiting,
    Ok,
    Planned,
    Off,
}

impl Tone {
    /// The class, and the end of the sprite symbol's id.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Attention => "attention",
            Self::Waiting => "waiting",
            Self::Ok => "ok",
            Self::Planned => "planned",
            Self::Off => "off",
        }
    }

    /// The word for a mark that stands alone.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Failed => "Failed",
            Self::Unknown => "Unknown",
            Self::Attention => "Attention",
            Self::Waiting => "Waiting",
            Self::Ok => "Done",
            Self::Planned => "Expected",
            Self::Off => "Off",
        }
    }

    pub const fn of_effect(state: EffectState) -> Self {
        match state {
            EffectState::Pending | EffectState::Accepted => Self::Waiting,
            EffectState::Unknown => Self::Unknown,
            EffectState::Parked | EffectState::Refused => Self::Failed,
            EffectState::Done => Self::Ok,
            EffectState::Skipped => Self::Off,
            EffectState::Reversed => Self::Attention,
        }
    }

    /// By the class of an exception.
    pub fn of_exception(class: &str) -> Self {
        match class {
            "silent" | "fraud_review" => Self::Attention,
            "unknown_unresolved" => Self::Unknown,
            _ => Self::Failed,
        }
    }

    /// By the status of a process and whether a person is needed.
    pub fn of_status(status: &str, exceptions: u32, waiting_for: &str) -> Self {
        match status {
            _ if exceptions > 0 => Self::Failed,
            "held" => Self::Waiting,
            "failed" => Self::Failed,
            "cancelled" => Self::Off,
            "open" if !waiting_for.is_empty() => Self::Waiting,
            _ => Self::Ok,
        }
    }
}

/// `fraud_review` as people say it: `Fraud review`.
pub fn sentence(word: &str) -> String {
    let spaced = word.replace(['_', '.'], " ");
    let mut letters = spaced.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// The first letter as a capital; the rest as it is.
pub fn sentence_case(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// `create_order` of `erp.create_order`, in words.
pub fn operation(operation: &str) -> String {
    let name = operation.split_once('.').map_or(operation, |(_, name)| name);
    name.replace('_', " ")
}

/// 1906 as `1,906`.
pub fn count(n: u64) -> String {
    group(&n.to_string())
}

/// An exact amount with its thousands grouped; nothing else is changed.
pub fn amount(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("\u{2212}", digits));
    match digits.split_once('.') {
        Some((whole, fraction)) => format!("{sign}{}.{fraction}", group(whole)),
        None => format!("{sign}{}", group(digits)),
    }
}

fn group(digits: &str) -> String {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return digits.to_owned();
    }
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 order`, `2 orders`.
pub fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// A length of time in its two largest units: `12 s`, `4 min`, `1 h 34 min`, `3 d 4 h`.
pub fn lasting(length: Duration) -> String {
    let ms = length.0.max(0);
    let (s, min, h) = (ms / 1_000, ms / 60_000, ms / 3_600_000);
    match () {
        () if ms < 1_000 => format!("{ms} ms"),
        () if s < 60 => format!("{s} s"),
        () if min < 60 => format!("{min} min"),
        () if h < 24 => two(h, "h", min % 60, "min"),
        () => two(h / 24, "d", h % 24, "h"),
    }
}

fn two(large: i64, large_unit: &str, small: i64, small_unit: &str) -> String {
    if small == 0 { format!("{large} {large_unit}") } else { format!("{large} {large_unit} {small} {small_unit}") }
}

/// Milliseconds as a person measures them: `118 ms`, `1.9 s`.
pub fn millis(ms: u64) -> String {
    if ms < 1_000 { format!("{ms} ms") } else { format!("{}.{} s", ms / 1_000, ms % 1_000 / 100) }
}

/// The time of day in UTC; with the date when it is another day than `now`.
pub fn clock(at: Timestamp, now: Timestamp) -> String {
    const DAY: i64 = 86_400_000;
    let text = at.to_string();
    let (date, time) = text.split_once('T').unwrap_or(("", ""));
    let time = time.get(..8).unwrap_or(time);
    if at.0.div_euclid(DAY) == now.0.div_euclid(DAY) {
        time.to_owned()
    } else {
        format!("{} {}", day(date), time.get(..5).unwrap_or(time))
    }
}

/// `2026-11-24` as `24 Nov`.
fn day(date: &str) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = date.split('-').skip(1).map(|part| part.parse::<usize>().unwrap_or(1));
    let (month, day) = (parts.next().unwrap_or(1), parts.next().unwrap_or(1));
    format!("{day} {}", MONTHS.get(month.saturating_sub(1)).unwrap_or(&"Jan"))
}

/// When something is due, seen from now: `in 32 min`, `12 s ago`.
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    if at >= now { format!("in {}", lasting(at - now)) } else { format!("{} ago", lasting(now - at)) }
}

/// Percent-encodes everything but unreserved characters.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The page of an order.
pub fn order_path(channel: &str, site: &str, number: &str) -> String {
    format!("/orders/{}/{}/{}", encode(channel), encode(site), encode(number))
}

/// The page of a process: an order's own, and the order's for what belongs to an order.
pub fn process_path(key: &str) -> String {
    match OrderRef::parse(key) {
        Some(order) => order_path(order.channel.as_str(), order.site.as_str(), order.number.as_str()),
        None => "/exceptions".into(),
    }
}

/// Where an order is read in the experience API.
pub fn order_api_path(order: &OrderRef) -> String {
    let OrderRef { channel, site, number } = order;
    format!(
        "/experience/v1/orders/{}?channel={}&site={}",
        encode(number.as_str()),
        encode(channel.as_str()),
        encode(site.as_str())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_use_two_units() {
        for (ms, text) in [
            (-5, "0 ms"),
            (250, "250 ms"),
            (12_000, "12 s"),
            (240_000, "4 min"),
            (5_640_000, "1 h 34 min"),
            (7_200_000, "2 h"),
            (273_600_000, "3 d 4 h"),
        ] {
            assert_eq!(lasting(Duration(ms)), text);
        }
    }

    #[test]
    fn amounts_are_grouped_and_otherwise_untouched() {
        for (given, shown) in [
            ("1204.00", "1,204.00"),
            ("-41207.35", "\u{2212}41,207.35"),
            ("96800", "96,800"),
            ("0.5", "0.5"),
            ("", ""),
            ("x", "x"),
        ] {
            assert_eq!(amount(given), shown);
        }
    }

    #[test]
    fn another_day_is_named() {
        let at = |text: &str| Timestamp::parse(text).expect("an instant");
        let now = at("2026-11-24T14:32:20Z");
        assert_eq!(clock(at("2026-11-24T09:12:04Z"), now), "09:12:04");
        assert_eq!(clock(at("2026-11-23T23:59:59Z"), now), "23 Nov 23:59");
    }

    #[test]
    fn addresses_hold_any_number() {
        assert_eq!(order_path("sfcc", "DE", "a b/<ü>"), "/orders/sfcc/DE/a%20b%2F%3C%C3%BC%3E");
    }
}
