-- What each target was told last, to hold against how the alerts stand.

create table target_views (
    target        text        not null,
    ordering_key  text        not null,
    transition_id uuid        not null references alert_transitions (id),
    version       bigint      not null,
    shown         text        not null check (shown in ('firing', 'resolved')),
    told_at       timestamptz not null,
    primary key (target, ordering_key)
);
comment on table target_views is 'How each alert stands in the eyes of each target: written when a delivery is settled, read by the reconciler.';
comment on column target_views.target is 'The target by name; it may not be declared any more.';
comment on column target_views.ordering_key is 'As in deliveries.';
comment on column target_views.transition_id is 'The transition that it was told of.';
comment on column target_views.version is 'As in alert_transitions: what is older than what was told changes nothing.';
comment on column target_views.shown is 'firing: from the first word of an episode to its end.';
comment on column target_views.told_at is 'When the target took it.';
create index target_views_firing on target_views (target) where shown = 'firing';
