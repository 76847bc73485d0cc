//! Checks that a request comes from a page of this service, by the headers that browsers set.
//!
//! The rules are those of Go's `http.CrossOriginProtection`: `Sec-Fetch-Site` decides if it is
//! present; it is missing over plain HTTP and in old browsers, and then `Origin` must be the host
//! of the request. A client that sends neither is not a browser, so no other site can misuse it.

use axum::http::{HeaderMap, HeaderName, header};

use crate::web::error::WebError;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// A header that pages cannot set.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

pub(super) fn check(headers: &HeaderMap, public_url: Option<&str>) -> Result<(), WebError> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let site = text(SEC_FETCH_SITE);
    if let Some("same-origin" | "none") = site {
        return Ok(());
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return match site {
            None => Ok(()),
            Some(_) => Err(WebError::CrossOrigin),
        };
    };
    let from = origin.to_str().ok().and_then(authority);
    let ours = [
        text(header::HOST),
        text(FORWARDED_HOST),
        public_url.and_then(authority),
    ];
    let is_ours = from.is_some_and(|from| {
        let mut ours = ours.into_iter().flatten();
        ours.any(|host| host.eq_ignore_ascii_case(from))
    });
    // Another subdomain is another origin, even if `Origin` names this host.
    if is_ours && site.is_none() {
        Ok(())
    } else {
        Err(WebError::CrossOrigin)
    }
}

/// Returns the host and port of a URL.
fn authority(url: &str) -> Option<&str> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    rest.split('/').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(headers: &[(&'static str, &str)], public_url: Option<&str>) -> bool {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        check(&headers, public_url).is_ok()
    }

    #[test]
    fn a_page_of_ours_may_write_and_no_other_may() {
        let host = ("host", "slo.example:8080");
        for (headers, expected) in [
            (vec![host, ("sec-fetch-site", "same-origin")], true),
            (vec![host, ("sec-fetch-site", "none")], true),
            (vec![host, ("sec-fetch-site", "same-site")], false),
            (vec![host, ("sec-fetch-site", "cross-site")], false),
            (vec![host, ("origin", "http://slo.example:8080")], true),
            (vec![host, ("origin", "http://SLO.example:8080")], true),
            (vec![host, ("origin", "http://slo.example")], false),
            (vec![host, ("origin", "https://evil.example")], false),
            (vec![host, ("origin", "null")], false),
            (vec![host], true),
        ] {
            assert_eq!(passes(&headers, None), expected, "{headers:?}");
        }
        let contradicting = [
            host,
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://slo.example:8080"),
        ];
        assert!(!passes(&contradicting, None));
    }

    #[test]
    fn a_proxy_may_hide_the_host_that_people_ask_for() {
        let behind = [
            ("host", "127.0.0.1:8080"),
            ("origin", "https://slo.example"),
        ];
        assert!(!passes(&behind, None));
        assert!(passes(&behind, Some("https://slo.example/")));
        let forwarded = [behind[0], behind[1], ("x-forwarded-host", "slo.example")];
        assert!(passes(&forwarded, None));
    }
}
