-- Counts that follow from verdicts: events, customers, stages, and the evidence behind them.

create table event_counts (
    slo_id            integer     not null,
    resolution        integer     not null,
    bucket            timestamptz not null,
    writer            smallint    not null,
    good              bigint      not null default 0,
    late              bigint      not null default 0,
    failed            bigint      not null default 0,
    timeout           bigint      not null default 0,
    cancelled         bigint      not null default 0,
    orphan            bigint      not null default 0,
    invalid           bigint      not null default 0,
    unobservable      bigint      not null default 0,
    evidence_lost     bigint      not null default 0,
    ambiguous         bigint      not null default 0,
    sampled           bigint      not null default 0,
    extrapolated_good bigint      not null default 0,
    extrapolated_bad  bigint      not null default 0,
    constraint event_counts_pkey primary key (slo_id, resolution, bucket, writer),
    constraint event_counts_resolution_check check (resolution in (60, 3600, 86400))
) partition by list (resolution);
comment on table event_counts is 'Events by outcome per SLO or group and bucket; each event is counted once at every resolution. The counts of a bucket are the sum over all writers; a single row may be negative after a correction.';
comment on column event_counts.slo_id is 'The SLO or group.';
comment on column event_counts.resolution is 'Length of the bucket in seconds: a minute, an hour or a day.';
comment on column event_counts.bucket is 'Start of the bucket, by the event time of the verdicts.';
comment on column event_counts.writer is 'Number of the replica that writes the row, so that replicas do not wait for each other. Replicas that share a number by chance are slower, not wrong.';
comment on column event_counts.good is 'Events within their allowed duration.';
comment on column event_counts.late is 'Bad events: ended, but too late.';
comment on column event_counts.failed is 'Bad events: failed for good.';
comment on column event_counts.timeout is 'Bad events: did not end by the deadline and grace.';
comment on column event_counts.cancelled is 'Cancelled workflows; neither good nor bad.';
comment on column event_counts.orphan is 'Ends without a start; neither good nor bad.';
comment on column event_counts.invalid is 'Workflows with contradictory evidence; neither good nor bad.';
comment on column event_counts.unobservable is 'Workflows without an end in traces whose end a sampler would have dropped; neither good nor bad.';
comment on column event_counts.evidence_lost is 'Workflows without an end while evidence was lost that may have contained it; neither good nor bad.';
comment on column event_counts.ambiguous is 'Ends of which it is unknown which of several workflows they end, and workflows that such an end may belong to; neither good nor bad.';
comment on column event_counts.sampled is 'Good and bad events whose spans state their sampling probability.';
comment on column event_counts.extrapolated_good is 'Good events that the recorded ones represent in addition to themselves, in millionths.';
comment on column event_counts.extrapolated_bad is 'Bad events that the recorded ones represent in addition to themselves, in millionths.';
create table event_counts_minute partition of event_counts for values in (60) partition by range (bucket);
create table event_counts_hour partition of event_counts for values in (3600) partition by range (bucket);
create table event_counts_day partition of event_counts for values in (86400);

create table open_counts (
    slo_id       integer     not null,
    started_from timestamptz not null,
    length_us    bigint      not null,
    within_us    bigint      not null,
    writer       smallint    not null,
    workflows    bigint      not null,
    constraint open_counts_pkey primary key (slo_id, started_from, length_us, within_us, writer),
    constraint open_counts_length_us_check check (length_us > 0)
) with (fillfactor = 50);
comment on table open_counts is 'Open workflows per SLO or group, by when they started and how long they may take. The number is the sum over all writers; a single row may be negative.';
comment on column open_counts.slo_id is 'The SLO or group.';
comment on column open_counts.started_from is 'Start of the range in which the workflows started.';
comment on column open_counts.length_us is 'Length of the range in microseconds: a small part of within_us.';
comment on column open_counts.within_us is 'Time from start to deadline in microseconds, pauses included.';
comment on column open_counts.writer is 'Number of the replica that writes the row, as in event_counts. -1: the sum of several.';
comment on column open_counts.workflows is 'Workflows that this replica has found open, minus those that it has found not to be open any more.';

create table corrected_events (
    slo_id            integer     not null,
    writer            smallint    not null,
    good              bigint      not null default 0,
    late              bigint      not null default 0,
    failed            bigint      not null default 0,
    timeout           bigint      not null default 0,
    cancelled         bigint      not null default 0,
    orphan            bigint      not null default 0,
    invalid           bigint      not null default 0,
    unobservable      bigint      not null default 0,
    evidence_lost     bigint      not null default 0,
    ambiguous         bigint      not null default 0,
    sampled           bigint      not null default 0,
    extrapolated_good bigint      not null default 0,
    extrapolated_bad  bigint      not null default 0,
    constraint corrected_events_pkey primary key (slo_id, writer)
);
comment on table corrected_events is 'Events that corrections took out of event_counts, by the outcome that they had. The sums of event_counts plus these are counters that never fall.';
comment on column corrected_events.slo_id is 'The SLO or group.';
comment on column corrected_events.writer is 'Number of the replica that writes the row, as in event_counts.';
comment on column corrected_events.good is 'Events that had the outcome good.';
comment on column corrected_events.late is 'Events that had the outcome late.';
comment on column corrected_events.failed is 'Events that had the outcome failed.';
comment on column corrected_events.timeout is 'Events that had the outcome timeout.';
comment on column corrected_events.cancelled is 'Events that had the outcome cancelled.';
comment on column corrected_events.orphan is 'Events that had the outcome orphan.';
comment on column corrected_events.invalid is 'Events that had the outcome invalid.';
comment on column corrected_events.unobservable is 'Events that had the outcome unobservable.';
comment on column corrected_events.evidence_lost is 'Events that had the outcome evidence_lost.';
comment on column corrected_events.ambiguous is 'Events that had the outcome ambiguous.';
comment on column corrected_events.sampled is 'Good and bad events among them whose spans state their sampling probability.';
comment on column corrected_events.extrapolated_good is 'Good events that they represent in addition to themselves, in millionths.';
comment on column corrected_events.extrapolated_bad is 'Bad events that they represent in addition to themselves, in millionths.';

create table closed_days (
    slo_id            integer     not null,
    until             timestamptz not null,
    good              bigint      not null default 0,
    late              bigint      not null default 0,
    failed            bigint      not null default 0,
    timeout           bigint      not null default 0,
    cancelled         bigint      not null default 0,
    orphan            bigint      not null default 0,
    invalid           bigint      not null default 0,
    unobservable      bigint      not null default 0,
    evidence_lost     bigint      not null default 0,
    ambiguous         bigint      not null default 0,
    sampled           bigint      not null default 0,
    extrapolated_good bigint      not null default 0,
    extrapolated_bad  bigint      not null default 0,
    constraint closed_days_pkey primary key (slo_id)
);
comment on table closed_days is 'Sums of event_counts of all days that can no longer change, because their minutes are dropped: so that counters of all time need not add up every day.';
comment on column closed_days.slo_id is 'The SLO or group.';
comment on column closed_days.until is 'End of the last day in the sums.';
comment on column closed_days.good is 'Events with the outcome good.';
comment on column closed_days.late is 'Events with the outcome late.';
comment on column closed_days.failed is 'Events with the outcome failed.';
comment on column closed_days.timeout is 'Events with the outcome timeout.';
comment on column closed_days.cancelled is 'Events with the outcome cancelled.';
comment on column closed_days.orphan is 'Events with the outcome orphan.';
comment on column closed_days.invalid is 'Events with the outcome invalid.';
comment on column closed_days.unobservable is 'Events with the outcome unobservable.';
comment on column closed_days.evidence_lost is 'Events with the outcome evidence_lost.';
comment on column closed_days.ambiguous is 'Events with the outcome ambiguous.';
comment on column closed_days.sampled is 'Good and bad events among them whose spans state their sampling probability.';
comment on column closed_days.extrapolated_good is 'Good events that they represent in addition to themselves, in millionths.';
comment on column closed_days.extrapolated_bad is 'Bad events that they represent in addition to themselves, in millionths.';

create table customer_counts (
    slo_id     integer     not null,
    resolution integer     not null,
    bucket     timestamptz not null,
    customer   text        not null,
    events     bigint      not null,
    bad        bigint      not null,
    bad_by_count bigint    not null default 0,
    constraint customer_counts_pkey primary key (slo_id, resolution, bucket, customer),
    constraint customer_counts_resolution_check check (resolution in (3600, 86400)),
    constraint customer_counts_customer_check check (octet_length(customer) <= 256)
) partition by list (resolution);
comment on table customer_counts is 'Events of each customer per SLO or group and bucket; each event is counted once at every resolution. A row stays as long as its bucket, even with no event left, so that a customer is never counted both here and in the overflow.';
comment on column customer_counts.slo_id is 'The SLO or group.';
comment on column customer_counts.resolution is 'Length of the bucket in seconds: hours for short windows, days for long ones.';
comment on column customer_counts.bucket is 'Start of the bucket, by the event time of the verdicts.';
comment on column customer_counts.customer is 'Value of the customer attribute that the definition names, at most 256 bytes.';
comment on column customer_counts.events is 'Good and bad events.';
comment on column customer_counts.bad is 'Bad events among them; the customer is affected while there is at least one.';
comment on column customer_counts.bad_by_count is 'Those of the bad events that were judged by count: another customer of the same batch may have them.';
create table customer_counts_hour partition of customer_counts for values in (3600) partition by range (bucket);
create table customer_counts_day partition of customer_counts for values in (86400) partition by range (bucket);

create table customer_buckets (
    slo_id          integer     not null,
    resolution      integer     not null,
    bucket          timestamptz not null,
    customers       integer     not null default 0,
    overflow_events bigint      not null default 0,
    overflow_bad    bigint      not null default 0,
    constraint customer_buckets_pkey primary key (slo_id, resolution, bucket),
    constraint customer_buckets_resolution_check check (resolution in (3600, 86400))
) partition by list (resolution);
comment on table customer_buckets is 'Number of customers in each bucket of customer_counts, and the events of customers beyond its limit. A transaction that adds a customer to a bucket locks its row here.';
comment on column customer_buckets.slo_id is 'The SLO or group.';
comment on column customer_buckets.resolution is 'Length of the bucket in seconds.';
comment on column customer_buckets.bucket is 'Start of the bucket.';
comment on column customer_buckets.customers is 'Rows of the bucket in customer_counts; never decreases.';
comment on column customer_buckets.overflow_events is 'Good and bad events of all customers without a row of their own.';
comment on column customer_buckets.overflow_bad is 'Bad events among them.';
create table customer_buckets_hour partition of customer_buckets for values in (3600) partition by range (bucket);
create table customer_buckets_day partition of customer_buckets for values in (86400) partition by range (bucket);

create table stage_sums (
    slo_id          integer     not null,
    resolution      integer     not null,
    bucket          timestamptz not null,
    is_bad          boolean     not null,
    kind            smallint    not null,
    name            text        not null,
    events          bigint      not null default 0,
    extrapolated    bigint      not null default 0,
    duration_us     bigint      not null default 0,
    start_offset_us bigint      not null default 0,
    durations       jsonb       not null default '{}',
    constraint stage_sums_pkey primary key (slo_id, resolution, bucket, is_bad, kind, name),
    constraint stage_sums_resolution_check check (resolution in (60, 3600, 86400)),
    constraint stage_sums_kind_check check (kind between 0 and 7)
);
comment on table stage_sums is 'Time that workflows spent in each stage, summed per SLO, bucket of the verdict, and good or bad. The stages of a bucket add up to the whole duration of its workflows.';
comment on column stage_sums.slo_id is 'The SLO.';
comment on column stage_sums.resolution is 'Length of the bucket in seconds.';
comment on column stage_sums.bucket is 'Start of the bucket, by the event time of the verdicts.';
comment on column stage_sums.is_bad is 'Whether the row sums bad workflows or good ones.';
comment on column stage_sums.kind is '0 the workflows themselves (only events, extrapolated and durations are set), 1 wait, 2 intended delay, 3 processing, 4 pause, 5 declared, 6 other, 7 workflows that are not in the sample whose stages are known.';
comment on column stage_sums.name is 'Name of the queue, the service or the declared stage; empty for kind 0.';
comment on column stage_sums.events is 'Recorded workflows, unweighted.';
comment on column stage_sums.extrapolated is 'Workflows that the recorded ones represent in addition to themselves, in millionths.';
comment on column stage_sums.duration_us is 'Time in the stage in microseconds, each workflow multiplied by its weight.';
comment on column stage_sums.durations is 'Number of workflows by duration, in millionths of an event: a map from n to those that took more than 2^((n-1)/4) seconds and at most 2^(n/4). -80 stands for less than a microsecond.';
comment on column stage_sums.start_offset_us is 'Time from the start of the workflow to its first entry into the stage in microseconds, weighted; stages are ordered by it.';
create index stage_sums_old_idx on stage_sums (resolution, bucket);

create table hop_waits (
    slo_id   integer     not null,
    hour     timestamptz not null,
    sender   text        not null,
    receiver text        not null,
    hops     bigint      not null,
    least_us bigint      not null,
    constraint hop_waits_pkey primary key (slo_id, hour, sender, receiver)
);
comment on table hop_waits is 'Smallest wait of messages between two services, which shows how far their clocks are apart. At most 16 pairs of services per SLO and hour, kept for a day.';
comment on column hop_waits.slo_id is 'The SLO whose workflows the messages belong to.';
comment on column hop_waits.hour is 'Hour in which the workflows were looked at.';
comment on column hop_waits.sender is 'service.name of the spans that sent, at most 256 bytes.';
comment on column hop_waits.receiver is 'service.name of the spans that received, at most 256 bytes.';
comment on column hop_waits.hops is 'Number of messages, each counted when its workflow was looked at first.';
comment on column hop_waits.least_us is 'Smallest time from sending to receiving in microseconds; negative if the sender''s clock is ahead of the receiver''s.';
create index hop_waits_old_idx on hop_waits (hour);

create table evidence_counts (
    slo_id integer not null,
    day    date    not null,
    reason text    not null,
    count  bigint  not null,
    constraint evidence_counts_pkey primary key (slo_id, day, reason)
);
comment on table evidence_counts is 'Evidence that could not be used or that changed a verdict, by reason. Unlike event_counts, a request that is received again may be counted again.';
comment on column evidence_counts.slo_id is 'The SLO concerned; 0 if none in particular.';
comment on column evidence_counts.day is 'Day (UTC) on which the evidence was received.';
comment on column evidence_counts.reason is 'Why the evidence was discarded, or what it changed, as in the API.';
comment on column evidence_counts.count is 'Number of pieces of evidence.';

create table correlated_spans (
    slo_id integer  not null,
    day    date     not null,
    writer smallint not null,
    count  bigint   not null,
    constraint correlated_spans_pkey primary key (slo_id, day, writer)
);
comment on table correlated_spans is 'Selected spans that could be assigned to a workflow, by SLO and day; evidence_counts has those that could not. A request that is received again may be counted again.';
comment on column correlated_spans.slo_id is 'The SLO whose selectors matched the spans.';
comment on column correlated_spans.day is 'Day (UTC) on which the spans were received.';
comment on column correlated_spans.writer is 'Number of the replica that writes the row, as in event_counts.';
comment on column correlated_spans.count is 'Number of spans; a span with two roles counts twice.';

create table start_spans (
    slo_id       integer     not null,
    minute       timestamptz not null,
    writer       smallint    not null,
    correlated   bigint      not null,
    uncorrelated bigint      not null,
    constraint start_spans_pkey primary key (slo_id, minute, writer)
);
comment on table start_spans is 'Spans that start workflows, by SLO and minute, kept for two hours. A request that is received again may be counted again.';
comment on column start_spans.slo_id is 'The SLO whose start selector matched the spans.';
comment on column start_spans.minute is 'Minute in which the spans were received.';
comment on column start_spans.writer is 'Number of the replica that writes the row, as in event_counts.';
comment on column start_spans.correlated is 'Number of spans that name their workflow.';
comment on column start_spans.uncorrelated is 'Number of spans that do not, so that their workflows are not watched.';
create index start_spans_old_idx on start_spans (minute);
