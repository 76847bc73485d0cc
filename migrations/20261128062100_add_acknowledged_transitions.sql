-- That somebody has taken an incident on is told like everything else of it.

alter table alert_transitions drop constraint alert_transitions_kind_check;
alter table alert_transitions add constraint alert_transitions_kind_check check (kind in (
    'firing', 'updated', 'data_stopped', 'data_resumed', 'unmuted', 'reminded', 'acknowledged', 'resolved'));
