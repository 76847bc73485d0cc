//! Recognises definitions of other systems, and describes how their fields are written here: one
//! problem instead of one for each field.

use crate::domain::slo::definition::{diagnostics::SourceSpan, yaml::YamlNode};

/// The format of another system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForeignFormat {
    /// The beginning of `apiVersion`; for some of Sloth's files of `version`.
    prefix: &'static str,
    pub(crate) name: &'static str,
    /// The description of how its fields are written here.
    pub(crate) help: &'static str,
}

const FORMATS: [ForeignFormat; 6] = [
    ForeignFormat {
        prefix: "openslo",
        name: "another version of OpenSLO",
        help: "`apiVersion: openslo/v1` is read as it is; in ours, `objectives[0].target: 0.99` is `objective: 99%`; `timeWindow[0].duration: 4w` is `window: 28d`, \
               `calendar` is `window: { calendar: month, timeZone: UTC }`; `indicator` selects spans \
               (`workflow` or `span`) and has no query; `alertPolicies` has names or policies in place; \
               `notificationTargets` of a policy are `notify: { page: [...], ticket: [...] }` of the SLO",
    },
    ForeignFormat {
        prefix: "prometheus/",
        name: "Sloth",
        help: SLOTH,
    },
    ForeignFormat {
        prefix: "sloth.slok.dev/",
        name: "Sloth",
        help: SLOTH,
    },
    ForeignFormat {
        prefix: "pyrra.dev/",
        name: "Pyrra",
        help: "`target: \"99\"` is `objective: 99%`; `window: 2w` stays; `indicator.ratio`, `latency` and \
               `bool_gauge` become `indicator.workflow` or `indicator.span`, which select spans; `grouping` \
               is `groupBy` with attributes of spans; `alerting` is `alertPolicies` and `notify`",
    },
    ForeignFormat {
        prefix: "n9/",
        name: "Nobl9",
        help: "`objectives[0].target: 0.95` is `objective: 95%`; `timeWindows[0]` with `unit: Day, count: 28` is \
               `window: 28d`, with a `calendar` it is `window: { calendar: month, timeZone: UTC }`; \
               `indicator` and `countMetrics` become `indicator.workflow` or `indicator.span`, which select \
               spans; `budgetingMethod: Occurrences` is left out; `alertPolicies` has names; an AlertMethod \
               is an AlertNotificationTarget, named in `notify`",
    },
    ForeignFormat {
        prefix: "sre.google.com/",
        name: "Google's slo-generator",
        help: "`goal: 0.95` is `objective: 95%`; the `window` of the error budget policy in seconds is \
               `window: 28d`; `service_level_indicator` becomes `indicator.workflow` or `indicator.span`, which \
               select spans; `alert_thresholds` are rules of an AlertPolicy; exporters are \
               AlertNotificationTargets, named in `notify`",
    },
];

const SLOTH: &str = "each entry of `slos` is a document of its own with `kind: SLO` and `metadata.name`; \
                     `objective: 99.9` is `objective: 99.9%`; `window: 30d` must be written; `sli.events` and \
                     `sli.raw` become `indicator.workflow` or `indicator.span`, which select spans; `alerting` is \
                     left out: `page_alert` and `ticket_alert` are `notify: { page: [...], ticket: [...] }`";

/// Returns the format of a document of another system, and the position that shows it.
pub(crate) fn origin(document: &YamlNode) -> Option<(SourceSpan, ForeignFormat)> {
    ["apiVersion", "version"].into_iter().find_map(|key| {
        let value = &document.entry(key)?.value;
        let text = value.text()?;
        let format = FORMATS
            .iter()
            .find(|format| text.starts_with(format.prefix))?;
        Some((value.place, *format))
    })
}
