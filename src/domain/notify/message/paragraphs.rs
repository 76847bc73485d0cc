//! The lists of a message, below its numbers.

use super::{Detail, Line, Paragraph, link, ours, theirs};
use crate::domain::{
    alerting::snapshot::{AlertSnapshot, RecentChange, WorstWorkflow},
    counting::differences::Difference,
    model::{format, time::Timestamp},
    notify::wording,
};

/// Returns all lists, most important first; empty ones are left out.
pub(super) fn all(facts: &AlertSnapshot, detail: Detail) -> Vec<Paragraph> {
    let all = if facts.kind.lasts() {
        vec![
            paragraph("recent_changes", "Recent changes", changes(facts, detail)),
            paragraph(
                "in_common",
                in_common_title(facts),
                in_common(facts, detail),
            ),
            paragraph(
                "top_customers",
                "Most affected",
                most_affected(facts, detail),
            ),
            paragraph("worst_workflows", "Worst examples", worst(facts, detail)),
        ]
    } else {
        vec![
            paragraph(
                "before_and_after",
                "Before and after",
                before_and_after(facts, detail),
            ),
            paragraph("worst_workflows", "Worst examples", worst(facts, detail)),
        ]
    };
    all.into_iter()
        .filter(|paragraph| !paragraph.lines.is_empty())
        .collect()
}

fn paragraph(key: &'static str, title: impl Into<String>, lines: Vec<Line>) -> Paragraph {
    let title = title.into();
    Paragraph { key, title, lines }
}

fn changes(facts: &AlertSnapshot, detail: Detail) -> Vec<Line> {
    let changes = facts.context.changes.iter().take(detail.changes());
    changes
        .map(|change| change_line(change, facts.began_at))
        .collect()
}

fn change_line(change: &RecentChange, began_at: Option<Timestamp>) -> Line {
    let mut line = vec![
        ours(format!("{} ", change.lead())),
        theirs(&change.title),
        ours(format!(" {}", change.when(began_at))),
    ];
    if let Some(more) = change.url.as_deref().and_then(|url| link("more", url)) {
        line.extend([ours(", "), more]);
    }
    line
}

fn in_common_title(facts: &AlertSnapshot) -> String {
    match facts.context.compared {
        Some(compared) if !facts.differences.is_empty() => {
            format!("In common, of {} sampled", compared.text())
        }
        _ => "In common".to_owned(),
    }
}

fn in_common(facts: &AlertSnapshot, detail: Detail) -> Vec<Line> {
    let most = detail.differences();
    if let (true, Some(compared)) = (
        facts.differences.is_empty() && most > 0,
        facts.context.compared,
    ) {
        return vec![vec![ours(compared.without_difference())]];
    }
    let differences = facts.differences.iter().take(most);
    let line = |one| difference(one, format!(": {}", wording::shares(one)));
    differences.map(line).collect()
}

fn difference(one: &Difference, shares: String) -> Line {
    vec![
        theirs(&one.attribute),
        ours(" = "),
        theirs(&one.value),
        ours(shares),
    ]
}

fn most_affected(facts: &AlertSnapshot, detail: Detail) -> Vec<Line> {
    let most = facts.context.top_customers.iter().take(detail.changes());
    most.map(|one| {
        let bad = format!(" {} bad", format::count(one.bad));
        vec![theirs(&one.customer), ours(bad)]
    })
    .collect()
}

fn before_and_after(facts: &AlertSnapshot, detail: Detail) -> Vec<Line> {
    let episode = facts.episode_summary.as_ref();
    let Some(before) = episode.and_then(|episode| episode.before.as_ref()) else {
        return Vec::new();
    };
    let mut lines: Vec<Line> = Vec::new();
    if let Some(text) = wording::recovered(facts, before) {
        lines.push(vec![ours(text)]);
    }
    let clue = before
        .difference
        .as_ref()
        .filter(|_| detail.differences() > 0);
    lines.extend(clue.zip(before.good_ratio_now).map(|(clue, now)| {
        let then = format::percent(clue.bad_ratio);
        let now = format::percent(now);
        difference(clue, format!(": {then} of bad then, {now} of good now"))
    }));
    lines
}

fn worst(facts: &AlertSnapshot, detail: Detail) -> Vec<Line> {
    let shown = facts.worst.iter().take(detail.examples());
    shown.map(worst_line).collect()
}

fn worst_line(worst: &WorstWorkflow) -> Line {
    let took = worst.took_secs.map_or_else(String::new, |secs| {
        let open = if worst.ended { "" } else { " and still open" };
        format!(", {}{open}", format::seconds(secs))
    });
    let mut line = vec![
        theirs(&worst.label),
        ours(format!(" {}{took}", wording::reason(worst.outcome))),
    ];
    if let Some(customer) = &worst.customer {
        line.extend([ours(", customer "), theirs(customer)]);
    }
    let page = worst.page_url.as_ref();
    let page = page.and_then(|url| link("what happened", url));
    line.extend(page.into_iter().flat_map(|page| [ours(", "), page]));
    line.push(ours(format!(", trace {}", worst.trace_id)));
    for trace in &worst.links {
        let trace = link(&trace.name, &trace.url);
        line.extend(trace.into_iter().flat_map(|trace| [ours(" "), trace]));
    }
    line
}
