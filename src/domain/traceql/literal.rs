//! Strings, numbers and durations in TraceQL's syntax.

use super::{SelectorError, tree::Literal};

/// Nanoseconds per unit; `d`, `w` and `y` as in Prometheus.
const UNITS: [(&str, u64); 11] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
    ("y", 31_536_000_000_000_000),
];

/// Returns the string at the beginning of `text`, and its length in bytes including its quotes.
pub(super) fn string(text: &str) -> Result<(String, usize), SelectorError> {
    let open = |length| SelectorError::new(0..length, "this string is never closed");
    if let Some(raw) = text.strip_prefix('`') {
        let length = raw.find('`').ok_or_else(|| open(text.len()))?;
        return Ok((raw.get(..length).unwrap_or_default().to_owned(), length + 2));
    }
    let mut bytes = Vec::new();
    let mut at = 1;
    while let Some(next) = text.get(at..).and_then(|rest| rest.chars().next()) {
        match next {
            '"' => {
                let string = String::from_utf8(bytes)
                    .map_err(|_| SelectorError::new(0..at + 1, "this string is not UTF-8"))?;
                return Ok((string, at + 1));
            }
            '\n' => return Err(open(at)),
            '\\' => at += escape(text, at, &mut bytes)?,
            _ => {
                bytes.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes());
                at += next.len_utf8();
            }
        }
    }
    Err(open(text.len()))
}

/// Decodes the escape whose backslash is at `at`; returns its length in bytes.
fn escape(text: &str, at: usize, bytes: &mut Vec<u8>) -> Result<usize, SelectorError> {
    let kind = text.get(at + 1..).and_then(|rest| rest.chars().next());
    let plain = match kind {
        Some('a') => 0x07,
        Some('b') => 0x08,
        Some('f') => 0x0c,
        Some('n') => b'\n',
        Some('r') => b'\r',
        Some('t') => b'\t',
        Some('v') => 0x0b,
        Some('\\') => b'\\',
        Some('"') => b'"',
        Some('x') => return coded(text, at, 2, bytes),
        Some('u') => return coded(text, at, 4, bytes),
        Some('U') => return coded(text, at, 8, bytes),
        Some('0'..='7') => return octal(text, at, bytes),
        other => return Err(unknown_escape(at, other)),
    };
    bytes.push(plain);
    Ok(2)
}

fn unknown_escape(at: usize, kind: Option<char>) -> SelectorError {
    let kind = kind.map(String::from).unwrap_or_default();
    SelectorError::new(
        at..at + 1 + kind.len(),
        format!("`\\{kind}` is not an escape"),
    )
    .with_help(format!(
        "write `\\\\{kind}`, or put the string in backticks"
    ))
}

/// Decodes `\xHH`, a byte, or `\uHHHH` and `\UHHHHHHHH`, characters.
fn coded(text: &str, at: usize, digits: usize, out: &mut Vec<u8>) -> Result<usize, SelectorError> {
    let code = text
        .get(at + 2..at + 2 + digits)
        .filter(|code| code.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .and_then(|code| u32::from_str_radix(code, 16).ok());
    let bad = || {
        SelectorError::new(
            at..at + 2,
            format!("this escape needs {digits} hexadecimal digits of a character"),
        )
    };
    let code = code.ok_or_else(bad)?;
    if digits == 2 {
        out.push(u8::try_from(code).map_err(|_| bad())?);
    } else {
        let character = char::from_u32(code).ok_or_else(bad)?;
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Ok(2 + digits)
}

fn octal(text: &str, at: usize, out: &mut Vec<u8>) -> Result<usize, SelectorError> {
    let byte = text
        .get(at + 1..at + 4)
        .and_then(|code| u8::from_str_radix(code, 8).ok());
    out.push(byte.ok_or_else(|| {
        SelectorError::new(at..at + 2, "this escape needs three octal digits of a byte")
    })?);
    Ok(4)
}

/// Parses all of `text` as an integer, a float or a duration.
pub(super) fn number(text: &str) -> Result<Literal, SelectorError> {
    if text.bytes().all(|digit| digit.is_ascii_digit()) {
        return text.parse().map(Literal::Int).map_err(|_| {
            SelectorError::new(
                0..text.len(),
                format!(
                    "`{text}` does not fit in 64 bits: the largest integer is {}",
                    i64::MAX
                ),
            )
        });
    }
    match text.parse::<f64>() {
        Ok(float) if float.is_finite() => Ok(Literal::Float(float)),
        Ok(_) => Err(SelectorError::new(
            0..text.len(),
            format!("`{text}` is larger than any number"),
        )),
        Err(_) => duration(text).map(Literal::Duration),
    }
}

/// Parses one or more numbers with units, as `1h30m` or `1.5s`, to nanoseconds.
fn duration(text: &str) -> Result<i64, SelectorError> {
    let mut rest = text;
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let is_digit = |c: char| c.is_ascii_digit() || c == '.';
        let (amount, tail) = cut(rest, is_digit);
        let (unit, tail) = cut(tail, |c| !is_digit(c));
        rest = tail;
        let nanos = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, n)| *n);
        let part = nanos.and_then(|nanos| multiple(amount, nanos));
        total = total.saturating_add(part.ok_or_else(|| not_a_number(text))?);
    }
    i64::try_from(total).map_err(|_| {
        SelectorError::new(
            0..text.len(),
            format!("`{text}` is longer than the 292 years that nanoseconds can count"),
        )
    })
}

fn cut(text: &str, wanted: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !wanted(c)).unwrap_or(text.len()))
}

/// Returns `amount` times `nanos`, exact to the nanosecond.
fn multiple(amount: &str, nanos: u64) -> Option<u128> {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, "0"));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits = |text: &str| match text {
        "" => Some(0),
        // More digits exceed any duration on the left and are below a nanosecond on the right.
        _ => text.get(..text.len().min(18))?.parse::<u128>().ok(),
    };
    let scale = 10_u128.pow(u32::try_from(fraction.len().min(18)).ok()?);
    if whole.len() > 18 {
        return Some(u128::MAX);
    }
    let nanos = u128::from(nanos);
    Some(digits(whole)? * nanos + digits(fraction)? * nanos / scale)
}

fn not_a_number(text: &str) -> SelectorError {
    SelectorError::new(
        0..text.len(),
        format!("`{text}` is neither a number nor a duration"),
    )
    .with_help("durations are written as `100ms`, `1.5s`, `5m` or `1h30m`, with the units ns, us, ms, s, m, h, d, w, y")
}
