//! The monthly reports of a target.

use std::collections::BTreeSet;

use chrono::NaiveTime;

use crate::domain::slo::{
    ReportSchedule, TargetKind,
    definition::{
        check::values,
        fields::Fields,
        shape::Shape,
        value::{Checked, YamlValue},
    },
};

/// Days that every month has.
const LAST_DAY: u64 = 28;

pub(crate) fn reports(value: YamlValue<'_>) -> Checked<Vec<ReportSchedule>> {
    let reports = value.list(report)?;
    let mut teams = BTreeSet::new();
    for report in &reports {
        if !teams.insert(&report.team) {
            let of = report.team.as_ref();
            let of = of.map_or_else(|| "all teams".to_owned(), |team| format!("team `{team}`"));
            let message = format!("there are two reports of {of}");
            return Err(value.error_with_help(message, "delete one of them".to_owned()));
        }
    }
    Ok(reports)
}

fn report(value: YamlValue<'_>) -> Checked<ReportSchedule> {
    let about = "What a month counted, sent once when the month is over.";
    value.group("MonthlyReport", about, |fields| {
        let about = "Label `team` of its SLOs. Left out, it has all SLOs.";
        let team = fields.optional("team", about, values::text);
        let about = "Day of the month, 1 to 28. Left out, it is the first that is no Saturday and no Sunday.";
        let day = fields.optional("day", about, day);
        let time = fields.or("time", "09:00", "Time of day.", time);
        let about = "Time zone of day and time, such as Europe/London.";
        let zone = fields.or("timeZone", "UTC", about, values::time_zone);
        Ok(ReportSchedule {
            team: team?,
            day: day?,
            time: time?,
            zone: zone?,
        })
    })
}

fn day(value: YamlValue<'_>) -> Checked<u32> {
    let day = value.whole()?;
    match u32::try_from(day) {
        Ok(short) if (1..=LAST_DAY).contains(&day) => Ok(short),
        _ => Err(value.error_with_help(
            format!("there is no day {day} in every month"),
            format!("write 1 to {LAST_DAY}"),
        )),
    }
}

fn time(value: YamlValue<'_>) -> Checked<NaiveTime> {
    let text = value.scalar(Shape::Text)?;
    NaiveTime::parse_from_str(text, "%H:%M").map_err(|_| {
        let message = format!("`{text}` is no time of day");
        value.error_with_help(message, "write hours and minutes: `\"09:00\"`".to_owned())
    })
}

/// Reports are for people to read.
pub(crate) fn check_kind(fields: &Fields<'_>, kind: &TargetKind) -> Checked<()> {
    let is_for_alerts = match kind {
        TargetKind::PagerDuty { .. } | TargetKind::Alertmanager { .. } => true,
        TargetKind::Webhook { .. }
        | TargetKind::Slack { .. }
        | TargetKind::SlackBot { .. }
        | TargetKind::Teams { .. } => false,
    };
    if is_for_alerts && fields.has("reports") {
        let message = format!("a {} target takes alerts, and no report", kind.as_str());
        let help = "send it to a target of Slack or Teams, or to a webhook";
        return Err(fields.error_with_help("reports", message, help));
    }
    Ok(())
}
