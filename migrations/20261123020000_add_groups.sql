-- Groups of an SLO's events: each has counts, a status and alerts of its own, as an SLO has.

alter table slos
    alter column name drop not null,
    add column parent_id integer references slos (id),
    add column group_by jsonb,
    add column max_groups integer check (max_groups between 1 and 1000),
    add column group_key uuid,
    add column group_values jsonb,
    add check ((name is null) = (parent_id is not null)),
    add check ((group_key is null) = (parent_id is null)),
    add check ((max_groups is null) = (group_by is null or parent_id is not null)),
    add check (group_values is null or parent_id is not null),
    add check (parent_id is null or group_by is not null),
    add unique (parent_id, group_key);
comment on table slos is 'One row per SLO name ever declared, and one per group of it. The id outlives edits and removal, so history and alert state do too.';
comment on column slos.name is 'Null for a group: its SLO has one.';
comment on column slos.parent_id is 'The SLO that a group belongs to; null for an SLO.';
comment on column slos.group_by is 'The attributes with their scopes: of an SLO those its events are grouped by now, of a group those it was made by.';
comment on column slos.max_groups is 'How many groups with values of their own an SLO may have.';
comment on column slos.group_key is 'First 16 bytes of the SHA-256 of the attributes and values of a group.';
comment on column slos.group_values is 'A value or null per attribute of a group; null for the one group of all values that found no place.';
comment on column slos.declared is 'False once no definition file names it any more, or the SLO of a group is not grouped like that any more.';

alter table workflows add column group_id integer;
comment on column workflows.group_id is 'The group that it is counted in besides its SLO; null if in none, or not in any yet.';
create index workflows_open_of_group on workflows (group_id) where outcome = 0 and group_id is not null;
create index workflows_bad_of_group on workflows (group_id, judged_at) where outcome in (2, 3, 4) and group_id is not null;
