//! Formats lengths of time and instants.

use std::time::Duration;

use chrono::{DateTime, Datelike as _};
use chrono_tz::Tz;

use super::NONE;
use crate::domain::model::time::Timestamp;

/// Formats with the two largest units: `250 ms`, `4.2 s`, `6 min 41 s`, `4 h 52 min`, `3 d 4 h`.
pub fn duration(length: Duration) -> String {
    let secs = length.as_secs();
    match secs {
        0 if length.subsec_millis() == 0 => "0 s".to_owned(),
        0 => format!("{} ms", length.subsec_millis()),
        1..60 => {
            let text = format!("{:.1}", length.as_secs_f64().min(59.9));
            format!("{} s", text.strip_suffix(".0").unwrap_or(&text))
        }
        60..3_600 => two_units((secs / 60, "min"), (secs % 60, "s")),
        3_600..86_400 => two_units((secs / 3_600, "h"), (secs % 3_600 / 60, "min")),
        _ => two_units((secs / 86_400, "d"), (secs % 86_400 / 3_600, "h")),
    }
}

fn two_units((large, large_unit): (u64, &str), (small, small_unit): (u64, &str)) -> String {
    if small == 0 {
        format!("{large} {large_unit}")
    } else {
        format!("{large} {large_unit} {small} {small_unit}")
    }
}

/// Formats seconds like [`duration`], but accepts values out of its range; a length that is
/// negative because of clock skew reads as zero.
pub fn seconds(secs: impl Into<Option<f64>>) -> String {
    secs.into()
        .filter(|secs| secs.is_finite())
        .and_then(|secs| Duration::try_from_secs_f64(secs.max(0.0)).ok())
        .map_or_else(|| NONE.to_owned(), duration)
}

/// Formats a length that is still growing or predicted, with seconds only below a minute: `19 min`,
/// `4 h 52 min`.
pub fn lasting(length: Duration) -> String {
    let secs = length.as_secs();
    let cut = if secs >= 60 { secs - secs % 60 } else { secs };
    duration(Duration::from_secs(cut))
}

/// Formats the length of a window as a definition writes it: `28 d`, `6 h`, `5 min`.
pub fn window(secs: u64) -> String {
    duration(Duration::from_secs(secs))
}

/// Describes a window that reaches back beyond the first event: `the 20 s since the first event`.
pub fn since_first_event(secs: u64) -> String {
    let length = lasting(Duration::from_secs(secs));
    format!("the {length} since the first event")
}

/// Formats as `10:08:04`.
pub fn clock(at: Timestamp, zone: Tz) -> String {
    local(at, zone).format("%H:%M:%S").to_string()
}

fn local(at: Timestamp, zone: Tz) -> DateTime<Tz> {
    at.to_chrono().with_timezone(&zone)
}

/// Formats an instant to the millisecond: `21:31:04.250` on the day of `now`, otherwise `Thu 19 Nov
/// 21:31:04.250`, with the year if it differs.
pub fn instant(at: Timestamp, now: Timestamp, zone: Tz) -> String {
    let day = moment(at, now, zone);
    let day = day.rsplit_once(' ').map(|(day, _)| format!("{day} "));
    let time = local(at, zone).format("%H:%M:%S%.3f");
    format!("{}{time}", day.unwrap_or_default())
}

/// Formats as `06:18 UTC`, with the zone's abbreviation at that time.
pub fn time_of_day(at: Timestamp, zone: Tz) -> String {
    local(at, zone).format("%H:%M %Z").to_string()
}

/// Formats as `2026-11-22 06:18 UTC`.
pub fn date_time(at: Timestamp) -> String {
    at.to_chrono().format("%Y-%m-%d %H:%M UTC").to_string()
}

/// Formats as briefly as is unambiguous: `21:31` today, otherwise `Thu 19 Nov 21:31`, with the year
/// if it differs. Days are those of `zone`.
pub fn moment(at: Timestamp, now: Timestamp, zone: Tz) -> String {
    let (at, now) = (local(at, zone), local(now, zone));
    let form = if at.date_naive() == now.date_naive() {
        "%H:%M"
    } else if at.year() == now.year() {
        "%a %-d %b %H:%M"
    } else {
        "%-d %b %Y %H:%M"
    };
    at.format(form).to_string()
}

/// Formats an instant for a sentence: `today 21:31`, `Thu 19 Nov 21:31`.
pub fn moment_in_words(at: Timestamp, now: Timestamp, zone: Tz) -> String {
    let text = moment(at, now, zone);
    if text.len() == "21:31".len() {
        format!("today {text}")
    } else {
        text
    }
}
