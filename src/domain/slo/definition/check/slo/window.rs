//! What an objective holds for: so long, or a period of the calendar of some place.

use chrono_tz::Tz;

use crate::domain::{
    model::window::{Calendar, CalendarUnit, SloWindow},
    slo::definition::{
        check::values::{self, required_ref},
        diagnostics::{Diagnostics, SourceSpan},
        read::{Field, TextOr},
        suggest,
        window_file::{CalendarFile, CalendarUnitFile},
    },
};

pub(crate) fn check(
    findings: &Diagnostics<'_>,
    field: &Field<TextOr<CalendarFile>>,
    parent: SourceSpan,
) -> Option<SloWindow> {
    let (value, place) = required_ref(findings, field, parent, "window")?;
    match value {
        TextOr::Text(text) => values::whole_minutes(findings, text, place).map(SloWindow::Rolling),
        TextOr::Shape(file) => {
            let unit = required_ref(findings, &file.calendar, place, "calendar");
            let zone = time_zone(findings, file.time_zone.as_ref());
            let (unit, _) = unit?;
            Some(SloWindow::Calendar(Calendar {
                unit: unit_of(*unit),
                zone: zone?,
            }))
        }
    }
}

fn unit_of(file: CalendarUnitFile) -> CalendarUnit {
    match file {
        CalendarUnitFile::Day => CalendarUnit::Day,
        CalendarUnitFile::Week => CalendarUnit::Week,
        CalendarUnitFile::Month => CalendarUnit::Month,
        CalendarUnitFile::Quarter => CalendarUnit::Quarter,
        CalendarUnitFile::Year => CalendarUnit::Year,
    }
}

/// UTC where none is named.
pub(crate) fn time_zone(findings: &Diagnostics<'_>, field: Option<&Field<String>>) -> Option<Tz> {
    let Some(field) = field else {
        return Some(Tz::UTC);
    };
    let (text, place) = field.valid()?;
    if let Ok(zone) = text.parse() {
        return Some(zone);
    }
    // There are hundreds: none but the nearest helps.
    let known = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
    let help = suggest::nearest(text, known).map_or_else(
        || "write a name of the tz database: `Europe/London`".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    findings.error_with_help(place, format!("there is no time zone `{text}`"), help);
    None
}
