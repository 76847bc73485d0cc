-- What must be known later on of how a target was told of an episode first: where the message of
-- Slack stands whose thread goes on, and under which routing key PagerDuty knows the alert.

create table target_references (
    target    text        not null,
    episode   uuid        not null,
    reference jsonb       not null,
    told_at   timestamptz not null,
    primary key (target, episode)
);
comment on table target_references is 'How what a target is told later on refers to what it was told first; written when a delivery is settled.';
comment on column target_references.target is 'The target by name; it may not be declared any more.';
comment on column target_references.episode is 'As in alert_transitions.';
comment on column target_references.reference is 'By kind of target; never with a secret in it, only where one is kept and a fingerprint of it.';
comment on column target_references.told_at is 'When this reference was written.';
