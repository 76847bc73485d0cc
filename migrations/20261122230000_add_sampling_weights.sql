-- Spans that stand for others: what events weigh, and how the ends of workflows are sampled.

alter table workflows add column weight bigint;
comment on column workflows.weight is 'How many events its event stands for, in millionths, as it was counted; null where none of its spans was sampled, and it counts itself.';
alter table workflows drop constraint if exists workflows_outcome_check;
alter table workflows add constraint workflows_outcome_check check (outcome >= 0);
comment on column workflows.outcome is '0 open, 1 good, 2 late, 3 failed, 4 timeout, 5 cancelled, 6 orphan, 7 invalid, 8 unobservable.';

alter table event_counts add column unobservable bigint not null default 0;
alter table event_counts add column sampled bigint not null default 0;
alter table event_counts add column unseen_good bigint not null default 0;
alter table event_counts add column unseen_bad bigint not null default 0;
comment on column event_counts.unobservable is 'Workflows without an end, in traces whose end a sampler would have dropped: no events.';
comment on column event_counts.sampled is 'Of good and bad: events whose spans say how likely they were kept.';
comment on column event_counts.unseen_good is 'Good events that the seen ones stand for besides themselves, in millionths.';
comment on column event_counts.unseen_bad is 'Bad events that the seen ones stand for besides themselves, in millionths.';

create table sampling_thresholds (
    slo_id        integer not null,
    day           date    not null,
    end_threshold bigint  not null check (end_threshold between 0 and 72057594037927935),
    drawn_apart   boolean not null,
    primary key (slo_id, day)
);
comment on table sampling_thresholds is 'How the spans that end workflows were sampled, as learned from them day by day. Days, so that one odd span, or a sampler that was made laxer since, is forgotten.';
comment on column sampling_thresholds.end_threshold is 'The highest threshold of the day, of 2^56.';
comment on column sampling_thresholds.drawn_apart is 'Whether ends were drawn by numbers of their own, so that one that was dropped cannot be told from one that never came.';
