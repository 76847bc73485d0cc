//! Notification targets, and that no secret is written into a file.

use super::{
    super::{
        SecretOrPlain, SecretRef, Target, TargetKind,
        file::{PagerDutyFile, SecretFile, SlackFile, TargetSpec, WebhookFile},
        problem::{Findings, Place},
        read::{Field, TextOr},
    },
    document::Named,
    values::{self, optional, required_ref},
};

pub(super) fn check(named: &Named<'_, TargetSpec>) -> Option<Target> {
    let findings = named.findings;
    let (spec, place) = named.spec.valid()?;
    let kind = match (&spec.webhook, &spec.slack, &spec.pagerduty) {
        (Some(field), None, None) => {
            let (file, place) = field.valid()?;
            webhook(findings, file, place)
        }
        (None, Some(field), None) => {
            let (file, place) = field.valid()?;
            slack(findings, file, place)
        }
        (None, None, Some(field)) => {
            let (file, place) = field.valid()?;
            pager_duty(findings, file, place)
        }
        _ => {
            findings.error(
                place,
                "a target has exactly one of `webhook`, `slack` and `pagerduty`",
            );
            None
        }
    };
    Some(Target {
        name: named.name.clone()?.0,
        kind: kind?,
    })
}

fn webhook(findings: &Findings<'_>, file: &WebhookFile, place: Place) -> Option<TargetKind> {
    let url =
        required_ref(findings, &file.url, place, "url").and_then(|(value, place)| match value {
            TextOr::Text(text) => {
                values::web_address(findings, text, place).map(SecretOrPlain::Plain)
            }
            TextOr::Shape(file) => reference(findings, file, place).map(SecretOrPlain::Secret),
        });
    let secret = match &file.secret {
        None => Some(None),
        Some(field) => secret(findings, field, place, "secret").map(Some),
    };
    Some(TargetKind::Webhook {
        url: url?,
        secret: secret?,
    })
}

fn slack(findings: &Findings<'_>, file: &SlackFile, place: Place) -> Option<TargetKind> {
    Some(TargetKind::Slack {
        webhook_url: secret(findings, &file.webhook_url, place, "webhookUrl")?,
    })
}

fn pager_duty(findings: &Findings<'_>, file: &PagerDutyFile, place: Place) -> Option<TargetKind> {
    let routing_key = secret(findings, &file.routing_key, place, "routingKey");
    let url = match optional(file.url.as_ref()) {
        None => Some(None),
        Some((text, place)) => values::web_address(findings, text, place).map(Some),
    };
    Some(TargetKind::PagerDuty {
        routing_key: routing_key?,
        url: url?,
    })
}

fn secret(
    findings: &Findings<'_>,
    field: &Field<TextOr<SecretFile>>,
    parent: Place,
    key: &str,
) -> Option<SecretRef> {
    let (value, place) = required_ref(findings, field, parent, key)?;
    match value {
        TextOr::Shape(file) => reference(findings, file, place),
        TextOr::Text(_) => {
            findings.error_with_help(
                place,
                format!("`{key}` is a secret, and a secret is never written in a file"),
                format!(
                    "write where it is kept: `{key}: {{ env: NAME }}` or `{key}: {{ file: PATH }}`; \
                     if this file was committed, change the secret"
                ),
            );
            None
        }
    }
}

fn reference(findings: &Findings<'_>, file: &SecretFile, place: Place) -> Option<SecretRef> {
    match (&file.env, &file.file) {
        (Some(field), None) => {
            let (name, place) = field.valid()?;
            if values::is_env_name(name) {
                return Some(SecretRef::Env(name.clone()));
            }
            // It may be the secret itself, so it is not repeated.
            findings.error_with_help(
                place,
                "this is not the name of an environment variable",
                "use letters, digits and `_`, such as `PAGERDUTY_ROUTING_KEY`".to_owned(),
            );
            None
        }
        (None, Some(field)) => {
            let (path, place) = field.valid()?;
            if path.starts_with('/') {
                return Some(SecretRef::File(path.clone()));
            }
            findings.error_with_help(
                place,
                "the path of a secret is absolute",
                "write it from the root: `/run/secrets/name`".to_owned(),
            );
            None
        }
        _ => {
            findings.error(place, "a secret is kept in exactly one of `env` and `file`");
            None
        }
    }
}
