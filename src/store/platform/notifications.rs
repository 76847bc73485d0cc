//! Platform notifications and their deliveries: health checks, digests, heartbeats and tests.

use sqlx::types::Json;
use uuid::Uuid;

use crate::{
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::{Notification, PlatformNotificationKind},
        slo::Severity,
    },
    store::{StoreError, Tx, outbox::deliveries::priority_number},
};

/// A platform notification and its targets.
#[derive(Clone, Copy, Debug)]
pub struct NewNotification<'a> {
    pub id: Uuid,
    pub content: &'a Notification,
    pub targets: &'a [Name],
    /// Its priority among the deliveries that wait for the same target.
    pub urgency: Severity,
}

impl Tx<'_> {
    /// Writes a platform notification and a delivery for each target. A second call changes
    /// nothing. Returns how many deliveries were new.
    pub async fn enqueue_notification(
        &mut self,
        new: NewNotification<'_>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let statement = sqlx::query(
            "-- platform_notifications.enqueue
            with new as (
                insert into platform_notifications (id, kind, key, episode, at, content)
                values ($1, $2, $3, $4, $5, $6)
                on conflict (id) do nothing
                returning id, key
            )
            insert into deliveries
                (platform_notification_id, target, ordering_key, priority, state, next_attempt_at,
                    created_at, retries_since)
            select distinct new.id, target, new.key, $8::smallint, 'pending', $5, $5, $5
            from new, unnest($7::text[]) as target",
        )
        .bind(new.id)
        .bind(kind_text(new.content))
        .bind(new.content.key())
        .bind(new.content.episode())
        .bind(now)
        .bind(Json(new.content))
        .bind(new.targets)
        .bind(priority_number(new.urgency));
        self.execute(statement).await
    }
}

fn kind_text(content: &Notification) -> &'static str {
    match content {
        Notification::Alert(_) => "test",
        Notification::Platform(notice) => match notice.kind {
            PlatformNotificationKind::SelfCheckOpened
            | PlatformNotificationKind::SelfCheckResolved => "health_check",
            PlatformNotificationKind::Digest => "digest",
            PlatformNotificationKind::Heartbeat => "heartbeat",
            PlatformNotificationKind::Report => "report",
        },
    }
}
