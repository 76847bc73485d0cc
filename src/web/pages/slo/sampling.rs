//! The effects of sampled spans on the numbers of an SLO, in words.

use crate::domain::{
    alerting::rule_status::RuleStatus,
    model::{
        counts::{EventCounts, whole},
        format,
        sampling::{EndDraw, EndSampling, Threshold},
    },
};

/// Fewer ends without a start indicate nothing about sampling.
const LEAST_ORPHANS: i64 = 20;

/// A fact about the numbers, and how to correct it, if possible.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub(super) struct SamplingNote {
    /// The number of affected events or spans.
    count: i64,
    pub(super) meaning: String,
    pub(super) next_step: &'static str,
}

impl SamplingNote {
    /// Returns the notes, by the events of a window, the sampling of end spans, and the evaluated
    /// rules.
    pub(super) fn all(
        counts: &EventCounts,
        ends: Option<EndSampling>,
        rules: &[RuleStatus],
    ) -> Vec<Self> {
        [
            stands_for(counts),
            mixed(counts),
            unobservable(counts, ends.unwrap_or_default()),
            missing(rules),
            looks_sampled(counts, ends.unwrap_or_default()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    pub(super) fn count_text(&self) -> String {
        format::count(self.count)
    }
}

fn stands_for(counts: &EventCounts) -> Option<SamplingNote> {
    counts.has_unseen().then(|| SamplingNote {
        count: whole(counts.weighted_total()),
        meaning: format!(
            "Spans are sampled: {} ({} bad) were received and represent about {} ({} bad). Ratios, burn rates and the budget are computed from the latter.",
            format::counted(counts.total(), "event"),
            format::count(counts.bad()),
            format::counted(whole(counts.weighted_total()), "event"),
            format::count(whole(counts.weighted_bad())),
        ),
        next_step: "For exact numbers, send the selected spans before they are sampled.",
    })
}

fn mixed(counts: &EventCounts) -> Option<SamplingNote> {
    let (sampled, all) = (counts.sampled, counts.total());
    (sampled > 0 && sampled < all).then(|| SamplingNote {
        count: sampled,
        meaning: format!(
            "{} of {} have a sampling probability; the others count as `unknownWeight` in the definition says.",
            format::count(sampled),
            format::counted(all, "event"),
        ),
        next_step: "If the others are sampled too, let their senders write `ot=th`.",
    })
}

fn unobservable(counts: &EventCounts, ends: EndSampling) -> Option<SamplingNote> {
    if counts.unobservable == 0 {
        return None;
    }
    Some(SamplingNote {
        count: counts.unobservable,
        meaning: format!(
            "The outcome of {} is unknown: the spans that would end {} are sampled down to `th:{}`.",
            format::counted(counts.unobservable, "workflow"),
            if counts.unobservable == 1 {
                "it"
            } else {
                "them"
            },
            ends.threshold.to_hex(),
        ),
        next_step: match ends.draw {
            EndDraw::WithStart => {
                "Sample starts and ends alike, or set `endThreshold` if the service cannot learn it."
            }
            EndDraw::Apart => {
                "Ends are sampled in traces of their own: let linked traces share `rv`, or \
                 send all of these spans."
            }
        },
    })
}

/// Returns the note of the first, most urgent, rule with missing ends.
fn missing(rules: &[RuleStatus]) -> Option<SamplingNote> {
    let mut windows = rules.iter().flat_map(|rule| [&rule.long, &rule.short]);
    let (window, ends) = windows.find_map(|window| Some((window, window.ends_missing?)))?;
    Some(SamplingNote {
        count: ends.missing(),
        meaning: format!(
            "In {}, {}: fewer than chance explains. The missing ones count as timeouts in burn rates and budget.",
            window.lately(),
            ends.text()
        ),
        next_step: "Check whether the work is stuck, and whether the spans that end it are still sent.",
    })
}

/// Returns a note if half of each workflow is missing although senders report no sampling.
fn looks_sampled(counts: &EventCounts, ends: EndSampling) -> Option<SamplingNote> {
    let (orphans, timeouts) = (counts.orphan, counts.timeout);
    let says_nothing = counts.sampled == 0 && ends.threshold == Threshold::KEEPS_ALL;
    let is_alike = orphans.min(timeouts) * 3 >= orphans.max(timeouts) * 2;
    (says_nothing && is_alike && orphans >= LEAST_ORPHANS).then(|| SamplingNote {
        count: orphans,
        meaning: format!(
            "{} have no known start, and about as many workflows never ended ({}). Spans seem to be sampled or filtered, although none has `ot=th`.",
            format::counted(orphans, "end"),
            format::count(timeouts),
        ),
        next_step: "Find the sampler or filter that drops half of each workflow. Exclude the selected spans from it, or let it write `ot=th`.",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::sampling::Weight;

    const SEEN: EventCounts = EventCounts {
        good: 90,
        timeout: 10,
        ..EventCounts::ZERO
    };

    fn meanings(counts: EventCounts) -> Vec<String> {
        let ends = EndSampling {
            threshold: Threshold::from_hex("c").unwrap(),
            ..EndSampling::default()
        };
        let notes = SamplingNote::all(&counts, Some(ends), &[]);
        notes.into_iter().map(|note| note.meaning).collect()
    }

    #[test]
    fn nothing_is_said_of_events_that_count_themselves() {
        assert_eq!(meanings(SEEN), Vec::<String>::new());
        assert_eq!(
            meanings(SEEN.standing_for(Some(Weight::ONE))),
            Vec::<String>::new()
        );
    }

    #[test]
    fn what_was_seen_and_what_it_stands_for_are_both_told() {
        let four = Weight::from_millionths(4_000_000);
        let counts = SEEN.standing_for(Some(four)) + SEEN;
        assert_eq!(
            meanings(counts),
            [
                "Spans are sampled: 200 events (20 bad) were received and represent about 500 events (50 bad). Ratios, burn rates and the budget are computed from the latter.",
                "100 of 200 events have a sampling probability; the others count as `unknownWeight` in the definition says.",
            ]
        );
    }

    #[test]
    fn what_cannot_be_observed_is_told_with_its_cause() {
        let counts = EventCounts {
            unobservable: 2,
            ..SEEN
        };
        assert_eq!(
            meanings(counts),
            [
                "The outcome of 2 workflows is unknown: the spans that would end them are sampled down to `th:c`."
            ]
        );
    }

    #[test]
    fn s37_as_many_ends_without_a_start_as_timeouts_look_sampled_where_nobody_says_so() {
        let notes = |orphan, timeout, ends| {
            let counts = EventCounts {
                timeout,
                orphan,
                ..EventCounts::ZERO
            };
            SamplingNote::all(&counts, ends, &[])
        };
        let [note] = notes(90, 100, None).try_into().unwrap();
        assert_eq!(
            note.meaning,
            "90 ends have no known start, and about as many workflows never ended (100). Spans seem to be sampled or filtered, although none has `ot=th`."
        );
        assert_eq!(notes(90, 1_000, None), []);
        assert_eq!(notes(10, 10, None), []);
        let said = EndSampling {
            threshold: Threshold::from_hex("c").unwrap(),
            ..EndSampling::default()
        };
        assert_eq!(notes(90, 100, Some(said)), []);
    }
}
