-- What people and pipelines tell us of: deploys, flags, notes.

create table happenings (
    id          uuid        primary key,
    kind        text        not null check (kind in ('deploy', 'flag', 'note')),
    at          timestamptz not null,
    title       text        not null check (title <> '' and char_length(title) <= 200),
    service     text        check (service <> '' and char_length(service) <= 200),
    version     text        check (version <> '' and char_length(version) <= 200),
    url         text        check (url ~ '^https?://' and octet_length(url) <= 1500),
    labels      jsonb       not null default '{}' check (jsonb_typeof(labels) = 'object'),
    told_by     text        check (told_by <> '' and char_length(told_by) <= 200),
    recorded_at timestamptz not null
);
comment on table happenings is 'Deploys, flags that were turned, notes: what was told of by POST /api/v1/events and may explain a change. Nothing is judged by them.';
comment on column happenings.id is 'Given when it is recorded.';
comment on column happenings.kind is 'deploy: a version went live; flag: behaviour was switched; note: anything else.';
comment on column happenings.at is 'When it happened, by who told of it.';
comment on column happenings.title is 'One line for people.';
comment on column happenings.service is 'Which service it happened to, as in service.name; null if to all or to none.';
comment on column happenings.version is 'What went live.';
comment on column happenings.url is 'Where there is more of it.';
comment on column happenings.labels is 'Keys and values of the teller''s own.';
comment on column happenings.told_by is 'Who told of it, where a proxy says so.';
comment on column happenings.recorded_at is 'When it was told.';

create index happenings_by_time on happenings (at desc, id);
create index happenings_by_telling on happenings (recorded_at);
