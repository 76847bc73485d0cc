-- From counts to a person told: status, alert states, transitions, and the outbox of deliveries.

create table slo_statuses (
    slo_id       integer     primary key references slos (id),
    evaluated_at timestamptz not null,
    status       jsonb       not null
);
comment on table slo_statuses is 'The last evaluation of each SLO: what the overview shows and the alerts saw.';

create table alerts (
    slo_id     integer     not null references slos (id),
    severity   text        not null check (severity in ('page', 'ticket')),
    state      text        not null check (state in ('inactive', 'firing', 'recovering')),
    version    bigint      not null default 0,
    episode    uuid,
    since      timestamptz not null,
    clear_since timestamptz,
    rule       text,
    primary key (slo_id, severity),
    check ((state = 'inactive') = (episode is null)),
    check ((state = 'inactive') = (rule is null)),
    check ((state = 'recovering') = (clear_since is not null))
);
comment on table alerts is 'The state machine of each SLO and severity. Every change is a compare-and-swap on version.';
comment on column alerts.episode is 'One uninterrupted trouble, from firing to resolved.';
comment on column alerts.since is 'When the episode began; of an inactive alert, when the last one ended.';
comment on column alerts.rule is 'The rule that made it fire.';
comment on column alerts.clear_since is 'Evaluated time since when no rule burns; null unless recovering.';

create table alert_transitions (
    id         uuid        primary key,
    slo_id     integer     not null,
    severity   text        not null,
    version    bigint      not null,
    episode    uuid        not null,
    kind       text        not null check (kind in ('firing', 'resolved')),
    at         timestamptz not null,
    facts      jsonb       not null,
    created_at timestamptz not null default clock_timestamp(),
    unique (slo_id, severity, version),
    foreign key (slo_id, severity) references alerts (slo_id, severity)
);
comment on table alert_transitions is 'The history of alerts; facts are frozen at the moment of the transition.';
create index alert_transitions_of_slo on alert_transitions (slo_id, at desc);
create index alert_transitions_recent on alert_transitions (at desc);

create table deliveries (
    id              bigint      generated always as identity primary key,
    transition_id   uuid        not null references alert_transitions (id),
    target          text        not null,
    ordering_key    text        not null,
    priority        smallint    not null,
    state           text        not null check (state in ('pending', 'leased', 'delivered', 'dead')),
    attempts        integer     not null default 0,
    next_attempt_at timestamptz not null,
    lease_until     timestamptz,
    lease_token     bigint      not null default 0,
    created_at      timestamptz not null default clock_timestamp(),
    retries_since   timestamptz not null,
    settled_at      timestamptz,
    unique (transition_id, target),
    check ((state = 'leased') = (lease_until is not null)),
    check ((state in ('delivered', 'dead')) = (settled_at is not null))
);
comment on table deliveries is 'The outbox: the duty to tell one target of one transition, written in the transaction of the transition.';
comment on column deliveries.ordering_key is 'SLO and severity: of one key and target the oldest open delivery goes first.';
comment on column deliveries.priority is '0 page, 1 ticket.';
comment on column deliveries.lease_token is 'Raised by every claim; who settles with an older one has lost the lease.';
comment on column deliveries.retries_since is 'When the present round of tries began: creation, or the last requeue of a dead one. It is given up so long after.';
create index deliveries_due on deliveries (target, next_attempt_at) where state in ('pending', 'leased');
create index deliveries_head on deliveries (target, ordering_key, id) where state in ('pending', 'leased');

create table delivery_attempts (
    delivery_id bigint      not null references deliveries (id),
    attempt     integer     not null,
    started_at  timestamptz not null,
    duration_ms integer     not null,
    class       text        not null,
    http_status integer,
    excerpt     text,
    retry_at    timestamptz,
    primary key (delivery_id, attempt)
);
comment on table delivery_attempts is 'One try each: when, how it ended, and at most 256 bytes of the answer with secrets removed.';

create table target_states (
    target     text        primary key,
    not_before timestamptz not null default '-infinity',
    failures   integer     not null default 0
);
comment on table target_states is 'What all replicas must know of a target: until when it asked to be left alone, failures in a row.';
