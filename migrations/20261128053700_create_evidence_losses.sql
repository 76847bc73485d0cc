-- Workflows without an end, while links of spans that end such were lost: they may have ended.

create table evidence_losses (
    slo_id     integer     not null,
    minute     timestamptz not null check (minute = date_trunc('minute', minute, 'UTC')),
    is_applied boolean     not null default false,
    primary key (slo_id, minute)
);
comment on table evidence_losses is 'Minutes in which spans ended workflows of an SLO and had no room for all of their links, so that some ends are lost. A set: a request that is repeated adds nothing.';
comment on column evidence_losses.slo_id is 'The SLO whose selector chose the spans.';
comment on column evidence_losses.minute is 'Start of the minute, by the time at which the work ended.';
comment on column evidence_losses.is_applied is 'Whether timeouts that were counted before the loss was known have been judged anew.';
create index evidence_losses_new on evidence_losses (slo_id, minute) where not is_applied;

comment on column workflows.outcome is '0 open, 1 good, 2 late, 3 failed, 4 timeout, 5 cancelled, 6 orphan, 7 invalid, 8 unobservable, 9 evidence lost.';

alter table event_counts add column evidence_lost bigint not null default 0;
comment on column event_counts.evidence_lost is 'Workflows without an end, while evidence was lost that it may have been among: no events.';
