//! `/alerts`: the firing alerts of all installations.

use std::cmp::Reverse;

use askama::Template;
use axum::{extract::State, response::Response};
use serde::Serialize;

use super::{InstallationView, OfInstallation, OverviewState, pages_of, shown};
use crate::{
    domain::{
        alerting::{alert::AlertState, status::SloState},
        model::{format, time::Timestamp},
    },
    installations::{AlertsAnswer, ListedAlert},
    web::{
        page::{Layout, Negotiation, Section},
        pages::{slo::groups, summary::StatusBadge},
        reader::times,
    },
};

#[derive(Debug, Serialize)]
struct FiringHere {
    #[serde(flatten)]
    alert: ListedAlert,
    incident_url: Option<String>,
}

#[derive(Debug, Serialize)]
struct AllAlertsView {
    as_of: Timestamp,
    installations: Vec<InstallationView>,
    firing: Vec<OfInstallation<FiringHere>>,
}

pub(super) async fn get(asked: Negotiation, State(state): State<OverviewState>) -> Response {
    let answers = state
        .installations
        .ask(async |api| api.get::<AlertsAnswer>("/api/v1/alerts").await);
    let answers = answers.await;
    let installations = InstallationView::all(&answers);
    let mut firing: Vec<OfInstallation<FiringHere>> = Vec::new();
    for answer in answers {
        let Ok(found) = answer.result else { continue };
        let pages = pages_of(&answer.installation, found.public_url.as_deref());
        firing.extend(found.firing.into_iter().map(|alert| OfInstallation {
            installation: answer.installation.name.clone(),
            url: format!("{pages}{}", groups::path_of(&alert.slo, alert.group_id)),
            of: FiringHere {
                incident_url: alert.incident.map(|id| format!("{pages}/incidents/{id}")),
                alert,
            },
        }));
    }
    firing.sort_by_key(|one| (Reverse(one.of.alert.severity), one.of.alert.began_at));
    let view = AllAlertsView {
        as_of: state.clock.now(),
        installations,
        firing,
    };
    shown(asked.show(view, AllAlertsPage::new))
}

impl OfInstallation<FiringHere> {
    fn face(&self) -> StatusBadge {
        match self.of.alert.state {
            AlertState::Recovering => StatusBadge::of(Some(SloState::Recovering)),
            AlertState::Pending => StatusBadge {
                word: "Pending",
                ..StatusBadge::of(Some(SloState::Rising))
            },
            AlertState::Inactive | AlertState::Firing => {
                StatusBadge::of_severity(self.of.alert.severity)
            }
        }
    }

    fn word(&self) -> &'static str {
        StatusBadge::severity_text(self.of.alert.severity)
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates pass references"
    )]
    fn since_text(&self, now: &Timestamp) -> String {
        times::moment(self.of.alert.began_at, *now)
    }

    fn budget_text(&self) -> String {
        format::budget(self.of.alert.budget_remaining_ratio)
    }

    fn customers_text(&self) -> String {
        let customers = self.of.alert.customers_affected_last_hour;
        customers.map_or_else(|| format::NONE.to_owned(), format::count)
    }
}

#[derive(Template)]
#[template(path = "installations/alerts.html", config = "src/web/askama.toml")]
struct AllAlertsPage {
    layout: Layout,
    view: AllAlertsView,
}

impl AllAlertsPage {
    fn new(view: AllAlertsView) -> Self {
        let title = match view.firing.len() {
            0 => "Nothing fires · Throughline".to_owned(),
            n => format!("{n} FIRING · Throughline"),
        };
        let mut layout = Layout::of_installations(Section::Alerts, title);
        layout.icon = view.firing.first().map_or("ok", |one| one.face().favicon());
        layout.fresh = vec![InstallationView::answered_text(&view.installations)];
        layout.json = Some("/api/v1/alerts".to_owned());
        Self { layout, view }
    }
}
