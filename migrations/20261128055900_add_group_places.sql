-- Groups without events give up their places, so that values that come and go do not fill them all.

alter table slos
    add column has_place boolean not null default true,
    add constraint slos_has_place_check check (has_place or group_values is not null);
comment on column slos.has_place is 'False for a group that had no events for longer than its SLO''s window, so that another may be told apart: it is not declared, its counts stay, and it gets a place again with its next event while there is one.';
