-- A delivery may end without being told or given up; another target may stand in for its own; and all
-- replicas share what they know of how much a target takes.

alter table deliveries
    drop constraint deliveries_state_check,
    drop constraint deliveries_check1,
    add constraint deliveries_state_check check (
        state in ('pending', 'leased', 'delivered', 'dead', 'collapsed', 'expired', 'cancelled')),
    add constraint deliveries_settled_check check (
        (state in ('pending', 'leased')) = (settled_at is null)),
    add column stands_in_for text,
    add column handed_over_at timestamptz,
    -- One hop: who stands in for another is not stood in for.
    add constraint deliveries_one_hop_check check (stands_in_for is null or handed_over_at is null),
    add constraint deliveries_stand_in_check check (stands_in_for <> target);
comment on column deliveries.state is 'collapsed: over before it could be told; expired: never tried and too old; cancelled: its target was removed.';
comment on column deliveries.stands_in_for is 'The target that the message was meant for, if this one is its fallback.';
comment on column deliveries.handed_over_at is 'When the fallback of the target was made to tell it as well; null if it was not.';
create index deliveries_dead on deliveries (target, settled_at) where state = 'dead';
create index deliveries_settled on deliveries (state, id desc) where state not in ('pending', 'leased', 'delivered');

alter table target_states
    drop column failures,
    add column state text not null default 'well' check (state in ('well', 'failing', 'broken')),
    add column since timestamptz,
    add column failed_at timestamptz,
    add column failures integer not null default 0 check (failures >= 0),
    add column openings integer not null default 0 check (openings >= 0),
    add column probing_until timestamptz,
    add column paid_until timestamptz not null default '-infinity',
    add check ((state = 'well') = (since is null)),
    add check ((state = 'well') = (failed_at is null)),
    add check ((state = 'failing') = (openings > 0)),
    add check (state = 'well' or (failures = 0)),
    add check (state <> 'well' or probing_until is null);
comment on table target_states is 'What all replicas must know of a target: how much it takes now.';
comment on column target_states.not_before is 'Until when it asked to be left alone.';
comment on column target_states.state is 'failing: the circuit breaker is open; broken: somebody must mend its configuration.';
comment on column target_states.since is 'Since when it is failing or broken.';
comment on column target_states.failed_at is 'The last failure; the next probe is due so long after it.';
comment on column target_states.failures is 'In a row, while well: so many more open the breaker.';
comment on column target_states.openings is 'Probes in a row that found it failing; each doubles the pause.';
comment on column target_states.probing_until is 'Until when a single delivery may be under way that shows whether it is well again.';
comment on column target_states.paid_until is 'Until when what was sent is paid for by the pace of its kind.';
