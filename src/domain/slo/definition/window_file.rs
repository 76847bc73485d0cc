//! The shape of a window of the calendar: part of [`super::file`].

use schemars::JsonSchema;
use serde::Deserialize;

use super::read::Field;

/// A window that begins anew with each period of the calendar.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct CalendarFile {
    /// Weeks begin on Monday.
    pub(super) calendar: Field<CalendarUnitFile>,
    /// Whose calendar it is, by its name in the tz database, such as Europe/London; UTC if left out.
    pub(super) time_zone: Option<Field<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum CalendarUnitFile {
    Day,
    Week,
    Month,
    Quarter,
    Year,
}
