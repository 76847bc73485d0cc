-- The service itself: its replicas, health checks and heartbeat, and what requests that write need.

create table replicas (
    id              bigint      not null,
    complete_until  timestamptz not null,
    heartbeat_at    timestamptz not null,
    catch_up_until  timestamptz not null,
    clock_offset_ms  bigint      not null default 0,
    last_seen_at    timestamptz not null default clock_timestamp(),
    definition_problems text[]  not null default '{}',
    definitions_hash bigint,
    rejected_senders text[]      not null default '{}',
    login_problems  text[]      not null default '{}',
    kafka_problems  text[]      not null default '{}',
    certificates_expired text[] not null default '{}',
    certificates_expiring text[] not null default '{}',
    constraint replicas_pkey primary key (id)
);
comment on table replicas is 'Processes that receive spans. A replica deletes its row when it stops in order; the others delete the row of one that vanished.';
comment on column replicas.id is 'Random number that the process draws at its start.';
comment on column replicas.complete_until is 'Watermark of the replica: it has received everything up to this time that senders sent in time.';
comment on column replicas.heartbeat_at is 'Last sign of life, by the replica''s clock.';
comment on column replicas.catch_up_until is 'Until this time senders may still deliver what they buffered while the replica was unreachable.';
comment on column replicas.clock_offset_ms is 'How far the replica''s clock is ahead of the database''s, in milliseconds; negative if behind.';
comment on column replicas.last_seen_at is 'Last sign of life, by the database''s clock.';
comment on column replicas.rejected_senders is 'Senders whose requests the replica refuses whole, with the reason, a sentence each.';
comment on column replicas.login_problems is 'Why nobody can log in at the OpenID Connect provider, a sentence each; empty if all is well.';
comment on column replicas.kafka_problems is 'Why the replica does not read its Kafka topic as it should, a sentence each; empty if it does, or reads none.';
comment on column replicas.certificates_expired is 'Certificates of the replica''s ports that have expired, a sentence each.';
comment on column replicas.certificates_expiring is 'Certificates of the replica''s ports that expire soon, a sentence each.';
comment on column replicas.definition_problems is 'Why the replica does not apply the definition files that it has read, a sentence each; empty if it does.';
comment on column replicas.definitions_hash is 'Hash of the definition files of the replica, if they are valid and wait to come into force. Null if they are in force or have errors.';

create table ingest_watermark (
    singleton      boolean     not null default true,
    complete_until timestamptz not null,
    heartbeat_at   timestamptz not null,
    catch_up_until timestamptz not null,
    constraint ingest_watermark_pkey primary key (singleton),
    constraint ingest_watermark_singleton_check check (singleton)
);
comment on table ingest_watermark is 'Watermark of all replicas together. It does not advance while senders catch up after an outage, and no workflow times out meanwhile.';
comment on column ingest_watermark.singleton is 'Always true: the table has at most one row.';
comment on column ingest_watermark.complete_until is 'Ingest is known to have been healthy up to this time.';
comment on column ingest_watermark.heartbeat_at is 'Last sign of life of any replica, by its clock.';
comment on column ingest_watermark.catch_up_until is 'Until this time senders may still deliver what they buffered during an outage.';

create table kafka_partitions (
    topic          text        not null,
    partition      integer     not null,
    next_offset    bigint,
    end_offset     bigint      not null,
    complete_until timestamptz not null,
    seen_at        timestamptz not null,
    wanted_at      timestamptz not null,
    clock_is_ahead boolean     not null,
    constraint kafka_partitions_pkey primary key (topic, partition)
);
comment on table kafka_partitions is 'How far each partition of a Kafka topic is read. The watermark is never later than the earliest of them.';
comment on column kafka_partitions.topic is 'Name of the topic.';
comment on column kafka_partitions.partition is 'Number of the partition.';
comment on column kafka_partitions.next_offset is 'Everything before this offset is committed in this database. Whoever reads the partition next begins here. Null before the first has begun.';
comment on column kafka_partitions.end_offset is 'Offset of the message that would have come next when the partition was last looked at.';
comment on column kafka_partitions.complete_until is 'Everything that was appended up to this time is committed.';
comment on column kafka_partitions.seen_at is 'When a replica that reads the partition last said so.';
comment on column kafka_partitions.wanted_at is 'When a replica that is configured to read the topic last ran, within a minute, whether it could read this partition or not. A day later the partition is no longer waited for, a month later its row is deleted.';
comment on column kafka_partitions.clock_is_ahead is 'Whether its broker has written times in the future, and no time since that is known to be right: then they are not used.';

create table service_state (
    singleton                  boolean     not null default true,
    heartbeat_claimed_at       timestamptz not null default 'epoch',
    heartbeat_sent_at          timestamptz,
    heartbeat_withheld_reasons text[]      not null default '{}',
    last_span_at               timestamptz,
    database_outages           bigint      not null default 0,
    reconciled_at              timestamptz,
    database_identity          text,
    installation_id            uuid        not null default gen_random_uuid(),
    commits_are_synchronous    boolean     not null default false,
    constraint service_state_pkey primary key (singleton),
    constraint service_state_singleton_check check (singleton)
);
comment on table service_state is 'State that all replicas of the service share.';
comment on column service_state.singleton is 'Always true: the table has exactly one row.';
comment on column service_state.heartbeat_claimed_at is 'Heartbeat claim: the replica that moves this time forward sends the heartbeat, once per interval.';
comment on column service_state.heartbeat_sent_at is 'Time at which the last heartbeat was written to the outbox. Null if never.';
comment on column service_state.heartbeat_withheld_reasons is 'Why the last heartbeat was not sent; empty if it was.';
comment on column service_state.last_span_at is 'Time at which a replica last received a span, within 5 seconds. Null if never.';
comment on column service_state.database_outages is 'Number of database outages that were notified and are over. All replicas derive the message id of the next outage from it.';
comment on column service_state.reconciled_at is 'Time at which missing deliveries were last found and added. Null if never; reported by a health check, because none should ever be missing.';
comment on column service_state.database_identity is 'Server, history and database that the service last ran on. If it starts on others, a backup was restored. Null before the first start.';
comment on column service_state.installation_id is 'Tells this installation from others, in the offsets that it commits to Kafka.';
comment on column service_state.commits_are_synchronous is 'Whether commits waited for a standby when the service last looked. If so, a standby that is promoted has them all.';
insert into service_state default values;

create table health_checks (
    key              text        not null,
    version          bigint      not null,
    phase            text        not null,
    since            timestamptz not null,
    episode          uuid,
    opened_at        timestamptz,
    severity         text        not null,
    title            text        not null,
    notified_targets text[]      not null default '{}',
    constraint health_checks_pkey primary key (key),
    constraint health_checks_key_check check (key <> ''),
    constraint health_checks_phase_check
        check (phase in ('healthy', 'pending', 'failing', 'recovering')),
    constraint health_checks_episode_check
        check ((phase in ('failing', 'recovering')) = (episode is not null)),
    constraint health_checks_opened_at_check check ((episode is null) = (opened_at is null)),
    constraint health_checks_severity_check check (severity in ('page', 'ticket'))
);
comment on table health_checks is 'Current and past problems of the service itself. Every change is a compare-and-swap on version.';
comment on column health_checks.key is 'Subject of the check, as in platform_notifications.';
comment on column health_checks.version is 'Increases by one with every change.';
comment on column health_checks.phase is 'healthy; pending: a problem was found, but not for long enough to notify; failing: notified; recovering: no problem is found any more, but not for long enough to resolve.';
comment on column health_checks.since is 'Start of the phase.';
comment on column health_checks.episode is 'The same from failing to healthy, as in platform_notifications. Null while healthy or pending.';
comment on column health_checks.opened_at is 'Time at which the problem was notified. Null while healthy or pending.';
comment on column health_checks.severity is 'page or ticket, as it was when the problem was found.';
comment on column health_checks.title is 'The problem in one sentence.';
comment on column health_checks.notified_targets is 'Targets that were notified of the problem and are notified of its end.';

create table clean_ups (
    name        text        not null,
    finished_at timestamptz not null,
    constraint clean_ups_pkey primary key (name)
);
comment on table clean_ups is 'Loops that remove data that nothing needs any more. A health check reports those that do not finish.';
comment on column clean_ups.name is 'Name of the loop, as in metrics and logs.';
comment on column clean_ups.finished_at is 'Time at which any replica last found nothing left to remove.';

create table signing_key (
    singleton  boolean     not null default true,
    key        bytea       not null,
    created_at timestamptz not null,
    constraint signing_key_pkey primary key (singleton),
    constraint signing_key_singleton_check check (singleton),
    constraint signing_key_key_check check (length(key) = 32)
);
comment on table signing_key is 'Key that signs the action links in messages, written by the first replica and shared by all. Anybody who can read it can do what such a link does.';
comment on column signing_key.singleton is 'Always true: the table has at most one row.';
comment on column signing_key.key is 'Random, 32 bytes. Deleting the row makes all signed links invalid; the next start creates a new key.';
comment on column signing_key.created_at is 'Time at which the key was created.';

create table idempotency_keys (
    request     text        not null,
    key         text        not null,
    fingerprint text        not null,
    answer      jsonb,
    created_at  timestamptz not null,
    constraint idempotency_keys_pkey primary key (request, key),
    constraint idempotency_keys_key_check check (length(key) between 1 and 255)
);
comment on table idempotency_keys is 'Requests with an Idempotency-Key header, inserted in the transaction of their effect. A repeated request gets the first answer and has no effect.';
comment on column idempotency_keys.request is 'Method and path of the request.';
comment on column idempotency_keys.key is 'Key chosen by the client, 1 to 255 characters.';
comment on column idempotency_keys.fingerprint is 'Fingerprint of the request body. The same key with another body is refused.';
comment on column idempotency_keys.answer is 'Response body. Null only within the transaction.';
comment on column idempotency_keys.created_at is 'Time of the request. The row is deleted a day later.';
create index idempotency_keys_created_at_idx on idempotency_keys (created_at);

create table schema_compatibility (
    version         bigint not null,
    compatible_from bigint not null,
    constraint schema_compatibility_pkey primary key (version),
    constraint schema_compatibility_compatible_from_check check (compatible_from < version)
);
comment on table schema_compatibility is 'Migrations that older versions of the service can use without having them. A migration after the first release inserts its own row; without one, versions that do not have it refuse to start.';
comment on column schema_compatibility.version is 'Number of the migration.';
comment on column schema_compatibility.compatible_from is 'Number of the last migration that a version must have to use this one: for what only adds, the last one of the release before; for what removes, the last one of the release that stopped using it.';
