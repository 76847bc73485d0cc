//! A list of workflows as comma-separated values (RFC 4180).

use super::FoundView;
use crate::domain::model::time::Timestamp;

const HEAD: &str = "slo,key,label,customer,outcome,started_at,ended_at,deadline,duration_seconds,\
                    trace_id,current_stage\r\n";

pub(super) fn lines(workflows: &[FoundView]) -> String {
    let mut text = HEAD.to_owned();
    for found in workflows {
        let one = &found.workflow;
        let time = |at: Option<Timestamp>| at.map(Timestamp::to_rfc3339).unwrap_or_default();
        let [started_at, ended_at, deadline] = one.times().map(time);
        let duration = one.duration_seconds().map(|secs| secs.to_string());
        let cells = [
            found.slo.to_string(),
            one.key().to_owned(),
            one.label().to_owned(),
            one.customer().unwrap_or_default().to_owned(),
            one.outcome().as_str().to_owned(),
            started_at,
            ended_at,
            deadline,
            duration.unwrap_or_default(),
            one.trace_text(),
            one.stage().unwrap_or_default().to_owned(),
        ];
        text.push_str(&cells.map(|cell| quoted(&cell)).join(","));
        text.push_str("\r\n");
    }
    text
}

/// Names come from senders: a spreadsheet must not take one for a formula.
fn quoted(cell: &str) -> String {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let mark = if is_formula { "'" } else { "" };
    format!("\"{mark}{}\"", cell.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_can_be_no_formula_and_cannot_leave_its_quotes() {
        assert_eq!(quoted("=1+1"), "\"'=1+1\"");
        assert_eq!(quoted("a \"b\",\nc"), "\"a \"\"b\"\",\nc\"");
    }
}
