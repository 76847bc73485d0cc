-- What only some workflows have (pauses, say), in one column that is null for the others.

alter table workflows add column details jsonb;
comment on column workflows.details is 'What only some workflows have, each part a join of its own; null where there is none.';
