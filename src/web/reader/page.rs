//! `/time-zone`: sets the time zone in which this browser's pages show times.

use askama::Template;
use axum::{
    http::{StatusCode, header},
    response::Response,
};
use chrono_tz::{TZ_VARIANTS, Tz};
use serde::Deserialize;

use super::{time_zone, times};
use crate::{
    domain::model::text,
    web::{
        page::{Layout, Negotiation, Section},
        query::{Parameters, Params},
        state::WebState,
    },
};

#[derive(Debug, Default, Deserialize)]
pub(in crate::web) struct TimeZoneQuery {
    /// The time zone to store; if empty, none is stored.
    #[serde(default)]
    tz: String,
}

impl Parameters for TimeZoneQuery {
    const NAMES: &'static [&'static str] = &["tz"];
}

#[derive(Template)]
#[template(path = "time_zone.html", config = "src/web/askama.toml")]
struct TimeZonePage {
    layout: Layout,
    current: &'static str,
    default: Tz,
    is_kept: bool,
    problem: Option<String>,
    zones: &'static [Tz],
}

pub(in crate::web) async fn get(
    asked: Negotiation,
    state: WebState,
    Params(params): Params<TimeZoneQuery>,
) -> Response {
    let chosen: Option<Tz> = params.tz.trim().parse().ok();
    let is_wrong = chosen.is_none() && !params.tz.is_empty();
    let problem = is_wrong.then(|| {
        let name = text::plain(&params.tz, 40);
        format!("`{name}` is no time zone such as `Europe/Berlin`")
    });
    let page = TimeZonePage {
        layout: Layout::new(&state, Section::Other, "Time zone · Throughline").still(),
        current: times::zone_name(),
        default: state.time_zone,
        is_kept: chosen.is_some(),
        problem,
        zones: &TZ_VARIANTS,
    };
    let status = if is_wrong {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    let mut response = asked.page(&state, status, &page);
    if let Some(cookie) = chosen.and_then(time_zone::keep) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
