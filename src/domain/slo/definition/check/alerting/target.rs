//! Reads notification targets, and rejects secrets that are written in a file.

use super::report;
use crate::domain::{
    model::ids::Name,
    slo::{
        LatePolicy, SecretOrPlain, SecretRef, Target, TargetKind, WebhookFormat,
        definition::{
            check::{document::NamePlace, values},
            diagnostics::{Diagnostics, Reported, SourceSpan},
            fields::Fields,
            shape::Shape,
            value::{Checked, YamlValue},
        },
    },
};

/// A target whose references to other targets are not checked: that needs all targets.
#[derive(Debug)]
pub(crate) struct TargetDraft {
    pub(crate) name: Name,
    /// Without its fallback and its former name.
    pub(crate) target: Checked<Target>,
    pub(crate) fallback: Checked<Option<(String, SourceSpan)>>,
    pub(crate) previous_name: Checked<Option<NamePlace>>,
}

pub(crate) fn read(value: YamlValue<'_>, name: Option<&NamePlace>) -> Checked<TargetDraft> {
    value.group("TargetSpec", "Where notifications are sent.", |fields| {
        let kind = kind(fields);
        let about = "Target that is notified as well while this one cannot be reached.";
        let fallback = fields.optional("fallback", about, |value| {
            Ok((value.text_as(Shape::Name)?.to_owned(), value.place()))
        });
        let about = "Name of this target in earlier definitions. Alerts that fire there are continued here: needed \
                     only if the address changes together with the name.";
        let previous_name = fields.optional("previousName", about, |value| {
            Ok((values::name(value)?, value.place()))
        });
        let about = "What happens to an alert that resolves before it could be delivered: `deliver` sends \
                     both messages in order, `collapse` sends one, `drop` sends none. Defaults to `deliver` \
                     for webhooks and Alertmanager, `collapse` for Slack and Teams, `drop` for PagerDuty.";
        let late = fields.optional("latePolicy", about, |value| {
            value.word(&[
                ("deliver", LatePolicy::Deliver),
                ("collapse", LatePolicy::Collapse),
                ("drop", LatePolicy::CollapseQuiet),
            ])
        });
        let about = "Monthly reports that are sent here. Not for PagerDuty and Alertmanager.";
        let reports = fields.optional("reports", about, report::reports);
        let name = name.ok_or(Reported)?.0.clone();
        let target = kind.and_then(|kind| {
            let reports = reports?.unwrap_or_default();
            report::check_kind(fields, &kind)?;
            let target = Target::new(name.clone(), kind);
            Ok(Target {
                late: late?.unwrap_or(target.late),
                reports,
                ..target
            })
        });
        Ok(TargetDraft {
            name,
            target,
            fallback,
            previous_name,
        })
    })
}

fn kind(fields: &Fields<'_>) -> Checked<TargetKind> {
    fields.one_of(
        "a target",
        None,
        &[
            (
                "webhook",
                "A request with the headers of Standard Webhooks.",
                &webhook,
            ),
            ("slack", "Slack: an incoming webhook, or a bot.", &slack),
            ("pagerduty", "PagerDuty, Events API v2.", &pager_duty),
            ("teams", "A workflow of Microsoft Teams.", &teams),
            ("alertmanager", "Alertmanager, API v2.", &alertmanager),
        ],
    )
}

fn webhook(value: YamlValue<'_>) -> Checked<TargetKind> {
    let about = "A request with the headers of Standard Webhooks.";
    value.group("Webhook", about, |fields| {
        let url = fields.required("url", "Address, or where it is kept.", address_or_secret);
        let about = "Key that requests are signed with.";
        let secret = fields.optional("secret", about, |value| secret(value, "secret"));
        let about =
            "Form of the body: `standard` (Standard Webhooks), `cloudevents` or `alertmanager-v4`.";
        let format = fields.or("format", "standard", about, |value| {
            value.word(&[
                ("standard", WebhookFormat::Standard),
                ("alertmanager-v4", WebhookFormat::AlertmanagerV4),
                ("cloudevents", WebhookFormat::CloudEvents),
            ])
        });
        Ok(TargetKind::Webhook {
            url: url?,
            secret: secret?,
            format: format?,
        })
    })
}

fn slack(value: YamlValue<'_>) -> Checked<TargetKind> {
    let about = "Either an incoming webhook (`url`), or a bot (`token` and `channel`), which has one thread \
                 per alert.";
    value.group("Slack", about, slack_fields)
}

fn slack_fields(fields: &Fields<'_>) -> Checked<TargetKind> {
    let about = "Reference to the address of an incoming webhook. For a bot: the address of the Web API, \
                 https://slack.com/api if left out.";
    let url = fields.optional("url", about, address_or_secret);
    let about = "Token of a bot with the scope chat:write.";
    let token = fields.optional("token", about, |value| secret(value, "token"));
    let about = "Name or id of the channel; the bot must be a member of it.";
    let channel = fields.optional("channel", about, channel);
    match ["url", "token", "channel"].map(|key| fields.has(key)) {
        [true, false, false] => match url?.ok_or(Reported)? {
            SecretOrPlain::Secret(webhook_url) => Ok(TargetKind::Slack { webhook_url }),
            SecretOrPlain::Plain(_) => {
                Err(literal_secret(fields.findings, fields.at("url"), "url"))
            }
        },
        [_, true, true] => {
            let url = match url? {
                None => None,
                Some(SecretOrPlain::Plain(url)) => Some(url),
                Some(SecretOrPlain::Secret(_)) => {
                    return Err(fields.error_with_help(
                        "url",
                        "the address of the Web API is no secret",
                        "write it as text: `url: https://slack.com/api`",
                    ));
                }
            };
            Ok(TargetKind::SlackBot {
                token: token?.ok_or(Reported)?,
                channel: channel?.ok_or(Reported)?,
                url,
            })
        }
        _ => Err(fields.findings.error_with_help(
            fields.place,
            "Slack is reached by `url`, or by `token` and `channel`",
            "write `{ url: { env: NAME } }`, or \
             `{ token: { env: NAME }, channel: \"#deploys\" }` for a thread for each alert"
                .to_owned(),
        )),
    }
}

fn channel(value: YamlValue<'_>) -> Checked<String> {
    let name = value.text()?.trim();
    if name.is_empty() {
        return Err(value.error_with_help(
            "the channel is empty",
            "write its name or id: `\"#deploys\"`".to_owned(),
        ));
    }
    Ok(name.to_owned())
}

fn pager_duty(value: YamlValue<'_>) -> Checked<TargetKind> {
    value.group("PagerDuty", "Events API v2.", |fields| {
        let about = "Integration key of the service.";
        let routing_key = fields.required("routingKey", about, |value| secret(value, "routingKey"));
        let about = "The key before a rotation, to resolve incidents that it triggered.";
        let previous = fields.optional("previousRoutingKey", about, |value| {
            secret(value, "previousRoutingKey")
        });
        let about = "Address of the API, for accounts of the EU. Defaults to that of the US.";
        let url = fields.optional("url", about, address);
        Ok(TargetKind::PagerDuty {
            routing_key: routing_key?,
            previous_routing_key: previous?,
            url: url?,
        })
    })
}

fn teams(value: YamlValue<'_>) -> Checked<TargetKind> {
    let about = "A workflow that posts what its webhook receives.";
    value.group("Teams", about, |fields| {
        let about = "Address of the webhook.";
        let url = fields.required("url", about, |value| secret(value, "url"))?;
        Ok(TargetKind::Teams { url })
    })
}

fn alertmanager(value: YamlValue<'_>) -> Checked<TargetKind> {
    value.group("Alertmanager", "API v2.", |fields| {
        let urls = fields.one_of(
            "an Alertmanager",
            Some("write `urls: [http://am-0:9093, http://am-1:9093]` for several replicas"),
            &[
                ("url", "Its address, or where it is kept.", &|value| {
                    Ok(vec![address_or_secret(value)?])
                }),
                (
                    "urls",
                    "The addresses of all replicas, without a load balancer.",
                    &|value| {
                        let urls = value.list(address_or_secret)?;
                        if urls.is_empty() {
                            let message = "an Alertmanager without an address cannot be reached";
                            return Err(value.error(message));
                        }
                        Ok(urls)
                    },
                ),
            ],
        )?;
        Ok(TargetKind::Alertmanager { urls })
    })
}

fn address_or_secret(value: YamlValue<'_>) -> Checked<SecretOrPlain> {
    value.text_or_group(
        |value| address(value).map(SecretOrPlain::Plain),
        |value| reference(value).map(SecretOrPlain::Secret),
    )
}

fn address(value: YamlValue<'_>) -> Checked<String> {
    let address = values::web_address(value)?;
    let rest = address.split("://").nth(1).unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(value.error_with_help(
            "a password in an address is a secret, and a secret is never written in a file",
            "write where the whole address is kept: `{ env: NAME }` or `{ file: PATH }`; if this \
             file was committed, change the password"
                .to_owned(),
        ));
    }
    Ok(address)
}

/// Reads a reference to a secret. A literal secret is rejected.
fn secret(value: YamlValue<'_>, key: &str) -> Checked<SecretRef> {
    if value.is_text() {
        return Err(literal_secret(value.findings, value.place(), key));
    }
    reference(value)
}

fn literal_secret(findings: &Diagnostics<'_>, place: SourceSpan, key: &str) -> Reported {
    findings.error_with_help(
        place,
        format!("`{key}` is a secret, and a secret is never written in a file"),
        format!(
            "write where it is kept: `{key}: {{ env: NAME }}` or `{key}: {{ file: PATH }}`; \
             if this file was committed, change the secret"
        ),
    )
}

fn reference(value: YamlValue<'_>) -> Checked<SecretRef> {
    let about = "Where a secret is kept.";
    value.group("Secret", about, |fields| {
        fields.one_of(
            "a secret reference",
            None,
            &[
                (
                    "env",
                    "Name of an environment variable of the service.",
                    &|value| {
                        let name = value.text()?;
                        if values::is_env_name(name) {
                            return Ok(SecretRef::Env(name.to_owned()));
                        }
                        // It may be the secret itself, so it is not repeated.
                        Err(value.error_with_help(
                            "this is not the name of an environment variable",
                            "use letters, digits and `_`, such as `PAGERDUTY_ROUTING_KEY`"
                                .to_owned(),
                        ))
                    },
                ),
                (
                    "file",
                    "Absolute path of a file that the service can read.",
                    &|value| {
                        let path = value.text()?;
                        if path.starts_with('/') {
                            return Ok(SecretRef::File(path.to_owned()));
                        }
                        Err(value.error_with_help(
                            "the path of a secret is absolute",
                            "write it from the root: `/run/secrets/name`".to_owned(),
                        ))
                    },
                ),
            ],
        )
    })
}
