//! A list of workflows as comma-separated values (RFC 4180).

use super::FoundView;
use crate::{domain::model::time::Timestamp, web::csv};

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
        text.push_str(&csv::line(&cells));
    }
    text
}
