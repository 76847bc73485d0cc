-- Workflows that only links can tell: where each span's work came from, and the evidence that moves
-- when that becomes known better. Filled only while some SLO correlates by links.

create table span_edges (
    filter      bigint   not null,
    trace_id    uuid     not null,
    span_id     bigint   not null,
    is_link     boolean  not null,
    to_trace_id uuid     not null,
    to_span_id  bigint   not null,
    epoch       integer  not null,
    primary key (filter, trace_id, span_id, is_link, to_trace_id, to_span_id, epoch)
) partition by list (epoch);
comment on table span_edges is 'Where the work of a span came from: each of its links, or its parent if it has none. A root without links has no row.';
comment on column span_edges.filter is 'Which links are followed: a hash of the selector in the definition, 0 for all.';
comment on column span_edges.trace_id is 'The span that links, or whose parent it is.';
comment on column span_edges.span_id is 'Its eight bytes as a number, big-endian.';
comment on column span_edges.is_link is 'False: to the parent.';
comment on column span_edges.to_trace_id is 'What is linked to, or the parent.';
comment on column span_edges.to_span_id is 'Its eight bytes as a number, big-endian.';
comment on column span_edges.epoch is 'The stretch of ingest time, as of workflows; it picks the partition.';

create table link_evidence (
    id       uuid    not null,
    epoch    integer not null,
    slo_id   integer not null,
    filter   bigint  not null,
    trace_id uuid    not null,
    span_id  bigint  not null,
    said     jsonb   not null,
    origins  uuid[]  not null default '{}',
    is_stale boolean not null default true,
    is_cut   boolean not null default false,
    primary key (id, epoch)
) partition by list (epoch);
comment on table link_evidence is 'What single spans say of workflows that only links can tell. A workflow that one of them leaves is made anew of those that remain.';
comment on column link_evidence.id is 'A hash of all that identifies it, so that a span that is sent again is known.';
comment on column link_evidence.epoch is 'The stretch of ingest time, as of workflows; it picks the partition.';
comment on column link_evidence.slo_id is 'The SLO whose selector chose the span.';
comment on column link_evidence.filter is 'Which links that SLO follows, as in span_edges.';
comment on column link_evidence.trace_id is 'The span that says it.';
comment on column link_evidence.span_id is 'Its eight bytes as a number, big-endian.';
comment on column link_evidence.said is 'A workflow of which nothing else is known.';
comment on column link_evidence.origins is 'Traces in which its work began, by what was known when it was placed: the workflows it counts for.';
comment on column link_evidence.is_stale is 'To be placed anew: it is new, or a span that it waited for has come.';
comment on column link_evidence.is_cut is 'Its work began more links away than are followed.';
create index link_evidence_stale on link_evidence (id) where is_stale;
create index link_evidence_origins on link_evidence using gin (origins) with (fastupdate = off);

create table link_waits (
    filter      bigint  not null,
    trace_id    uuid    not null,
    span_id     bigint  not null,
    evidence_id uuid    not null,
    epoch       integer not null,
    primary key (filter, trace_id, span_id, evidence_id, epoch)
) partition by list (epoch);
comment on table link_waits is 'Spans that nothing is known of, and the evidence that is placed anew when one comes. A root never comes, since it leads nowhere.';
comment on column link_waits.filter is 'Which links are followed, as in span_edges.';
comment on column link_waits.trace_id is 'The span that is waited for.';
comment on column link_waits.span_id is 'Its eight bytes as a number, big-endian.';
comment on column link_waits.evidence_id is 'The row of link_evidence that waits.';
comment on column link_waits.epoch is 'The stretch of ingest time, as of workflows; it picks the partition.';

-- Epochs that are open already; those to come bring theirs.
do $$
declare
    open integer;
begin
    for open in select epoch from epochs loop
        execute format('create table span_edges_%s partition of span_edges for values in (%s)', open, open);
        execute format('create table link_evidence_%s partition of link_evidence for values in (%s)', open, open);
        execute format('create table link_waits_%s partition of link_waits for values in (%s)', open, open);
    end loop;
end
$$;
