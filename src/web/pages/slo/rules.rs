//! The rules of an SLO as rows of its page.

use crate::{
    domain::{
        alerting::{
            rule_status::{BurnCondition, RuleStatus},
            status::SloState,
            threshold::{ThresholdState, ThresholdStatus},
        },
        model::format,
        slo::Severity,
    },
    web::{
        chart::Markup,
        pages::summary::{StatusBadge, Summary, limit_track, rule_track},
    },
};

/// A rule with its current status.
pub(super) struct RuleRow {
    pub(super) title: String,
    pub(super) name: String,
    pub(super) threshold: String,
    pub(super) track: Markup,
    pub(super) long: String,
    pub(super) short: String,
    pub(super) face: StatusBadge,
    pub(super) class: &'static str,
}

pub(super) fn word(rule: &RuleStatus) -> &'static str {
    match rule.severity {
        Severity::Page => "pages",
        Severity::Ticket => "opens a ticket",
    }
}

pub(super) fn rows(slo: &Summary) -> Vec<RuleRow> {
    let on_burn = slo.rules.iter().map(RuleRow::new);
    let on_limits = slo.threshold_rules.iter().map(RuleRow::on_limit);
    // Rules on data quality are shown only if they have something to report.
    let is_quiet = |rule: &&ThresholdStatus| {
        matches!(rule.state, ThresholdState::Under | ThresholdState::Unknown)
    };
    let on_quality = slo.quality_rules.iter().filter(|rule| !is_quiet(rule));
    on_burn
        .chain(on_limits)
        .chain(on_quality.map(RuleRow::on_limit))
        .collect()
}

impl RuleRow {
    fn on_limit(rule: &ThresholdStatus) -> Self {
        let (kind, hot) = match rule.severity {
            Severity::Page => ("Page", "hot"),
            Severity::Ticket => ("Ticket", "warm"),
        };
        Self {
            title: format!("{kind} {}", rule.limit.title()),
            name: rule.name.to_string(),
            threshold: rule.limit.threshold(),
            track: limit_track(rule),
            long: rule.reading(),
            short: format::NONE.to_owned(),
            face: standing_face(rule),
            class: if rule.state == ThresholdState::Over {
                hot
            } else {
                ""
            },
        }
    }

    fn new(rule: &RuleStatus) -> Self {
        let face = condition_face(rule);
        let severity = StatusBadge::of_severity(rule.severity);
        let kind = if severity.icon == "page" {
            "Page"
        } else {
            "Ticket"
        };
        Self {
            title: format!(
                "{kind} {} + {}",
                format::window(rule.long.secs),
                format::window(rule.short.secs)
            ),
            name: rule.name.to_string(),
            threshold: format::factor(rule.factor),
            track: rule_track(rule),
            long: format::burn_rate(rule.long.burn_rate, rule.factor),
            short: format::burn_rate(rule.short.burn_rate, rule.factor),
            face,
            class: match rule.condition {
                BurnCondition::Burning if severity.icon == "page" => "hot",
                BurnCondition::Burning => "warm",
                _ => "",
            },
        }
    }
}

fn standing_face(rule: &ThresholdStatus) -> StatusBadge {
    match rule.state {
        ThresholdState::Over => StatusBadge {
            word: "Over",
            ..StatusBadge::of_severity(rule.severity)
        },
        ThresholdState::Near => StatusBadge {
            word: "Near",
            ..StatusBadge::of(Some(SloState::Rising))
        },
        ThresholdState::TooFew => too_few_face(),
        ThresholdState::InDoubt => in_doubt_badge(),
        ThresholdState::Under => StatusBadge {
            word: "Quiet",
            ..StatusBadge::of(Some(SloState::Ok))
        },
        ThresholdState::Unknown => StatusBadge {
            word: "Unknown",
            ..StatusBadge::of(Some(SloState::NoData))
        },
    }
}

fn condition_face(rule: &RuleStatus) -> StatusBadge {
    match rule.condition {
        BurnCondition::Burning => StatusBadge {
            word: "Burning",
            ..StatusBadge::of_severity(rule.severity)
        },
        BurnCondition::Rising => StatusBadge::of(Some(SloState::Rising)),
        BurnCondition::Recovering => StatusBadge::of(Some(SloState::Recovering)),
        BurnCondition::Quiet => StatusBadge {
            word: "Quiet",
            ..StatusBadge::of(Some(SloState::Ok))
        },
        BurnCondition::TooFew => too_few_face(),
        BurnCondition::InDoubt => in_doubt_badge(),
        BurnCondition::TooYoung => StatusBadge {
            word: "Too new to tell",
            ..StatusBadge::of(Some(SloState::TooFew))
        },
        BurnCondition::NoData => StatusBadge::of(Some(SloState::NoData)),
    }
}

fn in_doubt_badge() -> StatusBadge {
    StatusBadge {
        word: "In doubt",
        ..StatusBadge::of(Some(SloState::NoData))
    }
}

fn too_few_face() -> StatusBadge {
    StatusBadge {
        word: "Too few to tell",
        ..StatusBadge::of(Some(SloState::TooFew))
    }
}
