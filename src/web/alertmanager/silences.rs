//! Silences in the form of Alertmanager's API.

use axum::{
    extract::Path,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use uuid::Uuid;

use crate::{
    domain::{
        alerting::silence::{
            Draft, DraftError, Force, MatchOperator, Matcher, Silence, SilenceState,
        },
        model::time::Timestamp,
    },
    store::Tx,
    web::{
        error::WebError,
        page::Negotiation,
        pages::silences::{self, add, found},
        query::{Parameters, Params},
        state::WebState,
        write::{body::ParsedBody, who::Who},
    },
};

#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::web) struct GettableSilence {
    id: Uuid,
    status: SilenceStatusView,
    updated_at: Timestamp,
    matchers: Vec<MatcherView>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    created_by: String,
    comment: String,
}

#[derive(Debug, JsonSchema, Serialize)]
struct SilenceStatusView {
    state: SilenceState,
}

#[derive(Debug, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MatcherView {
    name: String,
    value: String,
    is_regex: bool,
    #[serde(default = "equal")]
    is_equal: bool,
}

/// Returns the default for older clients, which do not send the field.
const fn equal() -> bool {
    true
}

/// The body of `POST /api/v2/silences`. With an `id` it replaces that silence.
#[derive(Debug, JsonSchema, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::web) struct PostableSilence {
    id: Option<String>,
    matchers: Vec<MatcherView>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    #[serde(default)]
    created_by: String,
    comment: String,
    /// Sent back by clients that have read a silence; ignored.
    #[serde(default, rename = "status")]
    #[schemars(skip)]
    _status: Option<IgnoredAny>,
    #[serde(default, rename = "updatedAt")]
    #[schemars(skip)]
    _updated_at: Option<IgnoredAny>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct PostedSilence {
    #[serde(rename = "silenceID")]
    silence_id: Uuid,
}

/// The parameters of `GET /api/v2/silences`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Vec<(String, String)>")]
pub(in crate::web) struct SilenceFilter(Vec<Matcher>);

impl Parameters for SilenceFilter {
    const NAMES: &'static [&'static str] = &["filter"];
}

impl TryFrom<Vec<(String, String)>> for SilenceFilter {
    type Error = String;

    fn try_from(pairs: Vec<(String, String)>) -> Result<Self, String> {
        let matchers = pairs.iter().map(|(_, value)| value.parse());
        let matchers: Result<_, _> = matchers.collect();
        matchers.map(Self).map_err(|error| format!("{error}"))
    }
}

pub(in crate::web) async fn list(
    asked: Negotiation,
    state: WebState,
    Params(SilenceFilter(wanted)): Params<SilenceFilter>,
) -> Response {
    let listed = async {
        let now = state.clock.now();
        let mut tx = state.reads().begin("read the silences").await?;
        let all = tx.silences_ended_after(now - silences::REMEMBERED).await?;
        let shown = all.into_iter().map(|one| state.shown_silence(one));
        let found = shown.filter(|silence| {
            let values = silence.terms.values();
            state.sees_silence(&silence.terms)
                && wanted.iter().all(|matcher| matcher.matches(&values))
        });
        let views: Vec<_> = found.map(|one| GettableSilence::new(&one, now)).collect();
        Ok::<_, WebError>(views)
    };
    asked.view(&state, listed.await)
}

pub(in crate::web) async fn one(
    asked: Negotiation,
    state: WebState,
    Path(id): Path<String>,
) -> Response {
    let read = async {
        let mut tx = state.reads().begin("read a silence").await?;
        let silence = found(&state, &mut tx, &id).await?;
        let silence = state.shown_silence(silence);
        Ok::<_, WebError>(GettableSilence::new(&silence, state.clock.now()))
    };
    asked.view(&state, read.await)
}

/// Creates a silence. Silences are immutable: an update ends the silence and creates another with a
/// new id, as Alertmanager does if the matchers differ.
pub(in crate::web) async fn write(
    asked: Negotiation,
    state: WebState,
    who: Who,
    ParsedBody { body, once }: ParsedBody<PostableSilence>,
) -> Response {
    let written = async {
        let now = state.clock.now();
        let mut tx = state.store.begin("add a silence").await?;
        if let Some(answer) = once.answered(&mut tx, now).await? {
            return Ok(answer);
        }
        let former = body.id.clone().filter(|id| !id.is_empty());
        let draft = body.draft(who.clone());
        let terms = draft.terms(now).map_err(WebError::BadSilence)?;
        if let Some(id) = former {
            replace(&state, &mut tx, &id, who, now).await?;
        }
        let silence_id = add(&state, &mut tx, terms, now).await?.id;
        let answer = serde_json::to_value(PostedSilence { silence_id }).unwrap_or_default();
        once.keep(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    };
    asked.json(&state, StatusCode::OK, written.await)
}

/// Ends the silence that a new one replaces.
async fn replace(
    state: &WebState,
    tx: &mut Tx<'_>,
    id: &str,
    who: Who,
    now: Timestamp,
) -> Result<(), WebError> {
    let silence = found(state, tx, id).await?;
    if silence.terms.repeat.is_some() && silence.state(now) != SilenceState::Expired {
        return Err(WebError::BadSilence(DraftError::Repeats));
    }
    silences::end(state, tx, &silence, who, now).await
}

pub(in crate::web) async fn delete(
    asked: Negotiation,
    state: WebState,
    who: Who,
    Path(id): Path<String>,
) -> Response {
    match silences::end_by_id(&state, &id, who).await {
        Ok(_) => StatusCode::OK.into_response(),
        Err(error) => asked.refuse(&state, &error),
    }
}

impl GettableSilence {
    fn new(silence: &Silence, now: Timestamp) -> Self {
        let terms = &silence.terms;
        let interval = silence.range_at_or_after(now);
        let ends_at = interval.map_or(silence.ends_at(), |interval| interval.to);
        let starts_at = interval.map_or(terms.starts_at(), |interval| interval.from);
        let ended_at = silence.ended.as_ref().map(|ended| ended.at);
        let repeat = terms.repeat.as_ref();
        let repeat = repeat.map(|repeat| format!(" (repeats: {})", repeat.rule));
        Self {
            id: silence.id,
            status: SilenceStatusView {
                state: silence.state(now),
            },
            updated_at: ended_at.unwrap_or(silence.created_at),
            matchers: terms.matchers.iter().map(MatcherView::new).collect(),
            starts_at: starts_at.min(ends_at),
            ends_at,
            created_by: terms.created_by.clone().unwrap_or_default(),
            comment: format!("{}{}", terms.reason, repeat.unwrap_or_default()),
        }
    }
}

impl MatcherView {
    fn new(matcher: &Matcher) -> Self {
        Self {
            name: matcher.name().to_owned(),
            value: matcher.value().to_owned(),
            is_regex: matcher.operator().is_regex(),
            is_equal: matcher.operator().is_equal(),
        }
    }

    fn text(&self) -> String {
        let operator = match (self.is_equal, self.is_regex) {
            (true, false) => MatchOperator::Equal,
            (false, false) => MatchOperator::NotEqual,
            (true, true) => MatchOperator::Like,
            (false, true) => MatchOperator::NotLike,
        };
        Matcher::text(&self.name, operator, &self.value)
    }
}

impl PostableSilence {
    fn draft(self, who: Who) -> Draft {
        Draft {
            matchers: self.matchers.iter().map(MatcherView::text).collect(),
            starts_at: Some(self.starts_at),
            ends_at: Some(self.ends_at),
            lasts: None,
            repeat: None,
            reason: self.comment,
            created_by: who.or(Some(&self.created_by)),
            force: Force::No,
        }
    }
}
