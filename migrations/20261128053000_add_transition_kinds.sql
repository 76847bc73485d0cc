-- What is told between the beginning and the end of an episode, and why something was told to nobody.

alter table alert_transitions drop constraint alert_transitions_kind_check;
alter table alert_transitions add constraint alert_transitions_kind_check check (kind in (
    'firing', 'updated', 'data_stopped', 'data_resumed', 'unmuted', 'reminded', 'resolved'));

alter table alert_transitions add column suppression jsonb;
alter table alert_transitions add constraint alert_transitions_suppression_check
    check (suppression is null or jsonb_typeof(suppression) = 'object');
comment on column alert_transitions.kind is 'An episode begins with firing and ends with resolved; the others lie between.';
comment on column alert_transitions.suppression is 'Why it was recorded and told to nobody: held back by another alert, or silenced. Null where people were told.';
