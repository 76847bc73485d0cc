-- Workflows: the evidence that spans give of each, its verdict, and what correlation needs to know.

create table workflows (
    slo_id                integer     not null,
    key                   uuid        not null,
    epoch                 integer     not null,
    label                 text        not null,
    first_evidence_at     timestamptz not null default clock_timestamp(),
    revision              integer     not null default 0,
    started_at            timestamptz,
    succeeded_at          timestamptz,
    failed_at             timestamptz,
    late_at               timestamptz,
    cancelled_at          timestamptz,
    within_us             bigint,
    trace_id              uuid        not null,
    trace_rank            smallint    not null,
    customer              text,
    outcome               smallint    not null,
    judged_at             timestamptz,
    due_at                timestamptz,
    details               jsonb,
    weight                bigint,
    group_id              integer,
    aggregated_outcome    smallint,
    aggregated_judged_at  timestamptz,
    aggregated_stages     jsonb,
    aggregated_weight     bigint,
    constraint workflows_pkey primary key (slo_id, key, epoch),
    constraint workflows_label_check check (octet_length(label) <= 256),
    constraint workflows_customer_check check (octet_length(customer) <= 256),
    constraint workflows_outcome_check check (outcome >= 0),
    constraint workflows_judged_at_check check ((outcome = 0) = (judged_at is null))
) partition by list (epoch);
comment on table workflows is 'One row per SLO and workflow (or event of a one-span SLI): all evidence joined, and the verdict. The row makes recording idempotent: evidence that is received again changes nothing.';
comment on column workflows.slo_id is 'The SLO that the workflow counts for.';
comment on column workflows.key is 'First 16 bytes of the SHA-256 of what correlates the evidence, such as a trace id or an attribute value. Depends on immutable evidence only.';
comment on column workflows.epoch is 'Epoch in which the row was inserted; it selects the partition. All replicas insert into the same epoch at any time (see epochs), so (slo_id, key) is unique across partitions.';
comment on column workflows.label is 'Readable form of the key, at most 256 bytes.';
comment on column workflows.first_evidence_at is 'When the first evidence of the workflow was committed. Until grace after it, the absence of an end is no verdict.';
comment on column workflows.revision is 'Revision of the definition (definition_sets.number) that the workflow is judged by: the one in force when it started, or the oldest that its evidence was recognised by.';
comment on column workflows.started_at is 'Earliest start of a start span. Null while only ends are known.';
comment on column workflows.succeeded_at is 'Earliest end of a span that finishes the workflow. Null if none was received.';
comment on column workflows.failed_at is 'Earliest end of a span that fails the workflow for good. Null if none was received.';
comment on column workflows.late_at is 'Earliest end of a span that a one-span SLI calls bad although it did not fail. Null if none was received.';
comment on column workflows.cancelled_at is 'Earliest end of a span that cancels the workflow. Null if none was received.';
comment on column workflows.within_us is 'Allowed duration in microseconds, from the definition in force when the start was received. Null for an event of a one-span SLI and while no start is known.';
comment on column workflows.trace_id is 'A trace to look at: that of the earliest start span, otherwise that of other evidence.';
comment on column workflows.trace_rank is '0: trace_id is from a start span; 1: from other evidence.';
comment on column workflows.customer is 'Value of the customer attribute that the definition names, at most 256 bytes. Null if there is none.';
comment on column workflows.outcome is '0 open, 1 good, 2 late, 3 failed, 4 timeout, 5 cancelled, 6 orphan (an end without a start), 7 invalid, 8 unobservable (the end may have been dropped by sampling), 9 evidence lost, 10 unwatched (its SLO is not declared any more), 11 ambiguous (which of several workflows ended is unknown).';
comment on column workflows.judged_at is 'Event time of the verdict: the bucket that the workflow is counted in. Null while it is open.';
comment on column workflows.due_at is 'Event time at which the verdict must be checked again even if no further evidence arrives. Null if never.';
comment on column workflows.details is 'Evidence that only some workflows have: pauses, fan-out legs, sampling, group values, attributes. Null if there is none.';
comment on column workflows.weight is 'Number of events that this one represents under sampling, in millionths. Null if none of its spans was sampled, so that it represents only itself.';
comment on column workflows.group_id is 'Group (slos.id) that counts the workflow in addition to the SLO. Null if the SLO has no groups, or the group is not known yet.';
comment on column workflows.aggregated_outcome is 'Outcome under which the workflow was added to stage_sums. Null if it was not added. An invalid one is looked at for hop_waits and adds nothing.';
comment on column workflows.aggregated_judged_at is 'Verdict time under which the workflow was added to stage_sums. Null if it was not added.';
comment on column workflows.aggregated_stages is 'What was added to stage_sums, stage by stage, so that exactly that can be subtracted again. Null if the workflow was not added.';
comment on column workflows.aggregated_weight is 'Weight with which the workflow was added to stage_sums, in millionths. Null if it represented only itself.';

-- workflows has no index on what a verdict changes, so that an update never writes an index (it is
-- heap-only). The workflows that something must find by their verdict are listed in these tables.
--
-- Queues (deadlines, stage_queue, search_queue, link_checks, heard_workflows) are read from their oldest
-- row, and rows are deleted there. By default a table is vacuumed when a fifth of it is dead: of a queue
-- with a million rows that is 200,000 rows which every reader passes first. So they are vacuumed at one
-- hundredth, and so are their arrays, which are stored apart. Tables that a partition is dropped of have
-- no settings: the vacuum that follows inserts lets index-only scans skip the table, and freezes rows
-- little by little.

create table deadlines (
    id             bigint      generated always as identity,
    slo_id         integer     not null,
    epoch          integer     not null,
    due_second     timestamptz not null,
    started_second timestamptz,
    keys           uuid[]      not null,
    constraint deadlines_pkey primary key (id)
) with (
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
    toast.autovacuum_vacuum_scale_factor = 0.01, toast.autovacuum_vacuum_threshold = 1000
);
comment on table deadlines is 'Workflows that were open when they were recorded, by the second in which they are due. Whoever looks at a row after that judges those that are still open, and deletes the row; so every open workflow is in a row, and a row may contain workflows that have ended.';
comment on column deadlines.id is 'Number of the row.';
comment on column deadlines.slo_id is 'The SLO, as in workflows.';
comment on column deadlines.epoch is 'Partition of the workflows, as in workflows.';
comment on column deadlines.due_second is 'workflows.due_at, rounded down to the second.';
comment on column deadlines.started_second is 'workflows.started_at, rounded down to the second. Null while only ends are known.';
comment on column deadlines.keys is 'Keys of the workflows, as in workflows.';
create index deadlines_due_second_idx on deadlines (due_second, id);
create index deadlines_started_second_idx on deadlines (slo_id, started_second);

create table bad_workflows (
    slo_id     integer     not null,
    judged_at  timestamptz not null,
    key        uuid        not null,
    epoch      integer     not null,
    outcome    smallint    not null,
    group_id   integer,
    customer   text,
    is_shared  boolean     not null,
    started_at timestamptz,
    ended_at   timestamptz,
    constraint bad_workflows_pkey primary key (slo_id, judged_at, key, epoch),
    constraint bad_workflows_outcome_check check (outcome in (2, 3, 4))
) partition by list (epoch);
comment on table bad_workflows is 'Workflows that count as bad now, with what is read of many of them at once.';
comment on column bad_workflows.slo_id is 'The SLO, as in workflows.';
comment on column bad_workflows.judged_at is 'Event time of the verdict, as in workflows.';
comment on column bad_workflows.key is 'The key, as in workflows.';
comment on column bad_workflows.epoch is 'Partition of the workflow, and of this row, as in workflows.';
comment on column bad_workflows.outcome is '2 late, 3 failed, 4 timeout, as in workflows.';
comment on column bad_workflows.group_id is 'The group, as in workflows.';
comment on column bad_workflows.customer is 'The customer, as in workflows.';
comment on column bad_workflows.is_shared is 'Whether its end is one of those of its batch, so that it is unknown whether this workflow or another one of the batch is bad.';
comment on column bad_workflows.started_at is 'The start, as in workflows.';
comment on column bad_workflows.ended_at is 'Earliest end. Null if it has none.';
create index bad_workflows_group_idx on bad_workflows (group_id, judged_at) where group_id is not null;

create table sampled_workflows (
    slo_id    integer     not null,
    judged_at timestamptz not null,
    key       uuid        not null,
    epoch     integer     not null,
    constraint sampled_workflows_pkey primary key (slo_id, judged_at, key, epoch)
) partition by list (epoch);
comment on table sampled_workflows is 'Judged workflows whose attributes are stored (workflows.details), to find what bad ones have in common.';
comment on column sampled_workflows.slo_id is 'The SLO, as in workflows.';
comment on column sampled_workflows.judged_at is 'Event time of the verdict, as in workflows.';
comment on column sampled_workflows.key is 'The key, as in workflows.';
comment on column sampled_workflows.epoch is 'Partition of the workflow, and of this row, as in workflows.';

create table stage_queue (
    id      bigint      generated always as identity,
    slo_id  integer     not null,
    epoch   integer     not null,
    look_at timestamptz not null,
    keys    uuid[]      not null,
    constraint stage_queue_pkey primary key (id)
) with (
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
    toast.autovacuum_vacuum_scale_factor = 0.01, toast.autovacuum_vacuum_threshold = 1000
);
comment on table stage_queue is 'Workflows whose stages must be aggregated (again), of SLOs that distinguish stages: their verdict has changed, or stage spans may have arrived late.';
comment on column stage_queue.id is 'Number of the row.';
comment on column stage_queue.slo_id is 'The SLO, as in workflows.';
comment on column stage_queue.epoch is 'Partition of the workflows, as in workflows.';
comment on column stage_queue.look_at is 'Time from which to aggregate them.';
comment on column stage_queue.keys is 'Keys of the workflows, as in workflows.';
create index stage_queue_look_at_idx on stage_queue (slo_id, look_at, id);

-- At most 200 bytes for a workflow with its indexes, so numbers are as short as possible, and in an
-- order without gaps between them.
create table workflow_search (
    key            uuid     not null,
    slo_id         integer  not null,
    started_second integer  not null,
    trace_prefix   integer  not null,
    customer_hash  integer,
    epoch          smallint not null,
    label          text     collate "C",
    constraint workflow_search_label_check check (octet_length(label) <= 256)
) partition by list (epoch);
comment on table workflow_search is 'By what people find workflows. Written behind recording, from search_queue. A workflow has a second row if it was found by something else before; what is found is compared with the workflow itself.';
comment on column workflow_search.key is 'The key, as in workflows.';
comment on column workflow_search.slo_id is 'The SLO, as in workflows.';
comment on column workflow_search.started_second is 'Seconds from 2020-01-01 to its start; to when its first evidence was committed, while no start is known.';
comment on column workflow_search.trace_prefix is 'First 4 bytes of workflows.trace_id, as a big-endian number.';
comment on column workflow_search.customer_hash is 'First 4 bytes of the SHA-256 of workflows.customer, as a big-endian number. Null if there is none.';
comment on column workflow_search.epoch is 'Partition of the workflow, and of this row, as in workflows.';
comment on column workflow_search.label is 'Its name, in the order of its bytes. Null if that is the trace id or the id of its one span.';
create index workflow_search_started_second_idx on workflow_search (slo_id, started_second);
create index workflow_search_trace_prefix_idx on workflow_search (trace_prefix);
create index workflow_search_label_idx on workflow_search (label) where label is not null;
create index workflow_search_customer_hash_idx on workflow_search (customer_hash, started_second)
    where customer_hash is not null;

create table search_queue (
    id        bigint      generated always as identity,
    queued_at timestamptz not null default clock_timestamp(),
    epochs    integer[]   not null,
    slo_ids   integer[]   not null,
    keys      uuid[]      not null,
    constraint search_queue_pkey primary key (id),
    constraint search_queue_keys_check check (cardinality(keys) = cardinality(epochs)
        and cardinality(keys) = cardinality(slo_ids))
) with (
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
    toast.autovacuum_vacuum_scale_factor = 0.01, toast.autovacuum_vacuum_threshold = 1000
);
comment on table search_queue is 'Workflows that workflow_search does not have yet: a row per transaction that recorded any.';
comment on column search_queue.id is 'Order in which the rows are taken.';
comment on column search_queue.queued_at is 'When the row was inserted: the search is as far behind as the oldest row.';
comment on column search_queue.epochs is 'Partitions of the workflows.';
comment on column search_queue.slo_ids is 'SLOs of the workflows, in the same order.';
comment on column search_queue.keys is 'Keys of the workflows, in the same order.';

create table epochs (
    epoch         integer     not null,
    opened_at     timestamptz not null,
    purged_pages  bigint      not null default 0,
    purged_at     timestamptz,
    constraint epochs_pkey primary key (epoch),
    constraint epochs_purged_pages_check check (purged_pages >= 0)
);
comment on table epochs is 'Consecutive periods of ingest time, oldest first, each with its own partitions of workflows and of the link tables. Rows are inserted into the newest epoch. Opening an epoch excludes all writers (advisory lock), so no key is inserted twice.';
comment on column epochs.epoch is 'Number of the epoch, from 0; also the suffix of its partitions.';
comment on column epochs.opened_at is 'Time at which the epoch was opened.';
comment on column epochs.purged_pages is 'The epoch is being dropped: the pages of its partition of workflows, from the first on, of which the keys that are needed later were copied to purged_workflows.';
comment on column epochs.purged_at is 'Time at which the workflows of the epoch were dropped. Null while they are kept. After twice the evidence horizon the row is deleted, and its partition of purged_workflows dropped.';

create table purged_workflows (
    slo_id integer not null,
    key    uuid    not null,
    epoch  integer not null,
    constraint purged_workflows_pkey primary key (slo_id, key, epoch)
) partition by list (epoch);
comment on table purged_workflows is 'Keys of workflows that were purged with their epoch and had not succeeded. An end that arrives later is then counted as too late instead of as an orphan.';
comment on column purged_workflows.slo_id is 'The SLO, as in workflows.';
comment on column purged_workflows.key is 'The key, as in workflows.';
comment on column purged_workflows.epoch is 'Partition that the workflow was in, and of this row.';

create table evidence_losses (
    slo_id     integer     not null,
    minute     timestamptz not null,
    is_applied boolean     not null default false,
    constraint evidence_losses_pkey primary key (slo_id, minute),
    constraint evidence_losses_minute_check check (minute = date_trunc('minute', minute, 'UTC'))
);
comment on table evidence_losses is 'Minutes in which spans that end workflows had dropped some of their links, so that some ends are unknown. A request that is received again adds nothing.';
comment on column evidence_losses.slo_id is 'The SLO whose selector matched the spans.';
comment on column evidence_losses.minute is 'Start of the minute, by the end time of the spans.';
comment on column evidence_losses.is_applied is 'Whether timeouts that were counted before the loss was known have been judged again.';
create index evidence_losses_new_idx on evidence_losses (slo_id, minute) where not is_applied;

create table evidence_gaps (
    lost_from  timestamptz not null,
    lost_until timestamptz not null,
    constraint evidence_gaps_pkey primary key (lost_until),
    constraint evidence_gaps_lost_until_check check (lost_from < lost_until)
);
comment on table evidence_gaps is 'Times whose evidence is lost for all SLOs: between a backup and the start of the service on it, between what a standby has and its promotion, and what was removed from a Kafka topic before it was read. Workflows that were waiting for an end then do not time out.';
comment on column evidence_gaps.lost_from is 'Up to here every workflow that was due is judged.';
comment on column evidence_gaps.lost_until is 'Start of the service on the restored backup, or time of the first message that was left. The row is deleted with the losses of its time.';

create table sampling_thresholds (
    slo_id               integer not null,
    day                  date    not null,
    end_threshold        bigint  not null,
    drawn_independently  boolean not null,
    is_applied           boolean not null default false,
    constraint sampling_thresholds_pkey primary key (slo_id, day),
    constraint sampling_thresholds_end_threshold_check
        check (end_threshold between 0 and 72057594037927935)
);
comment on table sampling_thresholds is 'How the spans that end workflows were sampled, learned from those spans day by day. Kept per day, so that one odd span or an old sampler setting ages out.';
comment on column sampling_thresholds.slo_id is 'The SLO that the spans were selected by.';
comment on column sampling_thresholds.day is 'Day (UTC) on which the spans were received.';
comment on column sampling_thresholds.end_threshold is 'Highest rejection threshold of the day, 0 to 2^56 - 1 (OpenTelemetry tracestate `th`).';
comment on column sampling_thresholds.drawn_independently is 'Whether ends were sampled with random values of their own, so that a dropped end cannot be distinguished from a missing one.';

comment on column sampling_thresholds.is_applied is 'Whether timeouts that were counted before this was known have been judged again.';

create table delayed_ends (
    slo_id          integer     not null,
    newest_end_at   timestamptz not null,
    last_arrived_at timestamptz not null,
    constraint delayed_ends_pkey primary key (slo_id)
);
comment on table delayed_ends is 'SLOs with ends that arrived more than grace after they happened, because their senders had a backlog. For some minutes after the last of them, workflows time out only up to the newest.';
comment on column delayed_ends.slo_id is 'The SLO that the spans were selected by.';
comment on column delayed_ends.newest_end_at is 'Latest event time of these ends.';
comment on column delayed_ends.last_arrived_at is 'Time at which the last of these ends was committed.';

create table delayed_timeouts (
    slo_id          integer     not null,
    behind_us       bigint      not null,
    last_counted_at timestamptz not null,
    constraint delayed_timeouts_pkey primary key (slo_id),
    constraint delayed_timeouts_behind_us_check check (behind_us > 0)
);
comment on table delayed_timeouts is 'SLOs with timeouts that were counted later than grace after their deadline. Rules on burn rates also look at windows that end before them.';
comment on column delayed_timeouts.slo_id is 'The SLO that the spans were selected by.';
comment on column delayed_timeouts.behind_us is 'The longest of these delays, beyond grace, in microseconds.';
comment on column delayed_timeouts.last_counted_at is 'Time at which the last of these timeouts was counted.';

create table batch_messages (
    slo_id        integer not null,
    trace_id      uuid    not null,
    span_id       bigint  not null,
    message       uuid    not null,
    epoch         integer not null,
    position      integer not null,
    message_count integer,
    evidence      jsonb,
    constraint batch_messages_pkey primary key (slo_id, trace_id, span_id, message, epoch),
    constraint batch_messages_evidence_check check ((position = 0) = (evidence is not null)),
    constraint batch_messages_message_count_check check ((position = 0) = (message_count is not null))
) partition by list (epoch);
comment on table batch_messages is 'Messages that were published together under one span context. That span does not name them, so each message takes the next workflow of the batch when it is received first.';
comment on column batch_messages.slo_id is 'The SLO that the messages count for.';
comment on column batch_messages.trace_id is 'Trace of the publishing span, whose context all messages carry.';
comment on column batch_messages.span_id is 'Id of the publishing span: its 8 bytes as a big-endian number.';
comment on column batch_messages.message is 'First 16 bytes of the SHA-256 of the message id. All zero for the row of the publication itself.';
comment on column batch_messages.epoch is 'Epoch in which the row was inserted; it selects the partition, as in workflows.';
comment on column batch_messages.position is 'Position of the message in the batch, from 1. 0 for the row of the publication itself.';
comment on column batch_messages.message_count is 'Number of messages in the batch. Null unless the row is the publication itself.';
comment on column batch_messages.evidence is 'Evidence that the publication gives of each message, as a workflow of which nothing else is known. Null unless the row is the publication itself.';

create table span_edges (
    filter      bigint   not null,
    trace_id    uuid     not null,
    span_id     bigint   not null,
    is_link     boolean  not null,
    to_trace_id uuid     not null,
    to_span_id  bigint   not null,
    epoch       integer  not null,
    constraint span_edges_pkey
        primary key (filter, trace_id, span_id, is_link, to_trace_id, to_span_id, epoch)
) partition by list (epoch);
comment on table span_edges is 'Where the work of a span came from: one row per link, or one row for the parent if the span has no links. A root span without links has no row. Filled only while an SLO correlates by links or by message.';
comment on column span_edges.filter is 'Which links are followed: a hash of the link selector in the definition or of a message id, 0 for all links.';
comment on column span_edges.trace_id is 'Trace of the span.';
comment on column span_edges.span_id is 'Id of the span: its 8 bytes as a big-endian number.';
comment on column span_edges.is_link is 'True for a link, false for the parent.';
comment on column span_edges.to_trace_id is 'Trace of the linked span or parent.';
comment on column span_edges.to_span_id is 'Id of the linked span or parent: its 8 bytes as a big-endian number.';
comment on column span_edges.epoch is 'Epoch in which the row was inserted; it selects the partition, as in workflows.';

create table link_evidence (
    id            uuid    not null,
    epoch         integer not null,
    slo_id        integer not null,
    filter        bigint  not null,
    trace_id      uuid    not null,
    span_id       bigint  not null,
    evidence      jsonb   not null,
    workflow_keys uuid[]  not null default '{}',
    sent_by       bigint[] not null default '{}',
    is_unresolved boolean not null default true,
    is_truncated  boolean not null default false,
    is_start      boolean not null,
    message       uuid,
    is_whole      boolean not null,
    is_batch      boolean not null default false,
    branch_batches uuid[]  not null default '{}',
    branch_traces  uuid[]  not null default '{}',
    branch_spans   bigint[] not null default '{}',
    constraint link_evidence_pkey primary key (id, epoch),
    constraint link_evidence_branches_check check (cardinality(branch_batches) = cardinality(branch_traces)
        and cardinality(branch_batches) = cardinality(branch_spans))
) partition by list (epoch);
comment on table link_evidence is 'Evidence of single spans whose workflow is known only through links. When evidence moves to another workflow, the one it leaves is rebuilt from the evidence that remains.';
comment on column link_evidence.id is 'Hash of everything that identifies the evidence, so that a span that is received again is recognised.';
comment on column link_evidence.epoch is 'Epoch in which the row was inserted; it selects the partition, as in workflows.';
comment on column link_evidence.slo_id is 'The SLO whose selector matched the span.';
comment on column link_evidence.filter is 'Which links the SLO follows, as in span_edges.';
comment on column link_evidence.trace_id is 'Trace of the span that gives the evidence.';
comment on column link_evidence.span_id is 'Id of the span that gives the evidence: its 8 bytes as a big-endian number.';
comment on column link_evidence.evidence is 'The evidence, as a workflow of which nothing else is known.';
comment on column link_evidence.workflow_keys is 'Keys of the workflows that the evidence counts for (workflows.key), by what was known when its links were last resolved.';
comment on column link_evidence.sent_by is 'For each of workflow_keys, if the evidence is an end: the id of the span that sent the message by which the end left the trace of the start, as its 8 bytes in a big-endian number. Null where the start itself sent it.';
comment on column link_evidence.is_unresolved is 'Whether the links must be resolved (again): the evidence is new and about a message or a batch, or a span that it was waiting for has arrived.';
comment on column link_evidence.is_truncated is 'Whether the work began more links away than are followed.';
comment on column link_evidence.is_start is 'Whether the span starts workflows of the SLO. The start span that is furthest back on a chain of links identifies the workflow.';
comment on column link_evidence.message is 'The message that the evidence is about (batch_messages.message), where the links of a batch tell by message id who published it. Null where spans alone tell.';
comment on column link_evidence.is_whole is 'Whether one end ends all messages that a span took together (links: { batch: whole }).';
comment on column link_evidence.is_batch is 'Whether the row is no evidence but a span that took messages of several workflows (workflow_keys), one of which each end behind it belongs to.';
comment on column link_evidence.branch_batches is 'The spans of this kind (link_evidence.id) at which the chain of the evidence divides.';
comment on column link_evidence.branch_traces is 'Trace of the span through which the work left each of branch_batches.';
comment on column link_evidence.branch_spans is 'Id of that span: its 8 bytes as a big-endian number.';
create index link_evidence_batch_idx on link_evidence using gin (workflow_keys) with (fastupdate = off) where is_batch;
create index link_evidence_branch_batches_idx on link_evidence using gin (branch_batches) with (fastupdate = off)
    where branch_batches <> '{}';
create index link_evidence_batch_slo_id_idx on link_evidence (slo_id) where is_batch;
create index link_evidence_start_idx on link_evidence (trace_id, span_id, slo_id) where is_start;
create index link_evidence_unresolved_idx on link_evidence (id) where is_unresolved;
create index link_evidence_workflow_keys_idx on link_evidence using gin (workflow_keys) with (fastupdate = off);

create table pending_spans (
    filter      bigint  not null,
    trace_id    uuid    not null,
    span_id     bigint  not null,
    evidence_id uuid    not null,
    epoch       integer not null,
    constraint pending_spans_pkey primary key (filter, trace_id, span_id, evidence_id, epoch)
) partition by list (epoch);
comment on table pending_spans is 'Spans that have not been received, and the evidence whose links are resolved again when one arrives, or when a trace gets another start. A root span stays here for good, because it has no edges.';
comment on column pending_spans.filter is 'Which links are followed, as in span_edges.';
comment on column pending_spans.trace_id is 'Trace of the missing span.';
comment on column pending_spans.span_id is 'Id of the missing span: its 8 bytes as a big-endian number. 0 for any start span of the trace.';
comment on column pending_spans.evidence_id is 'The evidence that waits for it (link_evidence.id).';
comment on column pending_spans.epoch is 'Epoch in which the row was inserted; it selects the partition, as in workflows.';

create table link_checks (
    id           bigint   not null generated always as identity,
    filters      bigint[] not null,
    trace_ids    uuid[]   not null,
    span_ids     bigint[] not null,
    evidence_ids uuid[]   not null,
    constraint link_checks_pkey primary key (id),
    constraint link_checks_spans_check check (cardinality(filters) = cardinality(span_ids)
        and cardinality(trace_ids) = cardinality(span_ids))
) with (
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
    toast.autovacuum_vacuum_scale_factor = 0.01, toast.autovacuum_vacuum_threshold = 1000
);
comment on table link_checks is 'What is left to do after transactions that stored edges or evidence, a row for each: evidence that waits for the spans is resolved again, and so is evidence that others wrote edges for at the same time. Usually done before the reply; rows that stay are those of replicas that died.';
comment on column link_checks.id is 'Identifies the transaction.';
comment on column link_checks.filters is 'Which links are followed, as in span_edges, for each of the spans that arrived.';
comment on column link_checks.trace_ids is 'Traces of the spans that arrived, in the same order.';
comment on column link_checks.span_ids is 'Ids of these spans, as in pending_spans.';
comment on column link_checks.evidence_ids is 'The new evidence (link_evidence.id).';

create table stage_spans (
    slot         smallint    not null,
    key          uuid        not null,
    content_hash bigint      not null,
    slo_id       integer     not null,
    kind         smallint    not null,
    started_at   timestamptz not null,
    ended_at     timestamptz not null,
    deliver_at   timestamptz,
    name         text        not null,
    service      text        not null,
    trace_id     uuid        not null,
    is_error     boolean     not null,
    constraint stage_spans_pkey primary key (key, slo_id, content_hash, slot),
    constraint stage_spans_kind_check check (kind between 1 and 5),
    constraint stage_spans_ended_at_check check (ended_at >= started_at),
    constraint stage_spans_name_check check (octet_length(name) <= 256),
    constraint stage_spans_service_check check (octet_length(service) <= 256)
) partition by list (slot);
comment on table stage_spans is 'Message spans and spans of declared stages, by the key of the workflow that they may belong to, until that workflow is aggregated into stage_sums. A span that arrives again on another day is stored twice; readers treat both rows as one.';
comment on column stage_spans.slot is 'Day of arrival since 1970-01-01 modulo 16. The 16 partitions are used in turn; each is emptied before its next turn.';
comment on column stage_spans.key is 'Workflow key that the SLO''s correlators derive from the span, as in workflows.';
comment on column stage_spans.content_hash is 'Hash of everything the span contributes, so that a copy is not stored again.';
comment on column stage_spans.slo_id is 'The SLO that declares the stage. 0 for a message span, which serves all SLOs.';
comment on column stage_spans.kind is '1 producer, 2 consumer; for a declared stage: 3 all of it, 4 its start, 5 its end.';
comment on column stage_spans.started_at is 'Start of the span.';
comment on column stage_spans.ended_at is 'End of the span.';
comment on column stage_spans.deliver_at is 'Time at which the sender wanted the message delivered. Null if at once.';
comment on column stage_spans.name is 'Name of the queue or of the declared stage, at most 256 bytes.';
comment on column stage_spans.service is 'service.name of the span''s resource, at most 256 bytes.';
comment on column stage_spans.trace_id is 'Trace of the span.';
comment on column stage_spans.is_error is 'Whether the status of the span is an error.';

create table stage_spans_0 partition of stage_spans for values in (0);
create table stage_spans_1 partition of stage_spans for values in (1);
create table stage_spans_2 partition of stage_spans for values in (2);
create table stage_spans_3 partition of stage_spans for values in (3);
create table stage_spans_4 partition of stage_spans for values in (4);
create table stage_spans_5 partition of stage_spans for values in (5);
create table stage_spans_6 partition of stage_spans for values in (6);
create table stage_spans_7 partition of stage_spans for values in (7);
create table stage_spans_8 partition of stage_spans for values in (8);
create table stage_spans_9 partition of stage_spans for values in (9);
create table stage_spans_10 partition of stage_spans for values in (10);
create table stage_spans_11 partition of stage_spans for values in (11);
create table stage_spans_12 partition of stage_spans for values in (12);
create table stage_spans_13 partition of stage_spans for values in (13);
create table stage_spans_14 partition of stage_spans for values in (14);
create table stage_spans_15 partition of stage_spans for values in (15);

create table heard_workflows (
    id         bigint      not null generated always as identity,
    replica_id bigint      not null,
    heard_at   timestamptz not null default clock_timestamp(),
    handles    bytea       not null,
    constraint heard_workflows_pkey primary key (id)
) with (
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
    toast.autovacuum_vacuum_scale_factor = 0.01, toast.autovacuum_vacuum_threshold = 1000
);
comment on table heard_workflows is 'Workflows that a replica has heard of, a row for each of its transactions while there are other replicas, and bad workflows: replicas store the stage evidence that they have of these workflows. Kept for a minute.';
comment on column heard_workflows.id is 'Number of the row, by which a reader knows what it has seen.';
comment on column heard_workflows.replica_id is 'The replica that wrote the row; see replicas. -1 for bad workflows, which concern all replicas.';
comment on column heard_workflows.heard_at is 'Time of the insert, by the database''s clock.';
comment on column heard_workflows.handles is '13 bytes for each workflow: the second half of its key, or of the trace in which it began; its SLO (4 bytes); 1 if its stage evidence is stored, 2 if although it is not in the sample, 3 if not.';
create index heard_workflows_heard_at_idx on heard_workflows (heard_at);

create table stage_samples (
    slo_id        integer     not null,
    hour          timestamptz not null,
    spans         bigint      not null,
    bad_spans     bigint      not null,
    level         smallint    not null,
    bad_level     smallint    not null,
    dropped_until timestamptz,
    constraint stage_samples_pkey primary key (slo_id, hour)
);
comment on table stage_samples is 'How much stage evidence the workflows of an SLO had in an hour, and the samples whose evidence is stored. Kept for nine days.';
comment on column stage_samples.slo_id is 'The SLO.';
comment on column stage_samples.hour is 'Start of the hour, by the clocks of the replicas.';
comment on column stage_samples.spans is 'Spans for stages that were received of known workflows, also of those outside of the sample.';
comment on column stage_samples.bad_spans is 'Those of bad workflows outside of the sample; an estimate if bad_level is not 0.';
comment on column stage_samples.level is 'One in 2 to the power of this of its workflows is in the sample: those whose keys begin with so many zero bits. It only grows within the hour.';
comment on column stage_samples.bad_level is 'The same of bad workflows, whose evidence is stored if it is still in memory.';
comment on column stage_samples.dropped_until is 'Evidence of workflows outside of the sample that was received before this was dropped from the memory of a replica. Null if none was.';
create index stage_samples_hour_idx on stage_samples (hour);
