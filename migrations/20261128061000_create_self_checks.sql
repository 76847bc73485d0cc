-- The service watches itself: signs of life of all replicas, what is wrong, and the heartbeat.

create table self_checks (
    key        text        primary key check (key <> ''),
    version    bigint      not null,
    phase      text        not null check (phase in ('well', 'suspect', 'open', 'recovering')),
    since      timestamptz not null,
    episode    uuid,
    opened_at  timestamptz,
    severity   text        not null check (severity in ('page', 'ticket')),
    title      text        not null,
    told       text[]      not null default '{}',
    check ((phase in ('open', 'recovering')) = (episode is not null)),
    check ((episode is null) = (opened_at is null))
);
comment on table self_checks is 'What is or was wrong with the service itself. Every change is a compare-and-swap on version.';
comment on column self_checks.key is 'What it is about, as in notices.';
comment on column self_checks.version is 'Rises by one with every change.';
comment on column self_checks.phase is 'Suspect and recovering are waits before people are told.';
comment on column self_checks.since is 'When the phase began.';
comment on column self_checks.episode is 'From opened to resolved, as in notices.';
comment on column self_checks.opened_at is 'When people were told of it.';
comment on column self_checks.severity is 'How urgent it was when it was found.';
comment on column self_checks.title is 'What is wrong, in one sentence.';
comment on column self_checks.told is 'Targets that were told that it opened: they are told that it is over.';

create table heartbeats (
    only_row     boolean     primary key default true check (only_row),
    claimed_at   timestamptz not null default 'epoch',
    sent_at      timestamptz,
    withheld     text[]      not null default '{}',
    last_span_at timestamptz,
    outages      bigint      not null default 0
);
comment on table heartbeats is 'The signs that this service gives of itself, one row for all replicas.';
comment on column heartbeats.only_row is 'There is one row.';
comment on column heartbeats.claimed_at is 'Which replica looks next is decided by this: one of all, once in an interval.';
comment on column heartbeats.sent_at is 'When the heartbeat was last written into the outbox.';
comment on column heartbeats.withheld is 'Why it was not, when it was last looked at; empty if it was.';
comment on column heartbeats.last_span_at is 'When the last span arrived at any replica, to some seconds.';
comment on column heartbeats.outages is 'Outages of the database that were told and are over: all replicas tell one under one id.';
insert into heartbeats default values;

alter table ingest_replicas
    add column clock_ahead_ms bigint not null default 0,
    add column signed_at timestamptz not null default clock_timestamp();
comment on column ingest_replicas.clock_ahead_ms is 'By how much its clock is ahead of the database''s.';
comment on column ingest_replicas.signed_at is 'Its last sign of life, by the clock of the database.';
