-- Messages that were published together and share one context: each is a workflow of its own.

create table batch_messages (
    slo_id   integer not null,
    trace_id uuid    not null,
    span_id  bigint  not null,
    message  uuid    not null,
    epoch    integer not null,
    slot     integer not null,
    messages integer,
    said     jsonb,
    primary key (slo_id, trace_id, span_id, message, epoch),
    check ((slot = 0) = (said is not null)),
    check ((slot = 0) = (messages is not null))
) partition by list (epoch);
comment on table batch_messages is 'Which workflow of a batch each message is. The span that published it names none of them, so a message takes the next one when it is first heard of.';
comment on column batch_messages.trace_id is 'The span whose context all messages carry.';
comment on column batch_messages.span_id is 'Its eight bytes as a number, big-endian.';
comment on column batch_messages.message is 'First 16 bytes of the SHA-256 of the message id; all zero for the publication itself.';
comment on column batch_messages.epoch is 'The stretch of ingest time, as of workflows; it picks the partition.';
comment on column batch_messages.slot is 'Counted from 1; 0 for the publication itself.';
comment on column batch_messages.messages is 'How many there are, as the publication says.';
comment on column batch_messages.said is 'What the publication says of each of them: a workflow of which nothing else is known.';

-- Epochs that are open already; those to come bring theirs.
do $$
declare
    open integer;
begin
    for open in select epoch from epochs loop
        execute format('create table batch_messages_%s partition of batch_messages for values in (%s)', open, open);
    end loop;
end
$$;
