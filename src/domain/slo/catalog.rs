//! All declarations of a set of definitions.

use std::{collections::BTreeMap, sync::Arc};

use super::{GroupBy, Indicator, Slo, SloSelector, Target, target::renamed_targets};
use crate::domain::model::ids::{Name, SloId};

/// Everything declared, valid as a whole.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Those that this installation judges, by name.
    pub slos: BTreeMap<Name, Arc<Slo>>,
    /// Which those are; `None` if all.
    pub selector: Option<SloSelector>,
    /// The SLOs that are left to other installations.
    pub other_slos: BTreeMap<Name, Arc<Slo>>,
    pub targets: BTreeMap<Name, Arc<Target>>,
    /// The present name of each target, by its names in earlier definitions.
    pub former_targets: BTreeMap<Name, Name>,
}

impl Catalog {
    /// This catalog, of which the SLOs that `selector` does not match are left to other installations.
    #[must_use]
    pub fn selected_by(mut self, selector: SloSelector) -> Self {
        let (slos, others) = self
            .slos
            .into_iter()
            .partition(|(_, slo)| selector.matches(&slo.labels));
        (self.slos, self.other_slos) = (slos, others);
        self.selector = Some(selector);
        self
    }

    /// The SLO of this name, whichever installation judges it.
    pub fn declared(&self, name: &Name) -> Option<&Arc<Slo>> {
        self.slos.get(name).or_else(|| self.other_slos.get(name))
    }

    /// Returns this catalog as the successor of `before`: it includes the former names of its
    /// targets.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        let renamed = renamed_targets(&before.targets, &self.targets);
        let present = |name: &Name| renamed.get(name).unwrap_or(name).clone();
        let earlier = before.former_targets.iter();
        self.former_targets = earlier
            .map(|(former, name)| (former.clone(), present(name)))
            .chain(renamed.clone())
            .filter(|(former, name)| {
                !self.targets.contains_key(former) && self.targets.contains_key(name)
            })
            .collect();
        self
    }

    /// Returns the targets of `before` that no longer exist under any name. Alerts that fire there
    /// are never resolved there.
    pub fn lost_targets<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = &'a Name> {
        let names = before.targets.keys();
        let renamed = renamed_targets(&before.targets, &self.targets);
        names.filter(move |name| !self.targets.contains_key(*name) && !renamed.contains_key(*name))
    }

    /// Returns the groupings of the SLOs that have one, and an id.
    pub fn groupings(&self, ids: &BTreeMap<Name, SloId>) -> BTreeMap<SloId, &GroupBy> {
        self.slos
            .iter()
            .filter_map(|(name, slo)| Some((*ids.get(name)?, slo.group_by.as_ref()?)))
            .collect()
    }
    /// Returns the `finish` selectors of the workflow SLOs that have an id.
    pub fn finishes(&self, ids: &BTreeMap<Name, SloId>) -> BTreeMap<SloId, String> {
        let finish = |(name, slo): (&Name, &Arc<Slo>)| match &slo.indicator {
            Indicator::Workflow(workflow) => {
                Some((*ids.get(name)?, workflow.finish.text().to_owned()))
            }
            Indicator::Span(_) => None,
        };
        self.slos.iter().filter_map(finish).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::slo::definition::{DefinitionFile, load};

    fn catalog(targets: &[(&str, &str)]) -> Catalog {
        let documents: Vec<String> = targets
            .iter()
            .map(|(name, spec)| {
                format!(
                    "apiVersion: throughline/v1\nkind: AlertNotificationTarget\n\
                     metadata: {{ name: {name} }}\nspec: {{ {spec} }}\n"
                )
            })
            .collect();
        let text = documents.join("---\n");
        let path = "targets.yaml".to_owned();
        load(&[DefinitionFile { path, text }]).unwrap().0
    }

    fn former(catalog: &Catalog) -> Vec<String> {
        let all = catalog.former_targets.iter();
        all.map(|(former, name)| format!("{former} -> {name}"))
            .collect()
    }

    const PAGER: &str = "pagerduty: { routingKey: { env: KEY } }";
    const OTHER_KEY: &str = "pagerduty: { routingKey: { env: OTHER } }";

    #[test]
    fn a_target_under_another_name_is_known_by_where_it_sends() {
        let places = [
            PAGER,
            "slack: { url: { env: SLACK } }",
            "slack: { token: { env: TOKEN }, channel: '#deploys' }",
            "teams: { url: { env: TEAMS } }",
            "webhook: { url: https://example.com/hook }",
            "alertmanager: { url: http://am:9093 }",
        ];
        for place in places {
            let now = catalog(&[("new", place)]).after(&catalog(&[("old", place)]));
            assert_eq!(former(&now), ["old -> new"], "{place}");
        }
        let elsewhere = catalog(&[("new", OTHER_KEY)]).after(&catalog(&[("old", PAGER)]));
        assert_eq!(former(&elsewhere), [] as [&str; 0]);
    }

    #[test]
    fn a_target_whose_key_is_rotated_and_whose_name_changes_is_the_same() {
        let rotated = "pagerduty: { routingKey: { env: OTHER }, previousRoutingKey: { env: KEY } }";
        let now = catalog(&[("new", rotated)]).after(&catalog(&[("old", PAGER)]));
        assert_eq!(former(&now), ["old -> new"]);
    }

    #[test]
    fn a_previous_name_tells_what_the_address_does_not() {
        let renamed = format!("{OTHER_KEY}, previousName: old");
        let now = catalog(&[("new", &renamed)]).after(&catalog(&[("old", PAGER)]));
        assert_eq!(former(&now), ["old -> new"]);
        let later = catalog(&[("new", &renamed)]).after(&catalog(&[("new", OTHER_KEY)]));
        assert_eq!(former(&later), ["old -> new"], "written after the fact");
    }

    #[test]
    fn a_target_is_known_after_several_changes_of_its_name() {
        let first = catalog(&[("a", PAGER)]);
        let second = catalog(&[("b", PAGER)]).after(&first);
        let third = catalog(&[("c", PAGER)]).after(&second);
        assert_eq!(former(&third), ["a -> c", "b -> c"]);
        let back = catalog(&[("a", PAGER)]).after(&third);
        assert_eq!(former(&back), ["b -> a", "c -> a"]);
        let gone = catalog(&[("other", OTHER_KEY)]).after(&back);
        assert_eq!(former(&gone), [] as [&str; 0]);
    }

    #[test]
    fn nothing_is_guessed_where_two_targets_send_to_the_place_of_one_that_is_gone() {
        let before = catalog(&[("old", PAGER)]);
        let now = catalog(&[("one", PAGER), ("two", PAGER)]).after(&before);
        assert_eq!(former(&now), [] as [&str; 0]);
        let lost: Vec<&Name> = now.lost_targets(&before).collect();
        assert_eq!(lost, [&"old".parse::<Name>().unwrap()]);
        let both = catalog(&[("old", PAGER), ("new", PAGER)]);
        assert_eq!(both.lost_targets(&before).count(), 0);
        assert_eq!(catalog(&[("new", PAGER)]).lost_targets(&before).count(), 0);
    }
}
