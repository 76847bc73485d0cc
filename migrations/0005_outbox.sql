-- The outbox: which notification goes to which target, every attempt, and the state of the targets.

create table platform_notifications (
    id         uuid        not null,
    kind       text        not null,
    key        text        not null,
    episode    uuid        not null,
    at         timestamptz not null,
    content    jsonb       not null,
    created_at timestamptz not null default clock_timestamp(),
    constraint platform_notifications_pkey primary key (id),
    constraint platform_notifications_kind_check
        check (kind in ('health_check', 'digest', 'heartbeat', 'test', 'report')),
    constraint platform_notifications_key_check check (key <> '')
);
comment on table platform_notifications is 'Notifications that are no alert transition: health checks of the service itself, digests, heartbeats, monthly reports and tests of a target.';
comment on column platform_notifications.id is 'Message id that receivers recognise repetitions by.';
comment on column platform_notifications.kind is 'health_check: the service has a problem, or it is over; digest: many alerts in one message; heartbeat: the service works; test: somebody tests a target; report: the report of a month.';
comment on column platform_notifications.key is 'Subject of the notification. Deliveries with the same key reach a target in order.';
comment on column platform_notifications.episode is 'The same from the first notification of a problem to its end; target_references refers to it.';
comment on column platform_notifications.at is 'Time that the notification is about.';
comment on column platform_notifications.content is 'The message as it was at that time; domain::notify::Notification defines the fields.';
comment on column platform_notifications.created_at is 'Database time at which the row was inserted.';
create index platform_notifications_by_key_idx on platform_notifications (key, at desc);

create table deliveries (
    id                       bigint      generated always as identity,
    transition_id            uuid,
    target                   text        not null,
    ordering_key             text        not null,
    priority                 smallint    not null,
    state                    text        not null,
    attempts                 integer     not null default 0,
    next_attempt_at          timestamptz not null,
    lease_until              timestamptz,
    lease_token              bigint      not null default 0,
    created_at               timestamptz not null default clock_timestamp(),
    retries_since            timestamptz not null,
    settled_at               timestamptz,
    platform_notification_id uuid,
    fallback_for             text,
    escalated_at             timestamptz,
    constraint deliveries_pkey primary key (id),
    constraint deliveries_transition_id_target_key unique (transition_id, target),
    constraint deliveries_platform_notification_id_target_key unique (platform_notification_id, target),
    constraint deliveries_transition_id_fkey
        foreign key (transition_id) references alert_transitions (id),
    constraint deliveries_platform_notification_id_fkey
        foreign key (platform_notification_id) references platform_notifications (id),
    constraint deliveries_transition_id_check
        check (num_nonnulls(transition_id, platform_notification_id) = 1),
    constraint deliveries_state_check check (state in (
        'pending', 'leased', 'delivered', 'failed', 'collapsed', 'expired', 'cancelled')),
    constraint deliveries_lease_until_check check ((state = 'leased') = (lease_until is not null)),
    constraint deliveries_settled_at_check
        check ((state in ('pending', 'leased')) = (settled_at is null)),
    constraint deliveries_fallback_for_check check (fallback_for <> target),
    -- One hop: a delivery to a fallback is not escalated any further.
    constraint deliveries_escalated_at_check check (fallback_for is null or escalated_at is null)
);
comment on table deliveries is 'The outbox: one notification to one target, inserted in the transaction of what it reports.';
comment on column deliveries.id is 'Also the order of deliveries with the same target and ordering key.';
comment on column deliveries.transition_id is 'Alert transition that is delivered. Null for a platform notification.';
comment on column deliveries.target is 'Name of the target; it may not be declared any more.';
comment on column deliveries.ordering_key is 'Deliveries with the same target and ordering key are sent one at a time, oldest first: SLO, group and severity of an alert, or the key of a platform notification.';
comment on column deliveries.priority is '0 page, 1 ticket; lower is sent first.';
comment on column deliveries.state is 'pending; leased: a replica is sending it; delivered; failed: permanently, after all attempts; collapsed: resolved before it could be delivered; expired: too old before the first attempt; cancelled: the target was removed.';
comment on column deliveries.attempts is 'Attempts begun so far.';
comment on column deliveries.next_attempt_at is 'Earliest time of the next attempt.';
comment on column deliveries.lease_until is 'Time at which the lease lapses and another replica may send. Null unless leased.';
comment on column deliveries.lease_token is 'Increases with every lease. A replica that settles with an older token has lost its lease and changes nothing.';
comment on column deliveries.created_at is 'Time at which the notification became due.';
comment on column deliveries.retries_since is 'Start of the current round of attempts: creation, or the last manual retry. The delivery fails permanently a fixed time later.';
comment on column deliveries.settled_at is 'Time at which the delivery reached its final state. Null while it is pending or leased.';
comment on column deliveries.platform_notification_id is 'Platform notification that is delivered. Null for an alert transition.';
comment on column deliveries.fallback_for is 'Target that the notification was meant for, if this delivery goes to that target''s fallback. Null otherwise.';
comment on column deliveries.escalated_at is 'Time at which the notification was also sent to the target''s fallback. Null if it was not.';
create index deliveries_due_idx on deliveries (target, next_attempt_at) where state in ('pending', 'leased');
create index deliveries_head_idx on deliveries (target, ordering_key, id) where state in ('pending', 'leased');
create index deliveries_failed_idx on deliveries (target, settled_at) where state = 'failed';
create index deliveries_settled_idx on deliveries (state, id desc)
    where state not in ('pending', 'leased', 'delivered');

create table delivery_attempts (
    delivery_id bigint      not null,
    attempt     integer     not null,
    started_at  timestamptz not null,
    duration_ms integer     not null,
    class       text        not null,
    http_status integer,
    excerpt     text,
    retry_at    timestamptz,
    constraint delivery_attempts_pkey primary key (delivery_id, attempt),
    constraint delivery_attempts_delivery_id_fkey foreign key (delivery_id) references deliveries (id)
);
comment on table delivery_attempts is 'Finished attempts of deliveries.';
comment on column delivery_attempts.delivery_id is 'The delivery.';
comment on column delivery_attempts.attempt is 'Number of the attempt, from 1.';
comment on column delivery_attempts.started_at is 'Start of the attempt.';
comment on column delivery_attempts.duration_ms is 'Duration of the attempt in milliseconds.';
comment on column delivery_attempts.class is 'How the attempt ended, such as delivered, rate_limited or timeout; domain::notify::delivery::AttemptClass lists all values.';
comment on column delivery_attempts.http_status is 'HTTP status of the response; null if there was none.';
comment on column delivery_attempts.excerpt is 'Start of the response or error, at most 256 bytes, with secrets removed.';
comment on column delivery_attempts.retry_at is 'Time of the next attempt; null if there is none.';

create table target_states (
    target          text        not null,
    not_before      timestamptz not null default 'epoch',
    state           text        not null default 'closed',
    since           timestamptz,
    failed_at       timestamptz,
    failures        integer     not null default 0,
    openings        integer     not null default 0,
    probing_until   timestamptz,
    next_free_at    timestamptz not null default 'epoch',
    singles_free_at timestamptz not null default 'epoch',
    digest_free_at  timestamptz not null default 'epoch',
    constraint target_states_pkey primary key (target),
    constraint target_states_state_check check (state in ('closed', 'open', 'misconfigured')),
    constraint target_states_since_check check ((state = 'closed') = (since is null)),
    constraint target_states_failed_at_check check ((state = 'closed') = (failed_at is null)),
    constraint target_states_failures_check
        check (failures >= 0 and (state = 'closed' or failures = 0)),
    constraint target_states_openings_check
        check (openings >= 0 and (state = 'open') = (openings > 0)),
    constraint target_states_probing_until_check
        check (state <> 'closed' or probing_until is null)
);
comment on table target_states is 'Circuit breaker and rate limit of each target, shared by all replicas.';
comment on column target_states.target is 'Name of the target; it may not be declared any more.';
comment on column target_states.not_before is 'Time until which the target asked for no requests (Retry-After).';
comment on column target_states.state is 'State of the circuit breaker. closed: requests pass; open: the target fails and is only probed; misconfigured: the target rejects all requests until its configuration is corrected.';
comment on column target_states.since is 'Since when the breaker has not been closed. Null while it is closed.';
comment on column target_states.failed_at is 'Time of the last failure, from which the pause before the next probe is counted. Null while the breaker is closed.';
comment on column target_states.failures is 'Consecutive failures while the breaker is closed; 5 open it.';
comment on column target_states.openings is '1 when the breaker opens, plus 1 for every failed probe; each doubles the pause before the next probe. 0 unless it is open.';
comment on column target_states.probing_until is 'Time until which one delivery may be in progress as a probe. Null if none is.';
comment on column target_states.next_free_at is 'Rate limit of the target''s kind: time from which a full burst of requests is allowed again (theoretical arrival time of the generic cell rate algorithm).';
comment on column target_states.singles_free_at is 'For a chat: time from which ten messages one by one are allowed again (theoretical arrival time, as next_free_at).';
comment on column target_states.digest_free_at is 'For a chat: time from which the next digest is allowed.';

create table sent_reports (
    target text        not null,
    team   text        not null,
    month  timestamptz not null,
    constraint sent_reports_pkey primary key (target, team)
);
comment on table sent_reports is 'Monthly reports that targets are sent. The replica that moves the month forward sends the report, once.';
comment on column sent_reports.target is 'Name of the target.';
comment on column sent_reports.team is 'Label team of the SLOs in the report; empty for all SLOs.';
comment on column sent_reports.month is 'Beginning of the last month whose report was sent, or was due before the report was declared.';

create table target_references (
    target    text        not null,
    episode   uuid        not null,
    reference jsonb       not null,
    saved_at  timestamptz not null,
    constraint target_references_pkey primary key (target, episode)
);
comment on table target_references is 'How later notifications of an episode refer to the first one at a target: the Slack message whose thread they continue, or the PagerDuty routing key in use. Written when a delivery is settled.';
comment on column target_references.target is 'Name of the target; it may not be declared any more.';
comment on column target_references.episode is 'Episode, as in alert_transitions or platform_notifications.';
comment on column target_references.reference is 'Reference by kind of target. Never contains a secret, only where the secret is kept and a fingerprint of it.';
comment on column target_references.saved_at is 'Time at which the reference was written.';

create table target_alerts (
    target        text        not null,
    ordering_key  text        not null,
    transition_id uuid        not null,
    version       bigint      not null,
    state         text        not null,
    notified_at   timestamptz not null,
    constraint target_alerts_pkey primary key (target, ordering_key),
    constraint target_alerts_transition_id_fkey
        foreign key (transition_id) references alert_transitions (id),
    constraint target_alerts_state_check check (state in ('firing', 'resolved'))
);
comment on table target_alerts is 'State of each alert as each target shows it, by the last delivered notification. Compared with alerts to find notifications that are missing.';
comment on column target_alerts.target is 'Name of the target; it may not be declared any more.';
comment on column target_alerts.ordering_key is 'The alert, as in deliveries.';
comment on column target_alerts.transition_id is 'Last transition that was delivered to the target.';
comment on column target_alerts.version is 'Version of that transition; older ones change nothing.';
comment on column target_alerts.state is 'firing from the first delivered notification of an episode to its end, then resolved.';
comment on column target_alerts.notified_at is 'Time at which the target accepted the notification.';
create index target_alerts_transition_id_idx on target_alerts (transition_id);
create index target_alerts_firing_idx on target_alerts (target) where state = 'firing';
