//! The overview as a page.

use std::collections::BTreeMap;

use askama::Template;

use super::{
    OverviewView,
    filter::{Filter, STATES},
    freshness_of,
};
use crate::{
    domain::{
        alerting::status::SloState,
        model::{format, time::Timestamp},
    },
    web::{
        chart::{self, Markup},
        page::{Layout, Section},
        pages::{
            sentence::{self, Sentence},
            slo::groups,
            summary::{StatusBadge, Summary},
        },
        reader::permalink,
        state::WebState,
    },
};

/// The maximum number of sentences above the table.
const MOST_SENTENCES: usize = 3;

#[derive(Template)]
#[template(path = "overview.html", config = "src/web/askama.toml")]
pub(super) struct OverviewPage {
    layout: Layout,
    filter: Filter,
    chips: Vec<Chip>,
    urgent: Vec<Urgent>,
    more_urgent: usize,
    blocks: Vec<RowBlock>,
    view: OverviewView,
}

struct Chip {
    face: StatusBadge,
    href: String,
    n: usize,
    current: bool,
}

struct Urgent {
    face: StatusBadge,
    name: String,
    display_name: String,
    sentence: Sentence,
}

/// The rows of one group; all rows if nothing is grouped.
struct RowBlock {
    heading: Option<String>,
    rows: Vec<OverviewRow>,
}

struct OverviewRow {
    slo: Summary,
    spark: Markup,
    /// The number of groups, and how many of them burn.
    groups: Option<String>,
    /// A short explanation of the state.
    note: Option<String>,
}

impl OverviewPage {
    pub(super) fn new(state: &WebState, filter: Filter, mut view: OverviewView) -> Self {
        let slos = std::mem::take(&mut view.slos);
        let mut urgent: Vec<Urgent> = slos
            .iter()
            .filter_map(|slo| Urgent::of(slo, view.as_of))
            .collect();
        let more_urgent = urgent.len().saturating_sub(MOST_SENTENCES);
        urgent.truncate(MOST_SENTENCES);
        let worst = slos.iter().filter_map(|slo| slo.state).min();
        let mut layout = Layout::new(state, Section::Overview, title(&slos));
        layout.icon = StatusBadge::of(worst).favicon();
        layout.json = Some("/api/v1/slos".to_owned());
        layout.search.clone_from(&filter.q);
        layout.fresh = freshness(&view, slos.len());
        let link = permalink(&filter.of_now(), view.evaluated_at);
        layout = layout.of_moment(view.banner.take(), link);
        Self {
            layout,
            chips: chips(&view.states, &filter),
            urgent,
            more_urgent,
            blocks: RowBlock::all(slos, &filter, &view),
            filter,
            view,
        }
    }

    /// Returns the parameter for links to the same time.
    fn at(&self) -> String {
        match self.layout.past {
            Some(_) => format!("?at={}", self.view.as_of),
            None => String::new(),
        }
    }

    fn spans_text(&self) -> String {
        format::count(i64::try_from(self.view.spans_received).unwrap_or(i64::MAX))
    }

    fn refused_text(&self) -> String {
        format::count(i64::try_from(self.view.spans_rejected).unwrap_or(i64::MAX))
    }

    fn last_span_text(&self) -> String {
        self.ago(self.view.last_span_at)
    }

    fn kafka_lag_text(&self) -> String {
        let kafka = self.view.kafka.as_ref();
        kafka.map_or_else(|| format::NONE.to_owned(), |kafka| format::count(kafka.lag))
    }

    fn kafka_read_text(&self) -> String {
        let up_to = self.view.kafka.as_ref().map(|kafka| kafka.read_up_to);
        self.ago(up_to)
    }

    fn ago(&self, at: Option<Timestamp>) -> String {
        let as_of = self.view.as_of;
        at.map_or_else(
            || format::NONE.to_owned(),
            |at| format!("{} ago", format::lasting(as_of.saturating_since(at))),
        )
    }

    fn in_flight_text(&self) -> String {
        format::count(self.rows().map(|row| row.slo.in_flight).sum())
    }

    fn overdue_text(&self) -> String {
        format::count(self.rows().map(|row| row.slo.overdue).sum())
    }

    fn rows(&self) -> impl Iterator<Item = &OverviewRow> {
        self.blocks.iter().flat_map(|block| &block.rows)
    }
}

fn title(slos: &[Summary]) -> String {
    let count = |state| slos.iter().filter(|slo| slo.state == Some(state)).count();
    match (count(SloState::Paging), count(SloState::Ticket)) {
        (0, 0) => "Overview · Throughline".to_owned(),
        (0, tickets) => format!(
            "{} · Throughline",
            format::counted(i64::try_from(tickets).unwrap_or(0), "ticket")
        ),
        (paging, _) => format!("{paging} PAGING · Throughline"),
    }
}

fn freshness(view: &OverviewView, slos: usize) -> Vec<String> {
    let mut fresh = freshness_of(view.evaluated_at, view.as_of);
    fresh.push(format::counted(i64::try_from(slos).unwrap_or(0), "SLO"));
    fresh
}

fn chips(states: &BTreeMap<&'static str, usize>, filter: &Filter) -> Vec<Chip> {
    let faces = STATES.into_iter().map(StatusBadge::of);
    let chip = |face: StatusBadge| {
        let n = states.get(face.word).copied()?;
        Some(Chip {
            face,
            href: filter.in_state(face.word),
            n,
            current: filter.state.eq_ignore_ascii_case(face.word),
        })
    };
    faces.filter_map(chip).collect()
}

impl Urgent {
    fn of(slo: &Summary, now: Timestamp) -> Option<Self> {
        Some(Self {
            face: slo.face(),
            name: slo.name.to_string(),
            display_name: slo.display_name.clone(),
            sentence: sentence::urgent(slo, now)?,
        })
    }
}

impl RowBlock {
    fn all(slos: Vec<Summary>, filter: &Filter, view: &OverviewView) -> Vec<Self> {
        let mut blocks: Vec<Self> = Vec::new();
        for slo in slos {
            let heading = filter.heading(&slo);
            let row = OverviewRow::new(slo, view);
            match blocks.last_mut().filter(|last| last.heading == heading) {
                Some(last) => last.rows.push(row),
                None => blocks.push(Self {
                    heading,
                    rows: vec![row],
                }),
            }
        }
        blocks
    }
}

impl OverviewRow {
    fn new(slo: Summary, view: &OverviewView) -> Self {
        let points = view.budget_remaining_by_day.get(slo.name.as_str());
        let sentence = format!(
            "Budget left over the last 28 days, now {}",
            slo.budget_text()
        );
        let spark = points
            .map(|points| chart::sparkline(points, &sentence))
            .unwrap_or_default();
        let note = match slo.state {
            Some(SloState::Paging | SloState::Ticket | SloState::Recovering) => {
                slo.began_at.map(|since| {
                    format!(
                        "for {}",
                        format::lasting(view.as_of.saturating_since(since))
                    )
                })
            }
            Some(SloState::NoData) => Some(format!("no event in {}", slo.window_text())),
            Some(SloState::TooFew) => Some(format!(
                "only {}",
                format::counted(slo.evaluated_counts.total, "event")
            )),
            _ => None,
        };
        let groups = view.groups.get(slo.name.as_str());
        let count = |n: i64| usize::try_from(n).unwrap_or(0);
        let groups = groups.map(|of| groups::tally_text(count(of.burning), count(of.groups)));
        Self {
            slo,
            spark,
            groups,
            note,
        }
    }
}
