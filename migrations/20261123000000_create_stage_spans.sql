-- What spans say of where the time went, until the workflows they belong to are judged and folded.

create table stage_spans (
    slot       smallint    not null,
    key        uuid        not null,
    piece      bigint      not null,
    slo_id     integer     not null,
    kind       smallint    not null check (kind between 1 and 5),
    from_at    timestamptz not null,
    to_at      timestamptz not null,
    deliver_at timestamptz,
    name       text        not null,
    service    text        not null,
    primary key (key, slo_id, piece, slot),
    check (to_at >= from_at),
    check (octet_length(name) <= 256 and octet_length(service) <= 256)
) partition by list (slot);
comment on table stage_spans is 'Messages sent and taken, and spans of declared stages, by the key of the workflow they may belong to. A copy that arrives on another day is another row; readers see both as one.';
comment on column stage_spans.slot is 'The day of arrival since 1970, modulo 16: the partitions are used in turn, and emptied before their turn comes again.';
comment on column stage_spans.key is 'As in workflows.key: what the correlators of an SLO make of the span.';
comment on column stage_spans.piece is 'Hash of all that the span says, so that a copy is not kept again.';
comment on column stage_spans.slo_id is 'The SLO that declares the stage; 0 for a message, which serves all.';
comment on column stage_spans.kind is '1 producer, 2 consumer; of a declared stage: 3 all of it, 4 its beginning, 5 its end.';
comment on column stage_spans.deliver_at is 'When the sender wanted the message delivered, if not at once.';
comment on column stage_spans.name is 'The queue, or the name of the declared stage.';

create table stage_spans_0 partition of stage_spans for values in (0);
create table stage_spans_1 partition of stage_spans for values in (1);
create table stage_spans_2 partition of stage_spans for values in (2);
create table stage_spans_3 partition of stage_spans for values in (3);
create table stage_spans_4 partition of stage_spans for values in (4);
create table stage_spans_5 partition of stage_spans for values in (5);
create table stage_spans_6 partition of stage_spans for values in (6);
create table stage_spans_7 partition of stage_spans for values in (7);
create table stage_spans_8 partition of stage_spans for values in (8);
create table stage_spans_9 partition of stage_spans for values in (9);
create table stage_spans_10 partition of stage_spans for values in (10);
create table stage_spans_11 partition of stage_spans for values in (11);
create table stage_spans_12 partition of stage_spans for values in (12);
create table stage_spans_13 partition of stage_spans for values in (13);
create table stage_spans_14 partition of stage_spans for values in (14);
create table stage_spans_15 partition of stage_spans for values in (15);
