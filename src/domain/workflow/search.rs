//! The search for workflows: the entered text, and its possible meanings.

use sha2::{Digest as _, Sha256};

use super::{
    Outcome,
    classify::{beginning_of_label, cut},
};
use crate::domain::model::{
    ids::{SloId, TraceId},
    time::{TimeRange, Timestamp},
};

/// The minimum number of digits; fewer could begin any trace id, and are more likely a number of
/// the sender.
const LEAST_DIGITS: usize = 8;

/// The entered text: a name or its beginning, a trace id or its beginning, or a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchText(String);

impl SearchText {
    /// Returns `None` if there is nothing to search for.
    pub fn new(typed: &str) -> Option<Self> {
        let text = typed.trim();
        // Replaced as in stored names.
        (!text.is_empty()).then(|| Self(cut(text.replace('\0', "\u{fffd}"))))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the prefix of the matching labels: those of long ids are truncated.
    pub fn prefix(&self) -> &str {
        beginning_of_label(&self.0)
    }

    /// Returns the smallest text that is greater than every text that begins with the prefix.
    pub fn end_of_prefix(&self) -> String {
        format!("{}{}", self.prefix(), char::MAX)
    }

    /// Returns the first four bytes of the traces whose ids begin with this text; `None` if it cannot
    /// be the beginning of one.
    pub fn trace_prefix(&self) -> Option<i32> {
        let is_hex = self.0.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !is_hex || self.0.len() > 32 {
            return None;
        }
        let first = self.0.get(..LEAST_DIGITS)?;
        u32::from_str_radix(first, 16).ok().map(u32::cast_signed)
    }

    /// Returns whether a workflow with this name matches; leading spaces do not matter.
    pub fn is_beginning_of(&self, label: &str) -> bool {
        label.trim_start().starts_with(self.prefix())
    }

    /// Returns whether a workflow in this trace matches.
    pub fn is_beginning_of_trace(&self, trace_id: TraceId) -> bool {
        trace_id
            .to_string()
            .starts_with(&self.0.to_ascii_lowercase())
    }
}

/// Returns the number by which workflows of a customer are found.
pub fn customer_hash(customer: &str) -> i32 {
    let digest = Sha256::digest(customer.as_bytes());
    let first: [u8; 4] = std::array::from_fn(|at| digest.get(at).copied().unwrap_or(0));
    i32::from_be_bytes(first)
}

/// Conditions that workflows must meet in addition to the search. Empty ones and `None` match every
/// workflow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkflowFilter {
    pub slos: Vec<SloId>,
    pub outcomes: Vec<Outcome>,
    /// The range of its start.
    pub started: Option<TimeRange>,
    /// The duration from start to end, or to now.
    pub least_seconds: Option<f64>,
    pub most_seconds: Option<f64>,
}

/// The properties that a filter examines.
#[derive(Clone, Copy, Debug)]
pub struct FilteredWorkflow {
    pub slo: SloId,
    pub outcome: Outcome,
    pub started_at: Option<Timestamp>,
    pub seconds: Option<f64>,
}

impl WorkflowFilter {
    pub fn holds_for(&self, one: FilteredWorkflow) -> bool {
        let is_in = |range: TimeRange| one.started_at.is_some_and(|at| range.contains(at));
        let at_least = |least| one.seconds.is_some_and(|secs| secs >= least);
        let at_most = |most| one.seconds.is_some_and(|secs| secs <= most);
        (self.slos.is_empty() || self.slos.contains(&one.slo))
            && (self.outcomes.is_empty() || self.outcomes.contains(&one.outcome))
            && self.started.is_none_or(is_in)
            && self.least_seconds.is_none_or(at_least)
            && self.most_seconds.is_none_or(at_most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(typed: &str) -> SearchText {
        SearchText::new(typed).unwrap()
    }

    #[test]
    fn nothing_but_white_space_is_no_search() {
        assert_eq!(SearchText::new(" \t"), None);
        assert_eq!(text(" 4711 ").as_str(), "4711");
        assert!(text(" 4711 ").is_beginning_of(" 4711 "));
    }

    #[test]
    fn an_id_that_is_longer_than_its_label_is_found_by_the_whole_id() {
        let id = "x".repeat(300);
        let label = format!("{}…", &id[..253]);
        assert!(text(&id).is_beginning_of(&label));
        assert!(text(&id[..255]).is_beginning_of(&label));
        assert!(label < text(&id).end_of_prefix());
        assert!(!text(&id[..250]).is_beginning_of(&id[..249]));
    }

    #[test]
    fn a_prefix_ends_after_every_text_that_begins_with_it() {
        let text = text("ord");
        for label in ["ord", "ord-1", "ordzzz", "ord\u{10fffe}"] {
            assert!(label < text.end_of_prefix().as_str(), "{label}");
            assert!(text.is_beginning_of(label));
        }
        assert!("ore" > text.end_of_prefix().as_str());
    }

    #[test]
    fn eight_hexadecimal_digits_or_more_may_begin_a_trace_id() {
        assert_eq!(text("4711471").trace_prefix(), None);
        assert_eq!(text("order-4711").trace_prefix(), None);
        assert_eq!(text(&"a".repeat(33)).trace_prefix(), None);
        assert_eq!(text("00000001").trace_prefix(), Some(1));
        let trace = TraceId::from_hex("FFAA0001bbbbbbbb0000000000000001").unwrap();
        for digits in [8, 16, 20, 32] {
            let typed = &trace.to_string()[..digits];
            let first = i32::from_be_bytes(trace.as_bytes()[..4].try_into().unwrap());
            assert_eq!(text(typed).trace_prefix(), Some(first), "{typed}");
            assert!(text(&typed.to_uppercase()).is_beginning_of_trace(trace));
        }
        assert!(!text("ffaa0002").is_beginning_of_trace(trace));
    }

    #[test]
    fn a_workflow_must_meet_every_condition_of_a_filter() {
        let at = Timestamp::from_secs;
        let one = FilteredWorkflow {
            slo: SloId(1),
            outcome: Outcome::Late,
            started_at: Some(at(100)),
            seconds: Some(7.0),
        };
        assert!(WorkflowFilter::default().holds_for(one));
        let all = WorkflowFilter {
            slos: vec![SloId(2), SloId(1)],
            outcomes: vec![Outcome::Late],
            started: Some(TimeRange::new(at(100), at(200))),
            least_seconds: Some(7.0),
            most_seconds: Some(7.0),
        };
        assert!(all.holds_for(one));
        for other in [
            FilteredWorkflow {
                slo: SloId(3),
                ..one
            },
            FilteredWorkflow {
                outcome: Outcome::Good,
                ..one
            },
            FilteredWorkflow {
                started_at: Some(at(200)),
                ..one
            },
            FilteredWorkflow {
                started_at: None,
                ..one
            },
            FilteredWorkflow {
                seconds: Some(6.9),
                ..one
            },
            FilteredWorkflow {
                seconds: Some(7.1),
                ..one
            },
        ] {
            assert!(!all.holds_for(other), "{other:?}");
        }
    }
}
