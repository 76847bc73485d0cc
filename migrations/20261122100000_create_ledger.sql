-- The ledger of workflows: what is known of each, how it was judged, and the counts that follow.

create table slos (
    id                 integer     generated always as identity primary key,
    name               text        not null unique,
    declared           boolean     not null default true,
    first_event_at     timestamptz,
    next_evaluation_at timestamptz not null default '-infinity',
    created_at         timestamptz not null default clock_timestamp()
);
comment on table slos is 'One row per SLO name ever declared. The id outlives edits and removal, so history and alert state do too.';
comment on column slos.declared is 'False once no definition file names it any more.';
comment on column slos.first_event_at is 'Start of the earliest minute with an event; null before the first.';
comment on column slos.next_evaluation_at is 'The claim of the evaluators: whoever moves it forward evaluates this SLO.';

create table workflows (
    slo_id       integer     not null,
    key          uuid        not null,
    epoch        integer     not null,
    label        text        not null,
    started_at   timestamptz,
    succeeded_at timestamptz,
    failed_at    timestamptz,
    late_at      timestamptz,
    cancelled_at timestamptz,
    within_us    bigint,
    trace_id     bytea       not null check (octet_length(trace_id) = 16),
    trace_rank   smallint    not null,
    customer     text,
    outcome      smallint    not null check (outcome between 0 and 7),
    judged_at    timestamptz,
    due_at       timestamptz,
    primary key (slo_id, key, epoch),
    check ((outcome = 0) = (judged_at is null)),
    check (octet_length(label) <= 256 and octet_length(customer) <= 256)
) partition by list (epoch);
comment on table workflows is 'One row per workflow (or event of a one-span SLI) and SLO: the join of all evidence, and its verdict. The row is the unit of idempotency.';
comment on column workflows.key is 'First 16 bytes of the SHA-256 of what correlates the evidence; derived from immutable evidence only.';
comment on column workflows.epoch is 'The stretch of ingest time in which the row was inserted; it picks the partition. At any moment all replicas insert into one epoch (see epochs), so (slo_id, key) is unique over all of them.';
comment on column workflows.label is 'What people read instead of the key, cut to 256 bytes.';
comment on column workflows.started_at is 'Earliest start of a start span; null while only ends are known.';
comment on column workflows.late_at is 'End of a span that a one-span SLI called bad although it did not fail.';
comment on column workflows.within_us is 'The promise in force when the start was seen, in microseconds; null for an event of a one-span SLI.';
comment on column workflows.trace_id is 'A trace to look at: that of the earliest start span, before that of any other evidence.';
comment on column workflows.trace_rank is '0: from a start span, 1: from other evidence.';
comment on column workflows.outcome is '0 open, 1 good, 2 late, 3 failed, 4 timeout, 5 cancelled, 6 orphan, 7 invalid.';
comment on column workflows.judged_at is 'Event time of the verdict: the bucket it is counted in.';
comment on column workflows.due_at is 'When the verdict must be looked at again although no evidence came; null if never.';
create index workflows_due on workflows (due_at) where due_at is not null;
create index workflows_open on workflows (slo_id, started_at) where outcome = 0;
create index workflows_bad on workflows (slo_id, judged_at) where outcome in (2, 3, 4);

create table epochs (
    epoch     integer     primary key,
    opened_at timestamptz not null
);
comment on table epochs is 'Partitions of workflows, oldest first; rows are inserted into the newest. Opening one excludes every writer (advisory lock), so no key is ever inserted twice.';

create table event_counts (
    slo_id     integer     not null,
    resolution integer     not null check (resolution in (60, 3600, 86400)),
    bucket     timestamptz not null,
    writer     smallint    not null,
    good       bigint      not null default 0,
    late       bigint      not null default 0,
    failed     bigint      not null default 0,
    timeout    bigint      not null default 0,
    cancelled  bigint      not null default 0,
    orphan     bigint      not null default 0,
    invalid    bigint      not null default 0,
    primary key (slo_id, resolution, bucket, writer)
) partition by list (resolution);
comment on table event_counts is 'Events by outcome per SLO and bucket, each event once at every resolution. A bucket is the sum of its rows over all writers; a single row may be negative after a correction.';
comment on column event_counts.resolution is 'Length of the bucket in seconds.';
comment on column event_counts.writer is 'Slot of the replica that wrote it, so that replicas do not wait for each other.';
create table event_counts_minute partition of event_counts for values in (60) partition by range (bucket);
create table event_counts_hour partition of event_counts for values in (3600) partition by range (bucket);
create table event_counts_day partition of event_counts for values in (86400);

create table evidence_counts (
    slo_id integer     not null,
    day    date        not null,
    reason text        not null,
    count  bigint      not null,
    primary key (slo_id, day, reason)
);
comment on table evidence_counts is 'Evidence that could not be used, or changed a verdict, by reason; slo_id 0 where no SLO is concerned. Unlike event_counts a repeated request may count again.';

create table ingest_watermark (
    only_row          boolean     primary key default true check (only_row),
    up_to             timestamptz not null,
    beat_at           timestamptz not null,
    catching_up_until timestamptz not null
);
comment on table ingest_watermark is 'Up to when ingest is known to have been healthy. While senders catch up after an outage of ours it stands still and no workflow times out.';

create table definition_sets (
    only_row  boolean     primary key default true check (only_row),
    files     jsonb       not null,
    loaded_at timestamptz not null
);
comment on table definition_sets is 'The last definitions without errors: what stays in force when the service starts on files that have some.';
