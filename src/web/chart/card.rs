//! The chart in a message: its headline, and the share of bad events over time.
//!
//! Unlike the charts of pages it has a fixed size and its own colours, because chat programs show
//! it as a bitmap. It is drawn only from the facts in the snapshot, so it never changes.

use super::markup::{Markup, escaped, number, path};
use crate::domain::{
    alerting::snapshot::{AlertSnapshot, RecentChange, Trend},
    model::{
        format, text,
        time::{TimeRange, Timestamp},
    },
    notify::wording,
    slo::Severity,
};

pub(in crate::web) const WIDTH: u32 = 1_000;
pub(in crate::web) const HEIGHT: u32 = 380;

/// The position of the plot.
const LEFT: f64 = 84.0;
const RIGHT: f64 = 976.0;
const TOP: f64 = 124.0;
const BOTTOM: f64 = 316.0;
/// The number of characters that fit on one line of each size.
const TITLE_CHARS: usize = 74;
const LINE_CHARS: usize = 112;
const CHANGE_CHARS: usize = 34;

const INK: &str = "#161a20";
const MUTED: &str = "#565e6a";
const GRID: &str = "#e3e6ea";
const LINE: &str = "#1456a8";
const PAGE: &str = "#b01f17";
const TICKET: &str = "#865200";
const OK: &str = "#0c6b5b";

/// Draws an SVG of fixed size; `None` if the snapshot has no trend.
pub(in crate::web) fn card(facts: &AlertSnapshot) -> Option<String> {
    let plot = Plot::new(facts, facts.context.trend.as_ref()?);
    let mut svg = Markup::default();
    svg.add(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="Noto Sans" font-size="15" fill="{INK}"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/><rect width="8" height="{HEIGHT}" fill="{}"/>"#,
        tone(facts)
    ));
    svg.add(format_args!(
        r#"<text x="28" y="38" font-size="21" font-weight="700">{}</text>"#,
        written(&wording::subject(facts, TITLE_CHARS))
    ));
    svg.add(format_args!(
        r#"<text x="28" y="66" font-size="16">{}</text>"#,
        written(&text::plain(&wording::headline(facts), LINE_CHARS))
    ));
    svg.add(format_args!(
        r#"<text x="{LEFT}" y="100" font-weight="700">Share of bad {}, last {}</text>"#,
        wording::noun(facts),
        format::window(plot.range.length().as_secs())
    ));
    plot.draw(&mut svg);
    svg.add(format_args!(
        r#"<text x="28" y="366" font-size="13" fill="{MUTED}">evaluated {} · times in UTC · objective: {}</text></svg>"#,
        format::date_time(facts.evaluated_at),
        written(&wording::objective(facts))
    ));
    Some(svg.to_string())
}

const fn tone(facts: &AlertSnapshot) -> &'static str {
    match (facts.kind.lasts(), facts.severity) {
        (false, _) => OK,
        (true, Severity::Page) => PAGE,
        (true, Severity::Ticket) => TICKET,
    }
}

/// Escapes text, without the noncharacters that XML does not allow.
fn written(text: &str) -> String {
    let known: String = text
        .chars()
        .filter(|c| !matches!(c, '\u{FFFE}' | '\u{FFFF}'))
        .collect();
    escaped(&known)
}

struct Plot<'a> {
    facts: &'a AlertSnapshot,
    trend: &'a Trend,
    range: TimeRange,
    /// The share at the top of the scale.
    top: f64,
}

impl<'a> Plot<'a> {
    fn new(facts: &'a AlertSnapshot, trend: &'a Trend) -> Self {
        let budget = 1.0 - facts.objective;
        let least = trend.peak().max(4.0 * budget).max(0.001);
        let rounds = [1.0, 2.0, 5.0, 10.0];
        let decade = 10_f64.powf(least.log10().floor());
        let top = rounds.into_iter().map(|round| round * decade);
        Self {
            facts,
            trend,
            range: trend.range(),
            top: top
                .into_iter()
                .find(|top| *top >= least)
                .unwrap_or(least)
                .min(1.0),
        }
    }

    fn draw(&self, svg: &mut Markup) {
        self.scale(svg);
        self.firing(svg);
        self.line(svg);
        self.allowed(svg);
        for change in &self.facts.context.changes {
            self.change(svg, change);
        }
        self.axis(svg);
    }

    fn x(&self, at: Timestamp) -> f64 {
        let length = self.range.length().as_secs_f64().max(1.0);
        let offset = at.saturating_since(self.range.from).as_secs_f64();
        (offset / length).min(1.0).mul_add(RIGHT - LEFT, LEFT)
    }

    fn y(&self, share: f64) -> f64 {
        let part = (share / self.top).clamp(0.0, 1.0);
        part.mul_add(TOP - BOTTOM, BOTTOM)
    }

    fn scale(&self, svg: &mut Markup) {
        for share in [0.0, self.top / 2.0, self.top] {
            let y = self.y(share);
            svg.add(format_args!(
                r#"<path d="M{LEFT} {0}H{RIGHT}" stroke="{GRID}"/><text x="76" y="{1}" text-anchor="end" fill="{MUTED}">{2}</text>"#,
                number(y),
                number(y + 5.0),
                format::percent(share)
            ));
        }
    }

    /// Marks the time since the alert fired.
    fn firing(&self, svg: &mut Markup) {
        let Some(fired_at) = self.facts.fired_at.filter(|at| self.range.contains(*at)) else {
            return;
        };
        let until = self.facts.episode_summary.as_ref();
        let until = until.map_or(self.range.to, |episode| episode.resolved_at);
        let (from, to) = (self.x(fired_at), self.x(until));
        svg.add(format_args!(
            r#"<rect x="{}" y="{TOP}" width="{}" height="{}" fill="{PAGE}" opacity="0.09"/>"#,
            number(from),
            number((to - from).max(2.0)),
            number(BOTTOM - TOP)
        ));
    }

    /// Draws a point in the middle of each range; the line is interrupted where there was no event.
    fn line(&self, svg: &mut Markup) {
        let step = std::time::Duration::from_secs(self.trend.step_secs);
        let middle = self.range.from + step / 2;
        let points = self.trend.bad_ratios().zip(0_u32..).map(|(share, n)| {
            let at = middle + step * n;
            share.map(|share| (self.x(at), self.y(share)))
        });
        svg.add(format_args!(
            r#"<path d="{}" fill="none" stroke="{LINE}" stroke-width="3" stroke-linejoin="round" stroke-linecap="round"/>"#,
            path(points)
        ));
    }

    fn allowed(&self, svg: &mut Markup) {
        let allowed = 1.0 - self.facts.objective;
        let y = self.y(allowed);
        svg.add(format_args!(
            r#"<path d="M{LEFT} {0}H{RIGHT}" stroke="{PAGE}" stroke-width="1.5" stroke-dasharray="6 4"/><text x="90" y="{1}" fill="{PAGE}">allowed {2}</text>"#,
            number(y),
            number(y - 6.0),
            format::percent(allowed)
        ));
    }

    fn change(&self, svg: &mut Markup, change: &RecentChange) {
        if !self.range.contains(change.at) {
            return;
        }
        let x = self.x(change.at);
        let (anchor, side) = if x > f64::midpoint(LEFT, RIGHT) {
            ("end", -8.0)
        } else {
            ("start", 8.0)
        };
        let title = text::plain(&change.title, CHANGE_CHARS);
        svg.add(format_args!(
            r#"<path d="M{0} {1}v{2}" stroke="{MUTED}" stroke-dasharray="2 3"/><path d="M{0} {TOP}l6-10h-12z" fill="{MUTED}"/><text x="{3}" y="{4}" text-anchor="{anchor}" font-size="13" fill="{MUTED}">{5} {6}</text>"#,
            number(x),
            number(TOP),
            number(BOTTOM - TOP),
            number(x + side),
            number(TOP - 2.0),
            change.lead(),
            written(&title)
        ));
    }

    fn axis(&self, svg: &mut Markup) {
        svg.add(format_args!(
            r#"<path d="M{LEFT} {BOTTOM}H{RIGHT}" stroke="{MUTED}"/>"#
        ));
        let (from, to) = (self.range.from, self.range.to);
        let length = self.range.length();
        for (at, anchor) in [(from, "start"), (from + length / 2, "middle"), (to, "end")] {
            svg.add(format_args!(
                r#"<text x="{}" y="336" text-anchor="{anchor}" fill="{MUTED}">{}</text>"#,
                number(self.x(at)),
                at.to_chrono().format("%-d %b %H:%M")
            ));
        }
    }
}
