//! The monthly report in its forms.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    domain::model::{ids::Name, text::plain, time::Timestamp},
    web::{
        csv,
        pages::slo::{IncidentCost, PeriodRow},
    },
};

/// The maximum number of characters of a title, which is a line of a table.
const LONGEST_TITLE: usize = 200;

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct MonthReport {
    pub(super) as_of: Timestamp,
    /// As `2026-11`.
    pub(super) month: String,
    /// Only SLOs of this team; `None` for all teams.
    pub(super) team: Option<String>,
    /// Every label `team` that an SLO has.
    pub(super) teams: Vec<String>,
    /// By name.
    pub(super) slos: Vec<ReportRow>,
    /// `None` before the first month with events.
    #[serde(skip)]
    pub(super) before: Option<String>,
    /// `None` if that has not begun.
    #[serde(skip)]
    pub(super) after: Option<String>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct ReportRow {
    pub(super) slo: Name,
    pub(super) display_name: String,
    pub(super) team: Option<String>,
    #[serde(flatten)]
    pub(super) period: PeriodRow,
}

/// A report as a message tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportMessage {
    pub title: String,
    pub lines: Vec<String>,
    /// Of the page, below the address of all pages.
    pub path: String,
}

/// What a report says of one SLO.
struct ReportCells {
    objective: String,
    good: String,
    bad: String,
    spent: String,
    incidents: String,
}

impl MonthReport {
    pub(super) fn title(&self) -> String {
        match &self.team {
            Some(team) => format!("Report of {} for {team}", self.month),
            None => format!("Report of {}", self.month),
        }
    }

    pub(super) fn summary(&self) -> String {
        let counted = self.slos.iter().filter(|row| row.period.is_counted());
        let missed = counted.clone().filter(|row| row.period.is_missed()).count();
        let incidents: usize = self.slos.iter().map(|row| row.period.incidents.len()).sum();
        format!(
            "{} of {} SLOs with events met their objective; {incidents} incidents began.",
            counted.clone().count() - missed,
            counted.count(),
        )
    }

    pub(super) fn csv(&self) -> String {
        let mut text = "slo,display_name,team,objective_ratio,revision,good,bad,budget_spent_ratio,incidents\r\n".to_owned();
        for row in &self.slos {
            let period = &row.period;
            let spent = period.budget_spent_ratio.map(|spent| spent.to_string());
            let revision = period.revision.map(|revision| revision.0.to_string());
            let cells = [
                row.slo.to_string(),
                row.display_name.clone(),
                row.team.clone().unwrap_or_default(),
                period.objective_ratio.to_string(),
                revision.unwrap_or_default(),
                period.good.to_string(),
                period.bad.to_string(),
                spent.unwrap_or_default(),
                period.incidents.len().to_string(),
            ];
            text.push_str(&csv::line(&cells));
        }
        text
    }

    pub(super) fn markdown(&self) -> String {
        let mut text = format!(
            "# {}\n\n{}\n\n| SLO | Objective | Good | Bad | Budget spent | Incidents |\n\
             |---|---:|---:|---:|---:|---|\n",
            cell(&self.title()),
            self.summary()
        );
        for row in &self.slos {
            let ReportCells {
                objective,
                good,
                bad,
                spent,
                incidents,
            } = row.cells();
            let name = cell(&row.display_name);
            let line =
                format!("| {name} | {objective} | {good} | {bad} | {spent} | {incidents} |\n");
            text.push_str(&line);
        }
        text
    }

    /// The SLO that spent most of its budget is first, since a message names only some.
    pub(super) fn message(&self) -> ReportMessage {
        let spent = |row: &&ReportRow| row.period.budget_spent_ratio.unwrap_or(-1.0);
        let mut rows: Vec<&ReportRow> = self.slos.iter().collect();
        rows.sort_by(|one, other| spent(other).total_cmp(&spent(one)));
        let summary = match (&self.team, rows.is_empty()) {
            (Some(team), true) => format!("No SLO has the label `team: {team}`."),
            (None, true) => "No SLO is declared.".to_owned(),
            _ => self.summary(),
        };
        let lines = rows.into_iter().map(ReportRow::line);
        ReportMessage {
            title: self.title(),
            lines: std::iter::once(summary).chain(lines).collect(),
            path: self.href(),
        }
    }
}

impl ReportRow {
    fn cells(&self) -> ReportCells {
        let period = &self.period;
        let incidents: Vec<String> = period.incidents.iter().map(IncidentCost::text).collect();
        ReportCells {
            objective: period.objective_text(),
            good: period.good_text(),
            bad: period.bad_text(),
            spent: period.spent_text(),
            incidents: incidents.join("; "),
        }
    }

    fn line(&self) -> String {
        let name = plain(&self.display_name, LONGEST_TITLE);
        let ReportCells {
            objective,
            good,
            bad,
            spent,
            incidents,
        } = self.cells();
        if !self.period.is_counted() {
            return format!("{name}: no events, objective {objective}");
        }
        let incidents = match incidents.as_str() {
            "" => String::new(),
            incidents => format!("; {incidents}"),
        };
        format!(
            "{name}: {spent} of the budget spent, {bad} bad and {good} good, objective {objective}{incidents}"
        )
    }
}

/// Escapes a text, so that it cannot end its cell or become markup.
fn cell(text: &str) -> String {
    let plain = plain(text, LONGEST_TITLE);
    let mut cell = String::with_capacity(plain.len());
    for character in plain.chars() {
        if "\\`*_[]<>|#!&".contains(character) {
            cell.push('\\');
        }
        cell.push(character);
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_markup_and_stays_in_its_cell() {
        assert_eq!(cell("a|b\n<i> [x](y)"), "a\\|b \\<i\\> \\[x\\](y)");
    }
}
