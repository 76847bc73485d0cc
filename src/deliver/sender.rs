//! One attempt at a delivery: makes the request, sends it, and classifies the result.

use std::{sync::Arc, time::Duration};

use tracing::{Instrument as _, Span, field::Empty};

use super::{
    attempt::{AttemptContext, AttemptResult},
    channels::{
        reminder,
        routing_key::{KeySecrets, RoutingKeys},
        slack_bot::{Bot, SlackUpdate},
    },
    http::{
        client::{BuildClientError, Client},
        excerpt::excerpt,
        request::{
            PrepareError, Prepared, SLACK_API, WebhookMessage, to_pagerduty, to_slack, to_teams,
            to_webhook,
        },
        resolver::system_lookup,
        secrets,
    },
    settings::DeliverSettings,
};
use crate::{
    domain::{
        model::time::Timestamp,
        notify::{
            Notification, PinnedKey, Reference, RenderContext,
            channels::alertmanager,
            delivery::{AttemptClass, message_id, plan::DeliveryQueue},
            digest,
        },
        slo::{SecretOrPlain, Target, TargetKind, WebhookFormat},
    },
    store::{ClaimedDelivery, EarlierMessage},
};

/// Short, since a heartbeat is useless after a minute, when the next one is due.
const BRIEF_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub(super) struct Sender {
    client: Client,
    settings: Arc<DeliverSettings>,
    routing_keys: RoutingKeys,
}

/// A delivery, with the target's earlier message about the same alert.
#[derive(Clone, Debug)]
pub(super) struct Dispatch {
    pub(super) delivery: ClaimedDelivery,
    pub(super) before: Option<EarlierMessage>,
    pub(super) context: RenderContext,
    /// The other deliveries in a digest, and the digest, which replaces their own messages.
    pub(super) with: Vec<ClaimedDelivery>,
    pub(super) digest: Option<Notification>,
}

impl Sender {
    pub(super) fn new(settings: Arc<DeliverSettings>) -> Result<Self, BuildClientError> {
        let client = Client::new(
            settings.connect_timeout,
            settings.addresses.clone(),
            system_lookup(),
        )?;
        Ok(Self {
            client,
            settings,
            routing_keys: RoutingKeys::default(),
        })
    }

    pub(super) async fn attempt(
        &self,
        target: &Target,
        dispatch: &Dispatch,
        now: Timestamp,
    ) -> AttemptResult {
        let span = span(target, dispatch);
        let attempt = self.untraced_attempt(target, dispatch, now);
        let tried = attempt.instrument(span.clone()).await;
        let class = tried.reaction.class;
        span.record("notify.result", class.as_str());
        if class != AttemptClass::Delivered {
            span.record("otel.status_code", "ERROR");
            span.record("error.type", class.as_str());
        }
        if let Some(status) = tried.http_status {
            span.record("http.response.status_code", status);
        }
        tried
    }

    async fn untraced_attempt(
        &self,
        target: &Target,
        dispatch: &Dispatch,
        now: Timestamp,
    ) -> AttemptResult {
        let digest = dispatch.digest.as_ref();
        let Some(notification) = digest.or(dispatch.delivery.content.as_ref()) else {
            let reason = "what another version of the service wrote cannot be read";
            return AttemptResult::unsent(AttemptClass::Unreadable, reason);
        };
        let this = AttemptContext {
            kind: &target.kind,
            attempt: dispatch.delivery.attempt,
            now,
            timeout: self.timeout(&target.kind, notification),
        };
        let tried = self
            .send_notification(this, target, dispatch, notification)
            .await;
        tried.unwrap_or_else(|error| {
            let class = match error {
                PrepareError::Missing(_) | PrepareError::RoutingKey(_) => {
                    AttemptClass::SecretMissing
                }
                PrepareError::Signing(_) => AttemptClass::Misconfigured,
            };
            AttemptResult::unsent(class, &error.to_string())
        })
    }

    fn timeout(&self, kind: &TargetKind, notification: &Notification) -> Duration {
        let timeout = match kind {
            TargetKind::Webhook { .. } => self.settings.webhook_timeout,
            TargetKind::Slack { .. }
            | TargetKind::SlackBot { .. }
            | TargetKind::PagerDuty { .. }
            | TargetKind::Teams { .. }
            | TargetKind::Alertmanager { .. } => self.settings.chat_timeout,
        };
        if notification.is_brief() {
            timeout.min(BRIEF_TIMEOUT)
        } else {
            timeout
        }
    }

    async fn send_notification(
        &self,
        this: AttemptContext<'_>,
        target: &Target,
        dispatch: &Dispatch,
        notification: &Notification,
    ) -> Result<AttemptResult, PrepareError> {
        let context = &dispatch.context;
        let prepared = match &target.kind {
            TargetKind::Webhook {
                url,
                secret,
                format,
            } => {
                let message = self.webhook_message(*format, target, dispatch, notification);
                to_webhook(url, secret.as_ref(), message, this.now).await?
            }
            TargetKind::Slack { webhook_url } => {
                to_slack(webhook_url, notification, context).await?
            }
            TargetKind::Teams { url } => to_teams(url, notification, context).await?,
            TargetKind::PagerDuty {
                routing_key,
                previous_routing_key,
                url,
            } => {
                let key_secrets = KeySecrets {
                    current: routing_key,
                    former: previous_routing_key.as_ref(),
                };
                let pinned = dispatch.pinned_key();
                let (key, pinned) = self
                    .routing_keys
                    .choose(key_secrets, notification.kind(), pinned)
                    .await?;
                to_pagerduty(url.as_deref(), &key, pinned, notification, context)
            }
            TargetKind::SlackBot {
                token,
                channel,
                url,
            } => {
                let bot = Bot {
                    client: &self.client,
                    base: url.as_deref().unwrap_or(SLACK_API),
                    token: secrets::read(token).await?,
                    channel,
                    timeout: this.timeout,
                    tried: this,
                };
                let update = SlackUpdate {
                    content: notification,
                    context,
                };
                return Ok(send_as_bot(&bot, update, dispatch).await);
            }
            TargetKind::Alertmanager { urls } => {
                return self
                    .send_to_alertmanager(this, urls, notification, context)
                    .await;
            }
        };
        Ok(self.send(this, prepared).await)
    }

    fn webhook_message(
        &self,
        format: WebhookFormat,
        target: &Target,
        dispatch: &Dispatch,
        notification: &Notification,
    ) -> WebhookMessage {
        let id = message_id(dispatch.delivery.message);
        let context = &dispatch.context;
        let mut message = WebhookMessage::new(format, notification, context, id, &target.name);
        if notification.is_heartbeat() {
            message.method = self.settings.heartbeat_method.into();
        }
        message
    }

    /// Sends the request; if its body is refused and there is a simpler one, sends that.
    async fn send(&self, this: AttemptContext<'_>, mut prepared: Prepared) -> AttemptResult {
        prepared.outgoing.timeout = this.timeout;
        let secrets = prepared.secrets;
        let mut simpler = prepared.outgoing.clone();
        let first = this.understood(self.client.send(prepared.outgoing).await, &secrets);
        let mut tried = match prepared.degraded {
            Some(body) if first.reaction.class == AttemptClass::Rejected => {
                simpler.body = body;
                this.understood(self.client.send(simpler).await, &secrets)
            }
            _ => first,
        };
        if tried.reaction.class == AttemptClass::Delivered {
            tried.reference = prepared.reference;
        }
        tried
    }

    /// Posts to all replicas. The attempt succeeds if one replica accepts it: the others receive
    /// the alert with the repetition every minute.
    async fn send_to_alertmanager(
        &self,
        this: AttemptContext<'_>,
        urls: &[SecretOrPlain],
        notification: &Notification,
        context: &RenderContext,
    ) -> Result<AttemptResult, PrepareError> {
        let urls = reminder::addresses(urls).await?;
        let alerts =
            serde_json::Value::Array(vec![alertmanager::posted(notification, context, this.now)]);
        let answers = reminder::post_to_all(&self.client, &urls, &alerts, this.timeout).await;
        let (all, mut accepted) = (answers.len(), 0);
        let mut worst = None;
        let mut best = None;
        for answer in answers {
            let tried = this.understood(answer, &urls);
            if tried.reaction.class == AttemptClass::Delivered {
                accepted += 1;
                best = Some(tried);
            } else {
                worst = Some(tried);
            }
        }
        Ok(match (best, worst) {
            (Some(best), Some(worst)) => {
                let (class, error) = (worst.reaction.class, worst.excerpt.unwrap_or_default());
                let text =
                    format!("{accepted} of {all} replicas accepted it; another: {class}: {error}");
                AttemptResult {
                    excerpt: excerpt(&text, &urls),
                    ..best
                }
            }
            (Some(tried), None) | (None, Some(tried)) => tried,
            (None, None) => {
                AttemptResult::unsent(AttemptClass::Misconfigured, "no address of an Alertmanager")
            }
        })
    }
}

impl Dispatch {
    /// Makes one message for many deliveries; none if there are none.
    pub(super) fn of_many(
        target: &Target,
        queue: &DeliveryQueue,
        mut many: Vec<ClaimedDelivery>,
        now: Timestamp,
    ) -> Option<Self> {
        let repeats = many.iter().map(|one| queue.redelivery(one.id));
        let repeat = repeats.max().unwrap_or_default();
        let contents: Vec<&Notification> = many.iter().flat_map(|one| &one.content).collect();
        let notice = digest(&target.name, &contents, now);
        let with = many.split_off(many.len().min(1));
        Some(Self {
            delivery: many.pop()?,
            before: None,
            context: RenderContext {
                repeat,
                ..RenderContext::default()
            },
            with,
            digest: Some(notice.into()),
        })
    }

    fn pinned_key(&self) -> Option<&PinnedKey> {
        match &self.before {
            Some(EarlierMessage::OfThisEpisode(Reference::RoutingKey(pinned))) => Some(pinned),
            Some(_) | None => None,
        }
    }
}

/// Makes the span of an attempt, without the target's URL, which may be a secret.
fn span(target: &Target, dispatch: &Dispatch) -> Span {
    tracing::debug_span!(
        "attempt",
        otel.name = format!("deliver {}", target.kind.as_str()),
        otel.kind = "client",
        otel.status_code = Empty,
        notify.target = %target.name,
        notify.kind = target.kind.as_str(),
        notify.result = Empty,
        notify.messages = dispatch.with.len() + 1,
        delivery.id = dispatch.delivery.id,
        delivery.attempt = dispatch.delivery.attempt,
        http.response.status_code = Empty,
        error.type = Empty,
    )
}

/// Continues the thread of the alert, or begins one.
async fn send_as_bot(bot: &Bot<'_>, update: SlackUpdate<'_>, dispatch: &Dispatch) -> AttemptResult {
    match &dispatch.before {
        Some(EarlierMessage::OfThisEpisode(Reference::SlackMessage(first))) => {
            bot.go_on(update, first).await
        }
        Some(EarlierMessage::OfTheLastEpisode(Reference::SlackMessage(first))) => {
            bot.begin_again(update, first).await
        }
        Some(_) | None => bot.begin(update).await,
    }
}
