//! Change events, as triangles on the time axis of a chart.

use super::{
    markup::{Markup, escaped, number},
    plot::Frame,
};
use crate::domain::model::time::Timestamp;

/// A deploy, a flag or a note. It is shown as a small mark, since it need not be the cause.
#[derive(Clone, Debug)]
pub(in crate::web) struct EventMark {
    pub(in crate::web) at: Timestamp,
    /// The tooltip.
    pub(in crate::web) text: String,
}

/// Draws triangles on the line `y`, pointing up.
pub(super) fn triangles(frame: &Frame, events: &[EventMark], y: f64) -> Markup {
    let mut svg = Markup::default();
    for event in events.iter().filter(|event| frame.range.contains(event.at)) {
        svg.add(format_args!(
            r#"<svg x="{}%" y="{}" width="1" height="1" overflow="visible"><path class="ev" d="M0-9 5.5 0h-11z"><title>{}</title></path></svg>"#,
            number(frame.fraction(event.at) * 100.0),
            number(y),
            escaped(&event.text),
        ));
    }
    svg
}

/// Returns the sentence of a chart, followed by its change events.
pub(super) fn with_events(sentence: &str, frame: &Frame, events: &[EventMark]) -> String {
    let shown = events.iter().filter(|event| frame.range.contains(event.at));
    let sentence = sentence.trim_end_matches('.');
    match shown.count() {
        0 => format!("{sentence}."),
        1 => format!("{sentence}. One event is marked."),
        n => format!("{sentence}. {n} events are marked."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::time::TimeRange;

    #[test]
    fn only_what_lies_in_the_chart_is_marked_and_its_words_stay_words() {
        let mark = |secs: i64| EventMark {
            at: Timestamp::from_secs(secs),
            text: "deploy \"<b>\"".to_owned(),
        };
        let frame = Frame {
            range: TimeRange::new(Timestamp::from_secs(100), Timestamp::from_secs(200)),
            height: 100.0,
        };
        let events = [mark(99), mark(150), mark(200)];
        let svg = triangles(&frame, &events, 100.0).to_string();
        assert_eq!(svg.matches("<path").count(), 1);
        assert!(svg.contains(r#"x="50%""#), "{svg}");
        assert!(svg.contains("deploy &quot;&lt;b&gt;&quot;"), "{svg}");
        assert_eq!(
            with_events("Now", &frame, &events),
            "Now. One event is marked."
        );
        assert_eq!(with_events("Now.", &frame, &[]), "Now.");
    }
}
