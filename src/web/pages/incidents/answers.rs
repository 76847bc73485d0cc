//! The first questions about an incident, each answered in a line: who is affected, how many
//! workflows are stuck, where, which trace, what changed, who has acknowledged it, and what to do.

use schemars::JsonSchema;
use serde::Serialize;

use super::view::IncidentView;
use crate::{
    domain::{
        alerting::snapshot::{AlertSnapshot, WorstWorkflow},
        model::format,
        notify::wording,
    },
    web::{pages::summary::Summary, reader::times},
};

/// The maximum number of listed changes.
const MOST_CHANGES: usize = 2;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub(super) struct IncidentAnswer {
    /// The anchor: `affected`, `stuck`, `where`, `trace`, `changed`, `owner`.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) text: String,
    /// Text and URL.
    pub(super) links: Vec<(String, String)>,
}

impl IncidentAnswer {
    const fn new(id: &'static str, title: &'static str, text: String) -> Self {
        Self {
            id,
            title,
            text,
            links: Vec::new(),
        }
    }
}

/// Returns the answers in their order on the page.
pub(super) fn of(view: &IncidentView, notified: &[String]) -> Vec<IncidentAnswer> {
    let last = &view.last;
    let mut all = vec![IncidentAnswer::new(
        "affected",
        "Affected",
        affected(view.live.as_ref(), last),
    )];
    all.extend(stuck(view));
    all.extend(wording::slow_stage(last).map(|stage| {
        let share = last.slowest_stage.as_ref().map(wording::extra_time);
        let share = share.map_or_else(String::new, |share| format!(": {share}"));
        IncidentAnswer::new("where", "Where", format!("{stage}{share}"))
    }));
    all.extend(last.worst.first().map(trace));
    all.push(changed(last));
    all.push(IncidentAnswer::new(
        "owner",
        "Has it",
        owner(view, notified),
    ));
    all
}

fn affected(live: Option<&Summary>, last: &AlertSnapshot) -> String {
    let people = match live {
        Some(live) => live.people_text(),
        None => wording::people(last),
    };
    let most = last.context.top_customers.first();
    let most = most.map_or_else(String::new, |most| {
        format!(" (most: {}, {})", most.customer, format::count(most.bad))
    });
    let bad = live.map_or_else(
        || format!("{} in {}", wording::share(last), last.long.lately()),
        Summary::bad_text,
    );
    match people {
        Some(people) => format!("{people}{most}; {bad}"),
        None => bad,
    }
}

/// Returns the answer for an incident that is not over, of an SLO with a time limit.
fn stuck(view: &IncidentView) -> Option<IncidentAnswer> {
    let live = view.live.as_ref()?;
    live.within_seconds?;
    let text = format!(
        "{}; {} in flight, {} of them overdue",
        live.never_finished.text(),
        live.in_flight_text(),
        live.overdue_text()
    );
    Some(IncidentAnswer::new("stuck", "Stuck", text))
}

fn trace(worst: &WorstWorkflow) -> IncidentAnswer {
    let links = worst.links.iter();
    IncidentAnswer {
        links: links
            .map(|link| (link.name.clone(), link.url.clone()))
            .collect(),
        ..IncidentAnswer::new(
            "trace",
            "Trace",
            format!(
                "{} ({}), {}",
                worst.label,
                wording::reason(worst.outcome),
                worst.trace_id
            ),
        )
    }
}

fn changed(last: &AlertSnapshot) -> IncidentAnswer {
    let changes = &last.context.changes;
    let texts: Vec<String> = changes
        .iter()
        .take(MOST_CHANGES)
        .map(|change| {
            format!(
                "{} {} {}",
                change.lead(),
                change.title,
                change.when(last.began_at)
            )
        })
        .collect();
    let text = if texts.is_empty() {
        "nothing that was reported or seen".to_owned()
    } else {
        texts.join("; ")
    };
    IncidentAnswer {
        links: changes
            .iter()
            .take(MOST_CHANGES)
            .filter_map(|change| Some((change.title.clone(), change.url.clone()?)))
            .collect(),
        ..IncidentAnswer::new("changed", "Changed", text)
    }
}

/// Returns who has acknowledged it, or else who was notified.
fn owner(view: &IncidentView, notified: &[String]) -> String {
    if let Some(acknowledged) = &view.acknowledged {
        return format!(
            "{}, since {}",
            acknowledged.by.as_deref().unwrap_or("someone"),
            times::moment(acknowledged.at, view.as_of)
        );
    }
    match notified {
        [] => "no one: no target was notified".to_owned(),
        targets => format!("no one yet; notified: {}", targets.join(", ")),
    }
}
