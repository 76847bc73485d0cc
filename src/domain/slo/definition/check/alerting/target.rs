//! Notification targets, and that no secret is written into a file.

use super::fallback::Unlinked;
use crate::domain::slo::{
    LatePolicy, SecretOrPlain, SecretRef, Target, TargetKind, WebhookFormat,
    definition::{
        check::{
            document::Named,
            values::{self, optional, required_ref},
        },
        diagnostics::{Diagnostics, SourceSpan},
        read::{Field, TextOr},
        target_file::{
            AlertmanagerFile, LatePolicyFile, PagerDutyFile, SecretFile, SlackFile, TargetSpec,
            TeamsFile, WebhookFile, WebhookFormatFile,
        },
    },
};

/// Which other target its fallback is can be told only when all are known.
pub(crate) fn check<'a>(named: &Named<'a, TargetSpec>) -> Option<Unlinked<'a>> {
    let findings = named.findings;
    let (spec, place) = named.spec.valid()?;
    let written = [
        spec.webhook.is_some(),
        spec.slack.is_some(),
        spec.pagerduty.is_some(),
        spec.teams.is_some(),
        spec.alertmanager.is_some(),
    ];
    if written.into_iter().filter(|is_written| *is_written).count() != 1 {
        findings.error(
            place,
            "a target has exactly one of `webhook`, `slack`, `pagerduty`, `teams` and \
             `alertmanager`",
        );
        return None;
    }
    let kind = if let Some((file, place)) = optional(spec.webhook.as_ref()) {
        webhook(findings, file, place)
    } else if let Some((file, place)) = optional(spec.slack.as_ref()) {
        slack(findings, file, place)
    } else if let Some((file, place)) = optional(spec.pagerduty.as_ref()) {
        pager_duty(findings, file, place)
    } else if let Some((file, place)) = optional(spec.teams.as_ref()) {
        teams(findings, file, place)
    } else if let Some((file, place)) = optional(spec.alertmanager.as_ref()) {
        alertmanager(findings, file, place)
    } else {
        None
    };
    let kind = kind?;
    let late = optional(spec.late_policy.as_ref()).map(|(late, _)| match late {
        LatePolicyFile::Deliver => LatePolicy::Deliver,
        LatePolicyFile::Collapse => LatePolicy::Collapse,
        LatePolicyFile::Drop => LatePolicy::CollapseQuiet,
    });
    let fallback = optional(spec.fallback.as_ref()).map(|(name, place)| (name.clone(), place));
    Some(Unlinked {
        findings,
        target: Target {
            late: late.unwrap_or(kind.usual_late_policy()),
            ..Target::new(named.name.clone()?.0, kind)
        },
        fallback,
    })
}

fn webhook(
    findings: &Diagnostics<'_>,
    file: &WebhookFile,
    place: SourceSpan,
) -> Option<TargetKind> {
    let url = required_ref(findings, &file.url, place, "url")
        .and_then(|(value, place)| address_or_secret(findings, value, place));
    let format = match optional(file.format.as_ref()) {
        None => Some(WebhookFormat::default()),
        Some((WebhookFormatFile::Standard, _)) => Some(WebhookFormat::Standard),
        Some((WebhookFormatFile::AlertmanagerV4, _)) => Some(WebhookFormat::AlertmanagerV4),
        Some((WebhookFormatFile::CloudEvents, _)) => Some(WebhookFormat::CloudEvents),
    };
    let secret = optional_secret(findings, file.secret.as_ref(), place, "secret");
    Some(TargetKind::Webhook {
        url: url?,
        secret: secret?,
        format: format?,
    })
}

fn slack(findings: &Diagnostics<'_>, file: &SlackFile, place: SourceSpan) -> Option<TargetKind> {
    match (&file.webhook_url, &file.token, &file.channel) {
        (Some(url), None, None) => {
            if let Some((_, place)) = optional(file.url.as_ref()) {
                findings.error(place, "`url` is for a bot, whose `token` is missing");
                return None;
            }
            Some(TargetKind::Slack {
                webhook_url: secret(findings, url, place, "webhookUrl")?,
            })
        }
        (None, Some(token), Some(channel)) => {
            let token = secret(findings, token, place, "token");
            let channel = channel.valid().and_then(|(name, place)| {
                let name = name.trim();
                if name.is_empty() {
                    findings.error_with_help(
                        place,
                        "the channel is empty",
                        "write its name or id: `\"#deploys\"`".to_owned(),
                    );
                    return None;
                }
                Some(name.to_owned())
            });
            let url = optional_address(findings, file.url.as_ref());
            Some(TargetKind::SlackBot {
                token: token?,
                channel: channel?,
                url: url?,
            })
        }
        _ => {
            findings.error_with_help(
                place,
                "Slack is reached by `webhookUrl`, or by `token` and `channel`",
                "write `{ webhookUrl: { env: NAME } }`, or \
                 `{ token: { env: NAME }, channel: \"#deploys\" }` for a thread for each alert"
                    .to_owned(),
            );
            None
        }
    }
}

fn pager_duty(
    findings: &Diagnostics<'_>,
    file: &PagerDutyFile,
    place: SourceSpan,
) -> Option<TargetKind> {
    let routing_key = secret(findings, &file.routing_key, place, "routingKey");
    let previous = file.previous_routing_key.as_ref();
    let previous_routing_key = optional_secret(findings, previous, place, "previousRoutingKey");
    let url = optional_address(findings, file.url.as_ref());
    Some(TargetKind::PagerDuty {
        routing_key: routing_key?,
        previous_routing_key: previous_routing_key?,
        url: url?,
    })
}

fn teams(findings: &Diagnostics<'_>, file: &TeamsFile, place: SourceSpan) -> Option<TargetKind> {
    Some(TargetKind::Teams {
        url: secret(findings, &file.url, place, "url")?,
    })
}

fn alertmanager(
    findings: &Diagnostics<'_>,
    file: &AlertmanagerFile,
    place: SourceSpan,
) -> Option<TargetKind> {
    let urls = match (&file.url, &file.urls) {
        (Some(field), None) => {
            let (value, place) = field.valid()?;
            vec![address_or_secret(findings, value, place)?]
        }
        (None, Some(field)) => {
            let (list, place) = field.valid()?;
            if list.is_empty() {
                findings.error(
                    place,
                    "an Alertmanager without an address cannot be reached",
                );
                return None;
            }
            let found: Vec<_> = list
                .iter()
                .map(|field| {
                    let (value, place) = field.valid()?;
                    address_or_secret(findings, value, place)
                })
                .collect();
            found.into_iter().collect::<Option<Vec<_>>>()?
        }
        _ => {
            findings.error_with_help(
                place,
                "an Alertmanager has exactly one of `url` and `urls`",
                "write `urls: [http://am-0:9093, http://am-1:9093]` for several replicas"
                    .to_owned(),
            );
            return None;
        }
    };
    Some(TargetKind::Alertmanager { urls })
}

fn address_or_secret(
    findings: &Diagnostics<'_>,
    value: &TextOr<SecretFile>,
    place: SourceSpan,
) -> Option<SecretOrPlain> {
    match value {
        TextOr::Text(text) => address(findings, text, place).map(SecretOrPlain::Plain),
        TextOr::Shape(file) => reference(findings, file, place).map(SecretOrPlain::Secret),
    }
}

#[expect(
    clippy::option_option,
    reason = "the inner `None` is an address that was left out"
)]
fn optional_address(
    findings: &Diagnostics<'_>,
    field: Option<&Field<String>>,
) -> Option<Option<String>> {
    match field {
        None => Some(None),
        Some(field) => {
            let (text, place) = field.valid()?;
            address(findings, text, place).map(Some)
        }
    }
}

fn address(findings: &Diagnostics<'_>, text: &str, place: SourceSpan) -> Option<String> {
    let address = values::web_address(findings, text, place)?;
    let authority = address.split("://").nth(1)?.split(['/', '?', '#']).next()?;
    if authority.contains('@') {
        findings.error_with_help(
            place,
            "a password in an address is a secret, and a secret is never written in a file",
            "write where the whole address is kept: `{ env: NAME }` or `{ file: PATH }`; if this \
             file was committed, change the password"
                .to_owned(),
        );
        return None;
    }
    Some(address)
}

#[expect(
    clippy::option_option,
    reason = "the inner `None` is a secret that was left out"
)]
fn optional_secret(
    findings: &Diagnostics<'_>,
    field: Option<&Field<TextOr<SecretFile>>>,
    parent: SourceSpan,
    key: &str,
) -> Option<Option<SecretRef>> {
    match field {
        None => Some(None),
        Some(field) => secret(findings, field, parent, key).map(Some),
    }
}

fn secret(
    findings: &Diagnostics<'_>,
    field: &Field<TextOr<SecretFile>>,
    parent: SourceSpan,
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

fn reference(
    findings: &Diagnostics<'_>,
    file: &SecretFile,
    place: SourceSpan,
) -> Option<SecretRef> {
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
