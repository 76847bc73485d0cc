//! Links to traces: URLs of trace viewers, with placeholders for the data of one workflow.

use std::{str::FromStr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::model::{ids::TraceId, text, time::Timestamp};

/// Spans of a workflow may lie a little outside of it, and clocks differ.
const MARGIN: Duration = Duration::from_mins(5);
const NAME_CHARS: usize = 30;
/// The strictest limit of a URL: that of Slack's whole message.
const URL_BYTES: usize = 1_000;
/// The name of a viewer without one.
const DEFAULT_NAME: &str = "Trace";
const PLACEHOLDERS: [&str; 6] = ["trace_id", "workflow", "from_s", "from_ms", "to_s", "to_ms"];

/// One trace viewer: a name and a URL such as `https://jaeger.example/trace/{trace_id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceViewer {
    name: String,
    /// Text, and the name of the placeholder that follows it; the last part has none.
    parts: Vec<(String, Option<&'static str>)>,
}

/// A URL that shows one trace.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct TraceLink {
    /// The viewer that it leads to.
    pub name: String,
    pub url: String,
}

/// The data for a URL.
#[derive(Clone, Copy, Debug)]
pub struct Traced<'a> {
    pub trace_id: TraceId,
    /// The name of the workflow.
    pub label: &'a str,
    pub from: Timestamp,
    pub to: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTraceViewer {
    #[error("write a web address, as `Jaeger=https://jaeger.example/trace/{{trace_id}}`")]
    NoAddress,
    #[error("the name has more than 30 characters")]
    LongName,
    #[error(
        "there is no place `{{{0}}}`: there are {{trace_id}}, {{workflow}}, {{from_s}}, {{from_ms}}, \
         {{to_s}} and {{to_ms}}; write other braces as %7B and %7D"
    )]
    UnknownPlaceholder(String),
    #[error("without {{trace_id}} it leads to no trace")]
    NoTrace,
}

impl FromStr for TraceViewer {
    type Err = InvalidTraceViewer;

    fn from_str(text: &str) -> Result<Self, InvalidTraceViewer> {
        let (name, address) = match text.split_once('=') {
            Some((name, address)) if !name.contains("://") => (name.trim(), address.trim()),
            _ => (DEFAULT_NAME, text.trim()),
        };
        if name.chars().count() > NAME_CHARS {
            return Err(InvalidTraceViewer::LongName);
        }
        let parts = parts(address)?;
        if !parts
            .iter()
            .any(|(_, placeholder)| *placeholder == Some("trace_id"))
        {
            return Err(InvalidTraceViewer::NoTrace);
        }
        let text: String = parts.iter().map(|(text, _)| text.as_str()).collect();
        text::web_address(&text, URL_BYTES).ok_or(InvalidTraceViewer::NoAddress)?;
        let name = text::plain(name, NAME_CHARS);
        Ok(Self { name, parts })
    }
}

fn parts(address: &str) -> Result<Vec<(String, Option<&'static str>)>, InvalidTraceViewer> {
    let mut parts = Vec::new();
    let mut rest = address;
    while let Some((before, after)) = rest.split_once('{') {
        let (placeholder, after) = after.split_once('}').unwrap_or((after, ""));
        let known = PLACEHOLDERS.into_iter().find(|known| *known == placeholder);
        let known =
            known.ok_or_else(|| InvalidTraceViewer::UnknownPlaceholder(placeholder.to_owned()))?;
        parts.push((before.to_owned(), Some(known)));
        rest = after;
    }
    parts.push((rest.to_owned(), None));
    Ok(parts)
}

impl TraceViewer {
    /// Makes a link; `None` if the URL would be longer than messages allow.
    pub fn link(&self, to: Traced<'_>) -> Option<TraceLink> {
        let mut url = String::new();
        for (text, placeholder) in &self.parts {
            url.push_str(text);
            url.extend(placeholder.map(|placeholder| to.at(placeholder)));
        }
        text::web_address(&url, URL_BYTES)?;
        Some(TraceLink {
            name: self.name.clone(),
            url,
        })
    }

    /// Makes the links of all viewers that can.
    pub fn links(viewers: &[Self], to: Traced<'_>) -> Vec<TraceLink> {
        viewers
            .iter()
            .filter_map(|viewer| viewer.link(to))
            .collect()
    }
}

impl Traced<'_> {
    fn at(&self, placeholder: &str) -> String {
        let (from, to) = (self.from - MARGIN, self.to + MARGIN);
        match placeholder {
            "trace_id" => self.trace_id.to_string(),
            "workflow" => encoded(self.label),
            "from_s" => from.as_secs().to_string(),
            "from_ms" => (from.as_micros() / 1_000).to_string(),
            "to_s" => to.as_secs().to_string(),
            _ => (to.as_micros() / 1_000).to_string(),
        }
    }
}

/// Encodes all but the unreserved characters of RFC 3986 as percent and two digits.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.extend(["%".to_owned(), format!("{byte:02X}")]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn traced(label: &str) -> Traced<'_> {
        Traced {
            trace_id: TraceId::from_slice(&[0x0a; 16]).unwrap(),
            label,
            from: Timestamp::from_secs(1_795_328_309),
            to: Timestamp::from_secs(1_795_328_700),
        }
    }

    fn link(viewer: &str) -> TraceLink {
        let viewer: TraceViewer = viewer.parse().unwrap();
        viewer.link(traced("order 42/é")).unwrap()
    }

    #[test]
    fn a_viewer_is_a_name_and_an_address_with_places() {
        let jaeger = link("Jaeger=https://jaeger.example/trace/{trace_id}?uiFind=a");
        assert_eq!(jaeger.name, "Jaeger");
        assert_eq!(
            jaeger.url,
            "https://jaeger.example/trace/0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a?uiFind=a"
        );
        let other = link("https://x.example/?t={trace_id}&w={workflow}&a={from_s}&b={to_ms}");
        assert_eq!(other.name, "Trace");
        assert_eq!(
            other.url,
            "https://x.example/?t=0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a&w=order%2042%2F%C3%A9\
             &a=1795328009&b=1795329000000"
        );
    }

    #[test]
    fn what_is_no_viewer_is_refused_with_what_to_write() {
        for (text, error) in [
            ("jaeger", InvalidTraceViewer::NoTrace),
            (
                "javascript:alert({trace_id})",
                InvalidTraceViewer::NoAddress,
            ),
            ("J=ftp://x/{trace_id}", InvalidTraceViewer::NoAddress),
            ("https://x y/{trace_id}", InvalidTraceViewer::NoAddress),
            (
                "https://x/{traceid}",
                InvalidTraceViewer::UnknownPlaceholder("traceid".to_owned()),
            ),
            (
                "https://x/{trace_id}{",
                InvalidTraceViewer::UnknownPlaceholder(String::new()),
            ),
            ("https://x/{from_s}", InvalidTraceViewer::NoTrace),
        ] {
            assert_eq!(text.parse::<TraceViewer>(), Err(error), "{text}");
        }
        let long = format!("{}=https://x/{{trace_id}}", "n".repeat(31));
        assert_eq!(
            long.parse::<TraceViewer>(),
            Err(InvalidTraceViewer::LongName)
        );
    }

    proptest! {
        #[test]
        fn whatever_a_workflow_is_called_the_address_is_one(label in any::<String>()) {
            let viewer: TraceViewer = "https://x/{trace_id}/{workflow}".parse().unwrap();
            if let Some(link) = viewer.link(traced(&label)) {
                prop_assert!(link.url.len() <= URL_BYTES);
                prop_assert!(link.url.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert_eq!(link.url.matches('/').count(), 4);
            } else {
                prop_assert!(label.len() * 3 > 900);
            }
        }
    }
}
