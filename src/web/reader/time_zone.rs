//! The time zone of pages: `?tz=` of the URL, or the cookie that `/time-zone` sets, or the setting.
//! The API uses UTC.

use axum::{
    extract::{Request, State},
    http::{HeaderValue, Uri},
    middleware::Next,
    response::Response,
};
use chrono_tz::Tz;

use crate::web::{access::session, query};

/// The cookie with the reader's choice.
const COOKIE: &str = "tz";
/// A year in seconds.
const COOKIE_LASTS: u32 = 31_536_000;

tokio::task_local! {
    static ZONE: Tz;
}

/// Returns the time zone of the current request.
pub(in crate::web) fn zone() -> Tz {
    ZONE.try_with(|zone| *zone).unwrap_or(Tz::UTC)
}

/// Sets the reader's time zone for a request. An unknown name is ignored.
pub(in crate::web) async fn choose(
    State(default): State<Tz>,
    request: Request,
    next: Next,
) -> Response {
    let zone = if request.uri().path().starts_with("/api/") {
        Tz::UTC
    } else {
        asked(request.uri())
            .or_else(|| session::kept(request.headers(), COOKIE)?.parse().ok())
            .unwrap_or(default)
    };
    ZONE.scope(zone, next.run(request)).await
}

fn asked(uri: &Uri) -> Option<Tz> {
    let pairs: Vec<(String, String)> = query::read(uri).ok()?;
    let (_, zone) = pairs.iter().find(|(name, _)| name == "tz")?;
    zone.parse().ok()
}

/// Returns the header that stores a time zone in the browser.
pub(in crate::web) fn keep(zone: Tz) -> Option<HeaderValue> {
    let name = zone.name();
    let cookie = format!("{COOKIE}={name}; Path=/; Max-Age={COOKIE_LASTS}; SameSite=Lax; HttpOnly");
    HeaderValue::from_str(&cookie).ok()
}
