-- Alerts may be pending before they fire, and keep what has become of their episode.

alter table alerts drop constraint alerts_state_check;
alter table alerts drop constraint alerts_check;
alter table alerts drop constraint alerts_check1;
alter table alerts drop constraint alerts_check2;

alter table alerts
    add column waits         jsonb,
    add column clear_us      bigint check (clear_us >= 0),
    add column counted_until timestamptz,
    add column flap_count    integer not null default 0 check (flap_count >= 0),
    add column stale_since   timestamptz,
    add column muted         jsonb,
    add column told          jsonb;
update alerts set clear_us = 0, counted_until = clear_since where state = 'recovering';
alter table alerts drop column clear_since;

alter table alerts
    add constraint alerts_state_check
        check (state in ('inactive', 'pending', 'firing', 'recovering')),
    add constraint alerts_episode_check
        check ((state in ('firing', 'recovering')) = (episode is not null)),
    add constraint alerts_rule_check
        check ((state in ('firing', 'recovering')) = (rule is not null)),
    add constraint alerts_waits_check
        check ((state = 'pending') = (waits is not null)),
    add constraint alerts_clear_check
        check ((state = 'recovering') = (clear_us is not null and counted_until is not null)),
    add constraint alerts_progress_check
        check (state in ('firing', 'recovering')
            or (flap_count = 0 and stale_since is null and muted is null and told is null));

comment on column alerts.since is 'When the episode began; of a pending alert, when its first rule began to burn; of an inactive one, when the last episode ended.';
comment on column alerts.waits is 'Of a pending alert: for how long each rule has burned, in evaluated time.';
comment on column alerts.clear_us is 'For how many microseconds of evaluated time no rule has burned; null unless recovering.';
comment on column alerts.counted_until is 'The evaluation up to which clear_us is counted or passed over.';
comment on column alerts.flap_count is 'How often the episode burned again while it seemed to recover.';
comment on column alerts.stale_since is 'Since when nothing is known that a verdict could be made of; null while something is.';
comment on column alerts.muted is 'What has kept something of the episode from people; told when it is over.';
comment on column alerts.told is 'What people were told last of the episode, or would have been: when, customers, budget, data. Null of episodes that began before it was kept.';
