//! `/slos/{slo}/groups`: the groups of an SLO, the most urgent first. The SLO's own page shows the
//! worst of them.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{extract::Path, response::Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::{declared, undeclared};
use crate::{
    domain::{
        alerting::status::SloState,
        model::{
            format,
            group::Group,
            ids::{Name, SloId},
            time::Timestamp,
        },
        slo::{Severity, Slo},
    },
    store::{GroupRecord, StoreError, Tx},
    web::{
        error::WebError,
        page::{Layout, Negotiation, Section},
        pages::{
            overview::freshness_of,
            summary::{StatusBadge, Summary},
        },
        reader::AsOf,
        state::WebState,
    },
};

/// The maximum number of rows on the page of the SLO.
const MOST_BESIDE_OTHERS: usize = 20;

/// The groups of an SLO, the most urgent first.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct GroupsView {
    /// The attributes with their scopes.
    by: Vec<String>,
    max_groups: u32,
    pub(super) total: usize,
    /// Groups with a firing page or ticket, inhibited or not.
    pub(super) burning: usize,
    pub(super) rows: Vec<GroupView>,
    /// The number of groups that `rows` leaves out.
    pub(super) more: usize,
}

/// One group in a row.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct GroupView {
    id: i32,
    /// The values by attribute, as people read them.
    values: BTreeMap<String, String>,
    pub(super) text: String,
    state: Option<SloState>,
    inhibited: Vec<Severity>,
    achieved_ratio: Option<f64>,
    budget_remaining_ratio: Option<f64>,
    burn_rate_last_hour: Option<f64>,
    bad_events: i64,
    total_events: i64,
    in_flight: i64,
    #[serde(skip)]
    pub(super) summary: Summary,
}

/// The group of a page.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct GroupHead {
    pub(super) id: i32,
    pub(super) text: String,
    values: BTreeMap<String, String>,
}

impl GroupHead {
    pub(super) fn new(id: SloId, group: &Group) -> Self {
        Self {
            id: id.0,
            text: group.text(),
            values: values(group),
        }
    }
}

impl GroupsView {
    /// Reads the groups; `None` if the SLO is not grouped.
    pub(super) async fn read(
        state: &WebState,
        tx: &mut Tx<'_>,
        (id, slo): (SloId, &Slo),
        as_of: AsOf,
    ) -> Result<Option<Self>, StoreError> {
        let Some(by) = &slo.group_by else {
            return Ok(None);
        };
        let mut records = state.shown(&slo.name, tx.groups(id).await?);
        let own = records.iter_mut().map(|of| &mut of.record);
        as_of.evaluations(tx, own).await?;
        let mut rows: Vec<GroupView> = records
            .into_iter()
            .map(|record| GroupView::new(slo, &record))
            .collect();
        rows.sort_by_cached_key(|row| (row.summary.urgency(), row.text.clone()));
        let is_burning =
            |row: &&GroupView| matches!(row.state, Some(SloState::Paging | SloState::Ticket));
        Ok(Some(Self {
            by: by.names(),
            max_groups: by.max_groups,
            total: rows.len(),
            burning: rows.iter().filter(is_burning).count(),
            rows,
            more: 0,
        }))
    }

    /// Keeps only the worst, as many as the SLO's page shows.
    pub(super) fn worst(mut self) -> Self {
        self.more = self.total.saturating_sub(MOST_BESIDE_OTHERS);
        self.rows.truncate(MOST_BESIDE_OTHERS);
        self
    }

    /// Formats `3 of 12 groups burn`.
    pub(super) fn tally_text(&self) -> String {
        tally_text(self.burning, self.total)
    }

    pub(super) fn by_text(&self) -> String {
        self.by.join(", ")
    }

    pub(super) fn max_text(&self) -> String {
        format::count(i64::from(self.max_groups))
    }
}

/// Formats `3 of 12 groups burn`; `12 groups` if none does.
pub(in crate::web) fn tally_text(burning: usize, total: usize) -> String {
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let all = format::counted(count(total), "group");
    match burning {
        0 => all,
        1 => format!("1 of {all} burns"),
        many => format!("{} of {all} burn", format::count(count(many))),
    }
}

impl GroupView {
    fn new(slo: &Slo, record: &GroupRecord) -> Self {
        let summary = Summary::new(slo, Some(&record.record));
        Self {
            id: record.record.id.0,
            values: values(&record.group),
            text: record.group.text(),
            state: summary.state,
            inhibited: summary.inhibited.clone(),
            achieved_ratio: summary.achieved_ratio,
            budget_remaining_ratio: summary.budget_remaining_ratio,
            burn_rate_last_hour: summary.burn_rate_last_hour,
            bad_events: summary.evaluated_counts.bad,
            total_events: summary.evaluated_counts.total,
            in_flight: summary.in_flight,
            summary,
        }
    }

    pub(super) fn path(&self) -> String {
        path(&self.summary.name, SloId(self.id))
    }

    pub(super) fn bad_text(&self) -> String {
        format!(
            "{} of {}",
            format::count(self.bad_events),
            format::count(self.total_events)
        )
    }

    pub(super) fn is_held_back(&self) -> bool {
        !self.inhibited.is_empty()
    }
}

fn values(group: &Group) -> BTreeMap<String, String> {
    let pairs = group.pairs();
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Returns the path of a group's page.
fn path(slo: &Name, group: SloId) -> String {
    format!("/slos/{slo}/groups/{}", group.0)
}

/// Returns the path of the page of an SLO, or of its group.
pub(in crate::web) fn path_of(slo: &Name, group: Option<SloId>) -> String {
    group.map_or_else(|| format!("/slos/{slo}"), |group| path(slo, group))
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct GroupListView {
    as_of: Timestamp,
    slo: Name,
    display_name: String,
    evaluated_at: Option<Timestamp>,
    #[serde(flatten)]
    groups: GroupsView,
}

#[derive(Template)]
#[template(path = "groups.html", config = "src/web/askama.toml")]
struct GroupsPage {
    layout: Layout,
    view: GroupListView,
}

pub(in crate::web) async fn get(
    asked: Negotiation,
    state: WebState,
    Path(name): Path<String>,
) -> Response {
    match declared(&state, &name) {
        None => asked.refuse(&state, &undeclared(&state, &name).await),
        Some(slo) => {
            let view = list(&state, &slo).await;
            asked.reply(&state, view, |view| page(&state, view))
        }
    }
}

async fn list(state: &WebState, slo: &Arc<Slo>) -> Result<GroupListView, WebError> {
    let now = AsOf::now(state);
    let mut tx = state.reads().begin("read the groups of an SLO").await?;
    let record = tx.slo(&slo.name).await?;
    let groups = match &record {
        Some(record) => GroupsView::read(state, &mut tx, (record.id, slo), now).await?,
        None => None,
    };
    let groups = groups.ok_or(WebError::NoSuchPage)?;
    Ok(GroupListView {
        as_of: now.at,
        slo: slo.name.clone(),
        display_name: slo.display_name.clone(),
        evaluated_at: record
            .and_then(|record| record.status)
            .map(|status| status.evaluated_at),
        groups,
    })
}

fn page(state: &WebState, view: GroupListView) -> GroupsPage {
    let tally = view.groups.tally_text();
    let title = format!("{} · {tally} · Throughline", view.display_name);
    let mut layout = Layout::new(state, Section::Overview, title);
    let worst = view.groups.rows.first().and_then(|row| row.state);
    layout.icon = StatusBadge::of(worst).favicon();
    layout.json = Some(format!("/api/v1/slos/{}/groups", view.slo));
    layout.fresh = freshness_of(view.evaluated_at, view.as_of);
    GroupsPage { layout, view }
}
