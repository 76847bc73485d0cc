-- What is known of an incident besides its transitions: who has taken it on, what people noted, and what
-- the counts looked like. An incident is an episode of an alert. None of it is ever removed.

create table acknowledgements (
    episode uuid        primary key,
    at      timestamptz not null,
    by      text
);
comment on table acknowledgements is 'Episodes that somebody has taken on. The first one counts.';
comment on column acknowledgements.episode is 'As in alert_transitions.';
comment on column acknowledgements.at is 'When somebody took it on.';
comment on column acknowledgements.by is 'As far as somebody vouched for it.';

create table incident_notes (
    id      uuid        primary key,
    episode uuid        not null,
    at      timestamptz not null,
    by      text,
    text    text        not null check (text <> '')
);
comment on table incident_notes is 'What people wrote on the page of an incident.';
comment on column incident_notes.episode is 'As in alert_transitions.';
comment on column incident_notes.at is 'When it was written.';
comment on column incident_notes.by is 'As far as somebody vouched for it.';
comment on column incident_notes.text is 'As it was written.';
create index incident_notes_of_episode on incident_notes (episode, at);

create table incident_pictures (
    episode uuid        not null,
    moment  text        not null check (moment in ('firing', 'resolved')),
    at      timestamptz not null,
    picture jsonb       not null check (jsonb_typeof(picture) = 'object'),
    primary key (episode, moment)
);
comment on table incident_pictures is 'The counts around an incident as they were when it began and when it ended, so that retention, corrections and edits of the SLO cannot change its page.';
comment on column incident_pictures.episode is 'As in alert_transitions.';
comment on column incident_pictures.moment is 'Of which transition.';
comment on column incident_pictures.at is 'When it was taken.';
comment on column incident_pictures.picture is 'Bad events by reason and burn rates at equal steps; domain::incident has its form.';

create index alert_transitions_of_episode on alert_transitions (episode, version);
