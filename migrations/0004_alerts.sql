-- Alerts and their history, silences, incidents, and the changes that may explain them.

create table alerts (
    slo_id        integer     not null,
    severity      text        not null,
    state         text        not null,
    version       bigint      not null default 0,
    episode       uuid,
    since         timestamptz not null,
    began_at      timestamptz,
    rule          text,
    pending_rules jsonb,
    clear_us      bigint,
    counted_until timestamptz,
    flap_count    integer     not null default 0,
    stale_since   timestamptz,
    suppression   jsonb,
    last_notified jsonb,
    constraint alerts_pkey primary key (slo_id, severity),
    constraint alerts_slo_id_fkey foreign key (slo_id) references slos (id),
    constraint alerts_severity_check check (severity in ('page', 'ticket')),
    constraint alerts_state_check check (state in ('inactive', 'pending', 'firing', 'recovering')),
    constraint alerts_episode_check
        check ((state in ('firing', 'recovering')) = (episode is not null)),
    constraint alerts_rule_check check ((state in ('firing', 'recovering')) = (rule is not null)),
    constraint alerts_pending_rules_check check ((state = 'pending') = (pending_rules is not null)),
    constraint alerts_clear_us_check check (clear_us >= 0),
    constraint alerts_counted_until_check
        check ((state = 'recovering') = (clear_us is not null and counted_until is not null)),
    constraint alerts_flap_count_check check (flap_count >= 0),
    constraint alerts_last_notified_check
        check (state in ('firing', 'recovering')
            or (flap_count = 0 and stale_since is null and suppression is null and last_notified is null))
);
comment on table alerts is 'Current state of the alert of each SLO or group and severity. Every change is a compare-and-swap on version.';
comment on column alerts.slo_id is 'The SLO or group.';
comment on column alerts.severity is 'page or ticket.';
comment on column alerts.state is 'inactive; pending: a rule burns, but not for long enough yet; firing; recovering: no rule burns, but not for long enough to resolve.';
comment on column alerts.version is 'Increases with every change.';
comment on column alerts.episode is 'Identifies the time from firing to resolved. Null unless the alert is firing or recovering.';
comment on column alerts.since is 'Firing or recovering: start of the episode. Pending: when the first rule began to burn. Inactive: when the last episode ended.';
comment on column alerts.began_at is 'When the trouble began that the alert fires of, in whole minutes. Null unless it is firing or recovering.';
comment on column alerts.rule is 'Name of the rule that made the alert fire. Null unless it is firing or recovering.';
comment on column alerts.pending_rules is 'For how long each rule has burned, in evaluated time. Null unless the alert is pending.';
comment on column alerts.clear_us is 'For how long no rule has burned, in microseconds of evaluated time. Null unless the alert is recovering.';
comment on column alerts.counted_until is 'Evaluation up to which clear_us is counted. Null unless the alert is recovering.';
comment on column alerts.flap_count is 'How often a rule burned again during the episode while the alert was recovering.';
comment on column alerts.stale_since is 'Since when there have been no usable data to evaluate. Null while there are.';
comment on column alerts.suppression is 'Why notifications of the episode were last suppressed: inhibited by another alert, or silenced. Null if none were since the last notification.';
comment on column alerts.last_notified is 'State at the last notification of the episode, sent or suppressed: time, impact, missing data. Null unless the alert is firing or recovering.';

create table alert_transitions (
    id          uuid        not null,
    slo_id      integer     not null,
    severity    text        not null,
    version     bigint      not null,
    episode     uuid        not null,
    kind        text        not null,
    at          timestamptz not null,
    snapshot    jsonb       not null,
    created_at  timestamptz not null default clock_timestamp(),
    suppression jsonb,
    constraint alert_transitions_pkey primary key (id),
    constraint alert_transitions_slo_id_severity_version_key unique (slo_id, severity, version),
    constraint alert_transitions_slo_id_severity_fkey
        foreign key (slo_id, severity) references alerts (slo_id, severity),
    constraint alert_transitions_kind_check check (kind in (
        'firing', 'updated', 'data_stopped', 'data_resumed', 'unmuted', 'reminded', 'acknowledged',
        'resolved')),
    constraint alert_transitions_suppression_check
        check (suppression is null or jsonb_typeof(suppression) = 'object')
);
comment on table alert_transitions is 'History of alerts: everything that notifications are sent about. Never changed; deleted with the incident, some time after its end.';
comment on column alert_transitions.id is 'Message id that receivers recognise repetitions by.';
comment on column alert_transitions.slo_id is 'The SLO or group.';
comment on column alert_transitions.severity is 'page or ticket.';
comment on column alert_transitions.version is 'Version of the alert after the transition; orders the transitions of one alert.';
comment on column alert_transitions.episode is 'Episode of the alert, from firing to resolved.';
comment on column alert_transitions.kind is 'An episode begins with firing and ends with resolved; the other kinds lie between.';
comment on column alert_transitions.at is 'Time of the evaluation or action that caused the transition.';
comment on column alert_transitions.snapshot is 'Numbers and context as they were at the transition; domain::alerting::snapshot::AlertSnapshot defines the fields.';
comment on column alert_transitions.created_at is 'Database time at which the row was inserted.';
comment on column alert_transitions.suppression is 'Why no notification was sent: inhibited by another alert, or silenced. Null if notifications were sent.';
create index alert_transitions_of_slo_idx on alert_transitions (slo_id, at desc);
create index alert_transitions_recent_idx on alert_transitions (at desc);
create index alert_transitions_of_episode_idx on alert_transitions (episode, version);

create table silences (
    id              uuid          not null,
    matchers        text[]        not null,
    starts          timestamptz[] not null,
    duration_us     bigint        not null,
    ends_at         timestamptz   not null,
    recurrence_rule text,
    time_zone       text,
    reason          text          not null,
    created_by      text,
    created_at      timestamptz   not null,
    ended_at        timestamptz,
    ended_by        text,
    constraint silences_pkey primary key (id),
    constraint silences_matchers_check check (cardinality(matchers) > 0),
    constraint silences_starts_check check (cardinality(starts) > 0),
    constraint silences_duration_us_check check (duration_us > 0),
    constraint silences_ends_at_check check (ends_at > starts[1]),
    constraint silences_time_zone_check check ((recurrence_rule is null) = (time_zone is null)),
    constraint silences_recurrence_rule_check check (recurrence_rule is not null or cardinality(starts) = 1),
    constraint silences_reason_check check (reason <> ''),
    constraint silences_ended_by_check check (ended_by is null or ended_at is not null)
);
comment on table silences is 'Silences: while a period of one lasts, matching alerts are recorded but no notification is sent. Rows are never deleted, because they explain why nobody was notified.';
comment on column silences.id is 'Identifies the silence; derived from the signed link if it was created by one, so that following the link twice has no effect.';
comment on column silences.matchers is 'Matchers such as team="shop"; an alert is silenced if all of them match.';
comment on column silences.starts is 'Starts of the periods, oldest first; one unless the silence repeats.';
comment on column silences.duration_us is 'Duration of each period in microseconds.';
comment on column silences.ends_at is 'End of the last period.';
comment on column silences.recurrence_rule is 'iCalendar recurrence rule (RRULE) that the periods were expanded from. Null unless the silence repeats.';
comment on column silences.time_zone is 'IANA time zone of the recurrence rule. Null unless the silence repeats.';
comment on column silences.reason is 'Why the alerts are silenced, in the author''s words.';
comment on column silences.created_by is 'Author; null if unknown.';
comment on column silences.created_at is 'Time at which the silence was created.';
comment on column silences.ended_at is 'Time at which the silence was ended early. Null if it was not.';
comment on column silences.ended_by is 'Who ended the silence early; null if unknown or not ended early.';
create index silences_in_force_idx on silences ((coalesce(ended_at, ends_at)));

create table acknowledgements (
    episode uuid        not null,
    at      timestamptz not null,
    by      text,
    constraint acknowledgements_pkey primary key (episode)
);
comment on table acknowledgements is 'Acknowledged incidents; an incident is one episode of an alert. The first acknowledgement counts. Deleted with the incident.';
comment on column acknowledgements.episode is 'Episode of the alert, as in alert_transitions.';
comment on column acknowledgements.at is 'Time of the acknowledgement.';
comment on column acknowledgements.by is 'Who acknowledged; null if unknown.';

create table incident_notes (
    id      uuid        not null,
    episode uuid        not null,
    at      timestamptz not null,
    by      text,
    text    text        not null,
    constraint incident_notes_pkey primary key (id),
    constraint incident_notes_text_check check (text <> '')
);
comment on table incident_notes is 'Notes that people wrote on the page of an incident. Deleted with it.';
comment on column incident_notes.id is 'Identifies the note.';
comment on column incident_notes.episode is 'Episode of the alert, as in alert_transitions.';
comment on column incident_notes.at is 'Time at which the note was written.';
comment on column incident_notes.by is 'Author; null if unknown.';
comment on column incident_notes.text is 'Text of the note.';
create index incident_notes_of_episode_idx on incident_notes (episode, at);

create table incident_snapshots (
    episode  uuid        not null,
    kind     text        not null,
    taken_at timestamptz not null,
    snapshot jsonb       not null,
    constraint incident_snapshots_pkey primary key (episode, kind),
    constraint incident_snapshots_kind_check check (kind in ('firing', 'resolved')),
    constraint incident_snapshots_snapshot_check check (jsonb_typeof(snapshot) = 'object')
);
comment on table incident_snapshots is 'Counts around an incident as they were when it began and when it ended, so that retention, corrections and edits of the SLO do not change its page. Deleted with the incident.';
comment on column incident_snapshots.episode is 'Episode of the alert, as in alert_transitions.';
comment on column incident_snapshots.kind is 'Transition that the snapshot belongs to: firing or resolved.';
comment on column incident_snapshots.taken_at is 'Time at which the snapshot was taken.';
comment on column incident_snapshots.snapshot is 'Bad events by reason and burn rates at equal steps; domain::alerting::incident::IncidentSnapshot defines the fields.';

create table change_events (
    id          uuid        not null,
    kind        text        not null,
    at          timestamptz not null,
    title       text        not null,
    service     text,
    version     text,
    url         text,
    labels      jsonb       not null default '{}',
    reported_by text,
    recorded_at timestamptz not null,
    constraint change_events_pkey primary key (id),
    constraint change_events_kind_check check (kind in ('deploy', 'flag', 'note')),
    constraint change_events_title_check check (title <> '' and char_length(title) <= 200),
    constraint change_events_service_check check (service <> '' and char_length(service) <= 200),
    constraint change_events_version_check check (version <> '' and char_length(version) <= 200),
    constraint change_events_url_check check (url ~ '^https?://' and octet_length(url) <= 1500),
    constraint change_events_labels_check check (jsonb_typeof(labels) = 'object'),
    constraint change_events_reported_by_check
        check (reported_by <> '' and char_length(reported_by) <= 200)
);
comment on table change_events is 'Deploys, feature flag changes and notes that were reported through POST /api/v1/events. They may explain an incident; no verdict depends on them.';
comment on column change_events.id is 'Assigned when the event is recorded.';
comment on column change_events.kind is 'deploy: a version went live; flag: behaviour was switched; note: anything else.';
comment on column change_events.at is 'Time of the change, as reported.';
comment on column change_events.title is 'One line for people, at most 200 characters.';
comment on column change_events.service is 'service.name of the changed service, at most 200 characters. Null if the event concerns all services or none.';
comment on column change_events.version is 'Version that went live, at most 200 characters; null if unknown.';
comment on column change_events.url is 'HTTP(S) address with more information, at most 1,500 bytes; null if there is none.';
comment on column change_events.labels is 'Further keys and values of the reporter, as a JSON object.';
comment on column change_events.reported_by is 'Who reported the event, if the proxy vouches for it; at most 200 characters.';
comment on column change_events.recorded_at is 'Time at which the event was recorded.';
create index change_events_at_idx on change_events (at desc, id);
create index change_events_recorded_at_idx on change_events (recorded_at);
