//! `/audit`: every change that was made or attempted through pages, API, links and commands.

use askama::Template;
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    domain::{access::AuditEntry, model::time::Timestamp},
    store::{AuditFilter, AuditRecord},
    web::{
        error::WebError,
        page::{Layout, Negotiation, Section, link_next},
        pages::addresses::encoded,
        query::{Parameters, Params, next_part},
        reader::times,
        state::WebState,
    },
};

const MOST: u32 = 200;

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct AuditView {
    as_of: Timestamp,
    /// Only entries of this user; `None` for all.
    who: Option<String>,
    /// Only entries of this action; `None` for all.
    action: Option<String>,
    /// Newest first, at most 200.
    entries: Vec<AuditEntry>,
    /// The value of `before` for the next page.
    next: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct AuditQuery {
    #[serde(default)]
    who: String,
    #[serde(default)]
    action: String,
    before: Option<i64>,
}

impl Parameters for AuditQuery {
    const NAMES: &'static [&'static str] = &["who", "action", "before"];
}

pub(crate) async fn get(
    asked: Negotiation,
    state: WebState,
    Params(params): Params<AuditQuery>,
) -> Response {
    let view = view(&state, params).await;
    let next = view.as_ref().ok().and_then(|view| {
        let before = view.next?;
        Some(format!("/api/v1/audit?{}", query(view, Some(before))))
    });
    let answer = asked.reply(&state, view, |view| AuditPage::new(&state, view));
    link_next(answer, next.as_deref())
}

async fn view(state: &WebState, params: AuditQuery) -> Result<AuditView, WebError> {
    let chosen = |text: String| (!text.is_empty()).then_some(text);
    let filter = AuditFilter {
        who: chosen(params.who),
        action: chosen(params.action),
        before: params.before,
    };
    let mut tx = state.reads().begin("read the audit log").await?;
    let records = tx.audit_entries(&filter, MOST).await?;
    Ok(AuditView {
        next: next_part(&records, MOST, |record| record.id),
        as_of: state.clock.now(),
        who: filter.who,
        action: filter.action,
        entries: records
            .into_iter()
            .map(|AuditRecord { entry, .. }| entry)
            .collect(),
    })
}

/// Returns the parameters of the same view, from `before` on.
fn query(view: &AuditView, before: Option<i64>) -> String {
    let before = before.map(|id| id.to_string());
    let pairs = [
        ("who", view.who.as_deref()),
        ("action", view.action.as_deref()),
        ("before", before.as_deref()),
    ];
    let given = pairs
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", encoded(value?))));
    given.collect::<Vec<_>>().join("&")
}

#[derive(Template)]
#[template(path = "audit.html", config = "src/web/askama.toml")]
struct AuditPage {
    layout: Layout,
    view: AuditView,
}

impl AuditPage {
    fn new(state: &WebState, view: AuditView) -> Self {
        let mut layout = Layout::new(state, Section::Other, "Audit log · Throughline");
        layout.json = Some(format!("/api/v1/audit?{}", query(&view, None)));
        Self { layout, view }
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates pass references"
    )]
    fn moment(&self, at: &Timestamp) -> String {
        times::moment(*at, self.view.as_of)
    }

    fn next_href(&self) -> Option<String> {
        let before = self.view.next?;
        Some(format!("/audit?{}", query(&self.view, Some(before))))
    }
}
