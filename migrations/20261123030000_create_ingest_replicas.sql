-- Each replica vouches for what it received; ingest_watermark is what all of them vouch for.

create table ingest_replicas (
    id                bigint      primary key,
    up_to             timestamptz not null,
    beat_at           timestamptz not null,
    catching_up_until timestamptz not null
);
comment on table ingest_replicas is 'Processes that receive spans, or did so until they fell silent. One that ends in order takes its row away.';
comment on column ingest_replicas.id is 'Drawn by chance when the process starts.';
comment on column ingest_replicas.up_to is 'Everything up to here has been received by it, as far as senders sent it in time.';
comment on column ingest_replicas.beat_at is 'Its last sign of life, by its own clock.';
comment on column ingest_replicas.catching_up_until is 'Until then its senders are given time to deliver what they kept while it was away.';
