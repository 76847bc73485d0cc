-- How many of the spans that an SLO selects can be told apart by workflow.

create table correlated_spans (
    slo_id integer  not null,
    day    date     not null,
    writer smallint not null,
    count  bigint   not null,
    primary key (slo_id, day, writer)
);
comment on table correlated_spans is 'Spans that speak of a workflow, by SLO and day; evidence_counts has those that could not be used. A repeated request may count again.';
comment on column correlated_spans.slo_id is 'The SLO whose selectors chose the spans.';
comment on column correlated_spans.day is 'When they arrived.';
comment on column correlated_spans.writer is 'Slot of the replica that wrote it, so that replicas do not wait for each other.';
comment on column correlated_spans.count is 'A span in two roles counts twice.';
