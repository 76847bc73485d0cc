-- Silences: alerts that people do not want to be told of for a while.

create table silences (
    id         uuid          primary key,
    matchers   text[]        not null check (cardinality(matchers) > 0),
    starts     timestamptz[] not null check (cardinality(starts) > 0),
    lasts_us   bigint        not null check (lasts_us > 0),
    ends_at    timestamptz   not null,
    rule       text,
    time_zone  text,
    reason     text          not null check (reason <> ''),
    created_by text,
    created_at timestamptz   not null,
    ended_at   timestamptz,
    ended_by   text,
    check ((rule is null) = (time_zone is null)),
    check (rule is not null or cardinality(starts) = 1),
    check (ends_at > starts[1]),
    check (ended_by is null or ended_at is not null)
);
comment on table silences is 'Alerts that match are recorded and told to nobody while one of its stretches lasts. Rows are kept: they explain why nobody was told.';
comment on column silences.matchers is 'As `team="shop"`; all of them must match.';
comment on column silences.starts is 'When each stretch begins, oldest first; one unless it repeats.';
comment on column silences.lasts_us is 'How long each stretch lasts, in microseconds.';
comment on column silences.ends_at is 'The end of the last stretch.';
comment on column silences.rule is 'The recurrence rule of iCalendar that the stretches come from.';
comment on column silences.time_zone is 'By whose clocks the rule is followed.';
comment on column silences.reason is 'Why nobody is to be told, for whoever looks for an alert that did not come.';
comment on column silences.created_by is 'As far as somebody vouched for it.';
comment on column silences.created_at is 'When it was asked for.';
comment on column silences.ended_at is 'When somebody ended it before its time.';
comment on column silences.ended_by is 'As created_by.';
create index silences_in_force on silences ((coalesce(ended_at, ends_at)));
