-- Workflows without a success whose epoch was dropped: what is said of them later is too late, and no
-- end whose start never came.

create table forgotten_workflows (
    slo_id       integer     not null,
    key          uuid        not null,
    forgotten_at timestamptz not null,
    primary key (slo_id, key)
);
comment on table forgotten_workflows is 'Keys of workflows that were dropped and never succeeded, for as long again as they were kept.';
comment on column forgotten_workflows.slo_id is 'As in workflows.';
comment on column forgotten_workflows.key is 'As in workflows.';
comment on column forgotten_workflows.forgotten_at is 'When their epoch was dropped.';
create index forgotten_workflows_old on forgotten_workflows (forgotten_at);
