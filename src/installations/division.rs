//! How installations that share definitions divide the SLOs among them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{InstallationAnswer, SlosAnswer};
use crate::domain::model::ids::Name;

/// The SLOs that are not judged by exactly one installation. Installations that leave no SLO to
/// others have definitions of their own, which may have the same names.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Division {
    /// With the names of the installations.
    pub judged_by_several: BTreeMap<Name, Vec<String>>,
    /// Empty if an installation did not respond, since that one may judge them.
    pub judged_by_none: BTreeSet<Name>,
}

impl Division {
    /// Examines responses with all SLOs of their installations.
    pub fn new(answers: &[InstallationAnswer<SlosAnswer>]) -> Self {
        let mut judged: BTreeMap<&Name, Vec<String>> = BTreeMap::new();
        let mut left = BTreeSet::new();
        for answer in answers {
            let Ok(found) = &answer.result else { continue };
            let shares = !found.other_slos.is_empty();
            let by = shares.then_some(&answer.installation.name);
            for slo in &found.slos {
                judged.entry(&slo.name).or_default().extend(by.cloned());
            }
            left.extend(&found.other_slos);
        }
        let has_all = answers.iter().all(|answer| answer.result.is_ok());
        left.retain(|name| has_all && !judged.contains_key(name));
        judged.retain(|_, by| by.len() > 1);
        Self {
            judged_by_several: judged
                .into_iter()
                .map(|(name, by)| (name.clone(), by))
                .collect(),
            judged_by_none: left.into_iter().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::domain::model::counts::EventCounts;
    use crate::installations::{Installation, InstallationProblem};

    fn answer(name: &str, judges: &[&str], leaves: &[&str]) -> InstallationAnswer<SlosAnswer> {
        let counts = json!(EventCounts::default());
        let slo = |name: &&str| {
            json!({
                "name": name, "display_name": name, "service": null, "labels": {},
                "objective_ratio": 0.99, "window_seconds": 60, "state": null,
                "budget_remaining_ratio": null, "budget_empty_in_seconds": null,
                "in_flight": 0, "overdue": 0, "rules": [], "alerts": [],
                "leading_window": { "seconds": 60, "counts": counts, "burn_rate": null },
            })
        };
        let slos: Vec<_> = judges.iter().map(slo).collect();
        let found = json!({ "public_url": null, "slos": slos, "other_slos": leaves, "next": null });
        InstallationAnswer {
            installation: installation(name),
            result: Ok(serde_json::from_value(found).unwrap()),
            took: Duration::ZERO,
        }
    }

    fn installation(name: &str) -> Installation {
        Installation {
            name: name.to_owned(),
            url: String::new(),
            token: None,
        }
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn an_slo_that_two_or_none_of_those_who_share_it_judge_is_listed() {
        let both = [
            answer("east", &["a", "b"], &["c", "d"]),
            answer("west", &["b", "c"], &["a", "d"]),
        ];
        let division = Division::new(&both);
        let several = BTreeMap::from([(name("b"), vec!["east".to_owned(), "west".to_owned()])]);
        assert_eq!(division.judged_by_several, several);
        assert_eq!(division.judged_by_none, BTreeSet::from([name("d")]));
    }

    #[test]
    fn installations_with_definitions_of_their_own_may_have_the_same_names() {
        let both = [answer("staging", &["a"], &[]), answer("live", &["a"], &[])];
        assert_eq!(Division::new(&both), Division::default());
    }

    #[test]
    fn one_that_does_not_respond_may_judge_what_the_others_leave() {
        let away = InstallationAnswer {
            installation: installation("west"),
            result: Err(InstallationProblem::Timeout(Duration::from_secs(1))),
            took: Duration::from_secs(1),
        };
        let both = [answer("east", &["a"], &["c"]), away];
        assert_eq!(Division::new(&both), Division::default());
    }
}
