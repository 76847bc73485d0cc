//! CORS: allows pages of other origins to send spans.

use std::time::Duration;

use axum::http::{Method, header::RETRY_AFTER};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// Origins whose pages may send, such as `https://shop.example`, or with `*` for any text, such as
/// `https://*.shop.example`. None by default.
#[derive(Clone, Debug, Default)]
pub struct AllowedOrigins(pub Vec<String>);

impl AllowedOrigins {
    pub(crate) fn layer(self) -> Option<CorsLayer> {
        if self.0.is_empty() {
            return None;
        }
        let allowed = AllowOrigin::predicate(move |origin, _| {
            origin.to_str().is_ok_and(|origin| self.allow(origin))
        });
        let layer = CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::POST])
            // Exporters may be configured to send headers of any name.
            .allow_headers(AllowHeaders::mirror_request())
            // Browsers send beacons with credentials, and drop them without this header. The
            // Collector's receiver sends it too; cookies are ignored here.
            .allow_credentials(true)
            // Otherwise an exporter in a browser cannot read how long to wait.
            .expose_headers([RETRY_AFTER])
            .max_age(Duration::from_hours(2));
        Some(layer)
    }

    fn allow(&self, origin: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern, origin))
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else {
        return pattern == text;
    };
    text.strip_prefix(before).is_some_and(|rest| {
        rest.char_indices()
            .map(|(at, _)| &rest[at..])
            .chain([""])
            .any(|tail| matches(after, tail))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, origin) in [
            ("https://a.example", "https://a.example"),
            ("*", "https://a.example"),
            ("https://*.example", "https://a.b.example"),
            ("http://localhost:*", "http://localhost:3000"),
            ("*://*.example", "https://a.example"),
        ] {
            assert!(matches(pattern, origin), "{pattern} {origin}");
        }
        for (pattern, origin) in [
            ("https://a.example", "http://a.example"),
            ("https://a.example", "https://a.example.evil"),
            ("https://*.example", "https://a.example.evil"),
            ("https://*.example", "https://example"),
        ] {
            assert!(!matches(pattern, origin), "{pattern} {origin}");
        }
    }
}
