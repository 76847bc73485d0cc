-- Where the time goes, added up: every judged workflow once, among the good or among the bad.

create table stage_sums (
    slo_id       integer     not null,
    resolution   integer     not null check (resolution in (60, 3600, 86400)),
    bucket       timestamptz not null,
    is_bad       boolean     not null,
    kind         smallint    not null check (kind between 0 and 6),
    name         text        not null,
    events       bigint      not null default 0,
    micros       bigint      not null default 0,
    first_micros bigint      not null default 0,
    primary key (slo_id, resolution, bucket, is_bad, kind, name)
);
comment on table stage_sums is 'Time of workflows by stage, per SLO, bucket of the verdict, and good or bad. The stages of a bucket add up to the whole time of its workflows.';
comment on column stage_sums.kind is '0 the workflows themselves, whose number is in events; 1 wait, 2 intended delay, 3 processing, 4 pause, 5 declared, 6 other.';
comment on column stage_sums.name is 'The queue, the service, or the name of the declared stage.';
comment on column stage_sums.first_micros is 'Sum of the times from the start of a workflow to its first stretch of the stage: what stages are ordered by.';
create index stage_sums_old on stage_sums (resolution, bucket);

alter table workflows
    add column folded_outcome smallint,
    add column folded_judged_at timestamptz,
    add column folded jsonb,
    add column refold_at timestamptz;
comment on column workflows.folded_outcome is 'The outcome as which it was added to stage_sums; null if it was not.';
comment on column workflows.folded_judged_at is 'The verdict''s time as which it was added to stage_sums.';
comment on column workflows.folded is 'What was added to stage_sums, stage by stage, so that exactly that can be taken away again.';
comment on column workflows.refold_at is 'When to look again for spans that came late; null once that was done.';
-- Holds those whose verdict is not what was added: whoever changes a verdict need not know of stages.
create index workflows_unfolded on workflows (slo_id, judged_at)
    where within_us is not null
        and (outcome between 1 and 4 or folded_outcome is not null)
        and (folded_outcome is distinct from outcome or folded_judged_at is distinct from judged_at);
create index workflows_refold on workflows (slo_id, refold_at) where refold_at is not null;
