-- What targets are told besides alerts goes through the same outbox.

create table notices (
    id         uuid        primary key,
    kind       text        not null check (kind in ('self_check', 'digest', 'heartbeat', 'test')),
    key        text        not null check (key <> ''),
    episode    uuid        not null,
    at         timestamptz not null,
    content    jsonb       not null,
    created_at timestamptz not null default clock_timestamp()
);
comment on table notices is 'What targets are told that is no transition of an alert: of the service itself, many things at once, that it lives, a test.';
comment on column notices.id is 'What receivers drop repeats by, as that of a transition.';
comment on column notices.kind is 'What sort of thing is told.';
comment on column notices.key is 'What it is about; its deliveries to a target keep their order by it.';
comment on column notices.episode is 'The same from what opens to what resolves; a target refers to it by target_references.';
comment on column notices.at is 'The moment that it tells of.';
comment on column notices.content is 'Frozen at that moment, as facts are in alert_transitions.';
comment on column notices.created_at is 'When the row was written, by the clock of the database.';
create index notices_by_key on notices (key, at desc);

alter table deliveries
    alter column transition_id drop not null,
    add column notice_id uuid references notices (id),
    add constraint deliveries_notice_target unique (notice_id, target),
    add constraint deliveries_one_content check (num_nonnulls(transition_id, notice_id) = 1);
comment on column deliveries.transition_id is 'The transition that is told, unless it is a notice.';
comment on column deliveries.notice_id is 'The notice that is told, unless it is a transition.';
