//! Which alerts a user's silence may match.

use super::{SloScope, may_see};
use crate::domain::{
    alerting::silence::{MatchOperator, Matcher, SilenceTerms},
    slo::Slo,
};

/// Returns whether a silence matches only alerts of SLOs of `scopes`, among all declared `slos` and
/// any that are declared later.
pub fn is_within(scopes: &[SloScope], terms: &SilenceTerms, slos: &[&Slo]) -> bool {
    let mut matched = slos.iter().filter(|slo| terms.may_match(slo));
    let names_own = |matcher: &Matcher| names_own(scopes, matcher, slos);
    matched.all(|slo| may_see(scopes, &slo.labels))
        && (scopes.contains(&SloScope::All) || terms.matchers.iter().any(names_own))
}

/// Returns whether a matcher accepts one SLO, team or namespace of `scopes` and no other, now or
/// later.
fn names_own(scopes: &[SloScope], matcher: &Matcher, slos: &[&Slo]) -> bool {
    let value = matcher.value();
    let is_own = match matcher.name() {
        "slo" | "alertname" => slos.iter().any(|slo| slo.name.as_str() == value),
        name => scopes
            .iter()
            .any(|scope| scope.label() == Some((name, value))),
    };
    matcher.operator() == MatchOperator::Equal && is_own
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        alerting::silence::Draft,
        model::time::Timestamp,
        slo::definition::{DefinitionFile, load},
    };

    const SLOS: [(&str, &str, &str); 3] = [
        ("transfers", "payments", ""),
        ("carts", "shop", ""),
        ("orders", "shop", "groupBy: [span.region]"),
    ];

    fn is_own(scopes: &[SloScope], matchers: &[&str]) -> bool {
        let documents = SLOS.map(|(name, team, more)| {
            format!(
                "apiVersion: throughline/v1\nkind: SLO\nmetadata: {{ name: {name}, labels: {{ team: {team} }} }}\n\
                 spec:\n  objective: 99%\n  window: 30d\n  notify: {{}}\n  {more}\n  indicator:\n    \
                 span: {{ match: '{{ kind = consumer }}', good: '{{ status != error }}' }}\n"
            )
        });
        let path = "slos.yaml".to_owned();
        let text = documents.join("---\n");
        let (catalog, _) = load(&[DefinitionFile { path, text }]).unwrap();
        let draft = Draft {
            matchers: matchers.iter().map(|&one| one.to_owned()).collect(),
            lasts: Some(std::time::Duration::from_hours(1)),
            reason: "upgrade".to_owned(),
            ..Draft::default()
        };
        let terms = draft.terms(Timestamp::from_secs(1_795_000_000)).unwrap();
        let slos: Vec<&Slo> = catalog.slos.values().map(AsRef::as_ref).collect();
        is_within(scopes, &terms, &slos)
    }

    #[test]
    fn a_silence_is_ones_own_if_it_can_match_nothing_of_others() {
        let own = [SloScope::Team("payments".to_owned())];
        for matchers in [
            &["slo=transfers"][..],
            &["alertname=transfers", "severity=page"],
            &["team=payments"],
            &["team=payments", "slo=~.*"],
        ] {
            assert!(is_own(&own, matchers), "{matchers:?}");
        }
        for matchers in [
            &["slo=carts"][..],
            &["team=shop"],
            &["severity=page"],
            // No one else has such an SLO yet.
            &["slo=~trans.*"],
            &["slo=refunds"],
            &["region=eu"],
            &["team=~payments"],
        ] {
            assert!(!is_own(&own, matchers), "{matchers:?}");
        }
        assert!(is_own(&[SloScope::All], &["severity=page"]));
    }

    #[test]
    fn a_silence_of_a_group_may_match_its_slo() {
        let shop = [SloScope::Team("shop".to_owned())];
        assert!(is_own(&shop, &["slo=orders", "region=eu"]));
        let payments = [SloScope::Team("payments".to_owned())];
        assert!(!is_own(&payments, &["slo=orders", "region=eu"]));
    }
}
