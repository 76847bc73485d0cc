-- Where the time goes, for sampled workflows as well: each counts for what it stands for.

alter table stage_sums add column unseen bigint not null default 0;
comment on column stage_sums.events is 'Workflows that were seen, as they are.';
comment on column stage_sums.unseen is 'Workflows that the seen ones stand for besides themselves, in millionths.';
comment on column stage_sums.micros is 'Time of the seen ones, each times what it stands for, in microseconds.';

alter table workflows add column folded_weight bigint;
comment on column workflows.folded_weight is 'What it stood for when it was added to stage_sums, in millionths; null where it counted itself.';
