//! What a message lists, in the same words in every channel: each line is made of pieces, and a channel
//! writes those that are not ours so that they cannot be taken for its markup.

use crate::domain::{
    alerting::{
        snapshot::{AlertSnapshot, RecentChange, WorstWorkflow},
        trace_link::TraceLink,
    },
    counting::differences::Difference,
    model::{format, time::Timestamp},
    notify::{Detail, wording},
};

/// A part of a line.
#[derive(Clone, Debug)]
pub(crate) enum LinePart<'a> {
    /// Words and numbers of ours, without anything that a channel could take for markup.
    Ours(String),
    /// What somebody else wrote.
    Theirs(&'a str),
    /// What an address is called, and the address; neither is ours.
    Link(&'a str, &'a str),
}

pub(crate) type Line<'a> = Vec<LinePart<'a>>;

/// Lines under a title.
#[derive(Clone, Debug)]
pub(crate) struct Paragraph<'a> {
    /// Where fields have names.
    pub(crate) key: &'static str,
    /// Words of ours.
    pub(crate) title: String,
    pub(crate) lines: Vec<Line<'a>>,
}

/// All that is listed, most useful first; what there is nothing of is left out.
pub(crate) fn paragraphs(facts: &AlertSnapshot, detail: Detail) -> Vec<Paragraph<'_>> {
    let told = if facts.kind.lasts() {
        vec![
            paragraph("recent_changes", "Recent changes", changes(facts, detail)),
            paragraph(
                "in_common",
                in_common_title(facts),
                in_common(facts, detail),
            ),
            paragraph("top_customers", "Hurt most", hurt_most(facts, detail)),
            paragraph("worst_workflows", "Worst examples", worst(facts, detail)),
        ]
    } else {
        vec![
            paragraph(
                "before_and_after",
                "Then and now",
                then_and_now(facts, detail),
            ),
            paragraph("worst_workflows", "Worst examples", worst(facts, detail)),
        ]
    };
    told.into_iter()
        .filter(|paragraph| !paragraph.lines.is_empty())
        .collect()
}

fn paragraph<'a>(
    key: &'static str,
    title: impl Into<String>,
    lines: Vec<Line<'a>>,
) -> Paragraph<'a> {
    let title = title.into();
    Paragraph { key, title, lines }
}

fn ours(text: impl Into<String>) -> LinePart<'static> {
    LinePart::Ours(text.into())
}

fn changes(facts: &AlertSnapshot, detail: Detail) -> Vec<Line<'_>> {
    let changes = facts.context.changes.iter().take(detail.changes());
    changes
        .map(|change| change_line(change, facts.began_at))
        .collect()
}

fn change_line(change: &RecentChange, began_at: Option<Timestamp>) -> Line<'_> {
    let mut line = vec![
        ours(format!("{} ", change.lead())),
        LinePart::Theirs(&change.title),
        ours(format!(" {}", change.when(began_at))),
    ];
    if let Some(url) = &change.url {
        line.extend([ours(", "), LinePart::Link("more", url)]);
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

fn in_common(facts: &AlertSnapshot, detail: Detail) -> Vec<Line<'_>> {
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

fn difference(one: &Difference, shares: String) -> Line<'_> {
    vec![
        LinePart::Theirs(&one.attribute),
        ours(" = "),
        LinePart::Theirs(&one.value),
        ours(shares),
    ]
}

fn hurt_most(facts: &AlertSnapshot, detail: Detail) -> Vec<Line<'_>> {
    let most = facts.context.top_customers.iter().take(detail.changes());
    most.map(|one| {
        let bad = format!(" {} bad", format::count(one.bad));
        vec![LinePart::Theirs(&one.customer), ours(bad)]
    })
    .collect()
}

fn then_and_now(facts: &AlertSnapshot, detail: Detail) -> Vec<Line<'_>> {
    let episode = facts.episode_summary.as_ref();
    let Some(before) = episode.and_then(|episode| episode.before.as_ref()) else {
        return Vec::new();
    };
    let mut lines: Vec<Line<'_>> = Vec::new();
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

fn worst(facts: &AlertSnapshot, detail: Detail) -> Vec<Line<'_>> {
    let shown = facts.worst.iter().take(detail.examples());
    shown.map(worst_line).collect()
}

fn worst_line(worst: &WorstWorkflow) -> Line<'_> {
    let took = worst.took_secs.map_or_else(String::new, |secs| {
        let open = if worst.ended { "" } else { " and still open" };
        format!(", {}{open}", format::seconds(secs))
    });
    let mut line = vec![
        LinePart::Theirs(&worst.label),
        ours(format!(" {}{took}", wording::reason(worst.outcome))),
    ];
    if let Some(customer) = &worst.customer {
        line.extend([ours(", customer "), LinePart::Theirs(customer)]);
    }
    line.push(ours(format!(", trace {}", worst.trace_id)));
    for TraceLink { name, url } in &worst.links {
        line.extend([ours(" "), LinePart::Link(name, url)]);
    }
    line
}
