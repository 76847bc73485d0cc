-- What requests that write need: the key of addresses that act without a login, and what was answered to
-- requests that may be repeated.

create table signing_keys (
    single     boolean     primary key default true check (single),
    key        bytea       not null check (length(key) = 32),
    created_at timestamptz not null
);
comment on table signing_keys is 'The key that addresses in messages are signed with. One row, written by the first replica, shared by all. Whoever can read it can also do what such an address does.';
comment on column signing_keys.single is 'Always true: there is one row.';
comment on column signing_keys.key is 'Random. Deleting the row makes every signed address invalid; the next start makes a new key.';
comment on column signing_keys.created_at is 'When the first replica started.';

create table idempotency_keys (
    request     text        not null,
    key         text        not null check (length(key) between 1 and 255),
    fingerprint text        not null,
    answer      jsonb,
    created_at  timestamptz not null,
    primary key (request, key)
);
comment on table idempotency_keys is 'Requests with an Idempotency-Key, written in the transaction of what they did: a repeated one gets the first answer and does nothing.';
comment on column idempotency_keys.request is 'Method and path: keys are told apart by what they were used for.';
comment on column idempotency_keys.key is 'As the client chose it.';
comment on column idempotency_keys.fingerprint is 'Of the body: the same key with another one is a mistake of the client.';
comment on column idempotency_keys.answer is 'What was answered; null only inside of the transaction.';
comment on column idempotency_keys.created_at is 'Forgotten a day later.';
create index idempotency_keys_old on idempotency_keys (created_at);
