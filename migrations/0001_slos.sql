-- SLOs as the definition files declare them, their groups, and the last evaluation of each.

create table slos (
    id                 integer     generated always as identity,
    name               text,
    declared           boolean     not null default true,
    first_event_at     timestamptz,
    has_ended          boolean     not null default false,
    finish             text,
    finish_since       timestamptz,
    finish_matched     boolean     not null default true,
    next_evaluation_at timestamptz not null default '-infinity',
    unchanged_at       timestamptz,
    unchanged_until    timestamptz,
    counts_hash        bigint      not null default 0,
    created_at         timestamptz not null default clock_timestamp(),
    parent_id          integer,
    group_by           jsonb,
    max_groups         integer,
    group_key          uuid,
    group_values       jsonb,
    is_tracked         boolean     not null default true,
    constraint slos_pkey primary key (id),
    constraint slos_name_key unique (name),
    constraint slos_parent_id_group_key_key unique (parent_id, group_key),
    constraint slos_parent_id_fkey foreign key (parent_id) references slos (id),
    constraint slos_finish_since_check check ((finish is null) = (finish_since is null)),
    constraint slos_name_check check ((name is null) = (parent_id is not null)),
    constraint slos_group_by_check check (parent_id is null or group_by is not null),
    constraint slos_max_groups_check check (max_groups between 1 and 1000),
    constraint slos_max_groups_group_by_check
        check ((max_groups is null) = (group_by is null or parent_id is not null)),
    constraint slos_group_key_check check ((group_key is null) = (parent_id is null)),
    constraint slos_group_values_check check (group_values is null or parent_id is not null),
    constraint slos_is_tracked_check check (is_tracked or group_values is not null)
);
comment on table slos is 'One row per SLO name ever declared, and one per group of an SLO. Rows are never deleted, so history and alert state survive edits and removal.';
comment on column slos.id is 'Identifies the SLO or group in all other tables (slo_id, group_id). Starts at 1; 0 means no SLO.';
comment on column slos.name is 'Name in the definition file. Null for a group, which shares the name of its SLO.';
comment on column slos.declared is 'False when no definition file contains the SLO any more. For a group: false also when the SLO groups its events differently, or when the group is not tracked.';
comment on column slos.first_event_at is 'Time of the earliest good or bad event ever counted, under any definition of the SLO. Null before the first event. Rules do not fire before it is older than their short window.';
comment on column slos.has_ended is 'Whether an end was ever joined with a start, under any definition of the SLO. Never becomes false again. Until it is true the SLO pages nobody, because the selectors or ids may be wrong. Not used for a group.';
comment on column slos.finish is 'Selector of the spans that finish the SLO''s workflows, as the definition in force has it. Null for a group and for an SLO of single spans.';
comment on column slos.finish_since is 'Time from which the selector is in force.';
comment on column slos.finish_matched is 'Whether a workflow that started under the selector has finished. True also of the first selector of an SLO. While it is false, messages say since when.';
comment on column slos.next_evaluation_at is 'Evaluation claim: the replica that moves this time forward evaluates the SLO.';
comment on column slos.unchanged_at is 'Last time at which the SLO and its groups were evaluated, or found unchanged since then. Null before the first evaluation whose result lasts, and for a group.';
comment on column slos.unchanged_until is 'Time before which another evaluation would have the same result if no rows of counts changed. Null if every evaluation may have another, and for a group.';
comment on column slos.counts_hash is 'Hash of the versions of the rows of counts at the evaluation of which unchanged_until is the result: while it is the same, nothing was counted.';
comment on column slos.created_at is 'Database time at which the row was inserted.';
comment on column slos.parent_id is 'SLO that the group belongs to. Null for an SLO.';
comment on column slos.group_by is 'Attributes with their scopes, as a JSON array of strings: for an SLO the current grouping, for a group the grouping that it was created under. Null for an SLO without groups.';
comment on column slos.max_groups is 'Maximum number of groups with values of their own, 1 to 1,000. Null for a group and for an SLO without groups.';
comment on column slos.group_key is 'First 16 bytes of the SHA-256 of the group''s attributes and values. Null for an SLO.';
comment on column slos.group_values is 'Value or null for each attribute in group_by, as a JSON array. Null for an SLO, and for the one group that collects all values beyond max_groups.';
comment on column slos.is_tracked is 'Whether the group counts towards max_groups. Becomes false when the group has had no event for the SLO''s window, which makes room for another group; its counts stay, and it is tracked again on its next event if there is room.';

create table slo_statuses (
    slo_id       integer     not null,
    evaluated_at timestamptz not null,
    state        text        not null,
    status       json        not null,
    steady_ticks smallint    not null default 2,
    kept_at      timestamptz,
    constraint slo_statuses_pkey primary key (slo_id),
    constraint slo_statuses_slo_id_fkey foreign key (slo_id) references slos (id)
);
comment on table slo_statuses is 'Latest evaluation of each SLO and group: what the overview shows and what the alerts were decided on.';
comment on column slo_statuses.slo_id is 'The SLO or group that was evaluated.';
comment on column slo_statuses.evaluated_at is 'End of the evaluated windows.';
comment on column slo_statuses.state is 'State in one word, as in status: a change of it is kept in past_statuses.';
comment on column slo_statuses.status is 'Counts, burn rates, error budget and rule states at that time; domain::alerting::status::SloStatus defines the fields. Not jsonb, which takes several times as long to write, and is only read whole.';
comment on column slo_statuses.steady_ticks is 'As in status: consecutive evaluations that were on time, up to two.';
comment on column slo_statuses.kept_at is 'evaluated_at of the newest row of the SLO or group in past_statuses. Null before the first.';

create table past_statuses (
    slo_id       integer     not null,
    evaluated_at timestamptz not null,
    status       json        not null,
    constraint past_statuses_pkey primary key (slo_id, evaluated_at),
    constraint past_statuses_slo_id_fkey foreign key (slo_id) references slos (id)
);
comment on table past_statuses is 'Evaluations that are kept so that pages can show an earlier moment as it was known then: one at each change of state, one an hour while nothing burns, and one a minute otherwise. Deleted after 90 days.';
comment on column past_statuses.slo_id is 'The SLO or group that was evaluated.';
comment on column past_statuses.evaluated_at is 'End of the evaluated windows.';
comment on column past_statuses.status is 'As in slo_statuses.';
create index past_statuses_old_idx on past_statuses (evaluated_at);

create table definition_sets (
    number        integer     not null,
    in_force_from timestamptz not null,
    files         jsonb       not null,
    constraint definition_sets_pkey primary key (number),
    constraint definition_sets_number_check check (number > 0)
);
comment on table definition_sets is 'Sets of valid definition files in the order in which they came into force. All replicas work by the newest. A workflow is judged by the set that was in force when it started, so the last 64 are kept.';
comment on column definition_sets.number is 'Revision: 1 for the first set, then counted up by one.';
comment on column definition_sets.in_force_from is 'Time from which the set is in force, until that of the next one.';
comment on column definition_sets.files is 'JSON array of [path, text] pairs.';
