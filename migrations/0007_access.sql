-- Who may do what: API tokens, sessions of browsers, and the log of what was written.

create table api_tokens (
    id          uuid        not null,
    name        text        not null,
    digest      bytea       not null,
    kind        text        not null,
    permissions text[],
    services    text[],
    created_at  timestamptz not null,
    expires_at  timestamptz not null,
    revoked_at  timestamptz,
    constraint api_tokens_pkey primary key (id),
    constraint api_tokens_name_key unique (name),
    constraint api_tokens_digest_key unique (digest),
    constraint api_tokens_name_check check (length(name) between 1 and 100),
    constraint api_tokens_digest_check check (length(digest) = 32),
    constraint api_tokens_kind_check check (kind in ('user', 'sender')),
    constraint api_tokens_permissions_check
        check ((kind = 'user') = (permissions is not null) and cardinality(permissions) > 0),
    constraint api_tokens_services_check check (kind = 'sender' or services is null)
);
comment on table api_tokens is 'Tokens of people, programs and senders of spans. Rows are kept after their end, so that the audit log can be read.';
comment on column api_tokens.id is 'Identity of the token.';
comment on column api_tokens.name is 'Who or what uses the token, as the audit log names it. Never given twice.';
comment on column api_tokens.digest is 'SHA-256 of the token. The token itself is stored nowhere.';
comment on column api_tokens.kind is 'user: for pages and API; sender: for sending spans.';
comment on column api_tokens.permissions is 'Roles, and the SLOs that each is for, as editor or editor@team/payments. Null for senders.';
comment on column api_tokens.services is 'Values of service.name whose spans a sender may send. Null: all.';
comment on column api_tokens.created_at is 'Time at which the token was made.';
comment on column api_tokens.expires_at is 'The token is not accepted from this time on.';
comment on column api_tokens.revoked_at is 'The token is not accepted since this time. Null if it was not revoked.';

create table sessions (
    digest      bytea       not null,
    id          uuid        not null default gen_random_uuid(),
    token_id    uuid,
    subject     text,
    name        text,
    permissions text[],
    id_token    text,
    created_at  timestamptz not null,
    expires_at  timestamptz not null,
    constraint sessions_pkey primary key (digest),
    constraint sessions_id_key unique (id),
    constraint sessions_token_id_fkey foreign key (token_id) references api_tokens (id),
    constraint sessions_digest_check check (length(digest) = 32),
    constraint sessions_token_id_check check (
        (token_id is null) = (subject is not null)
        and num_nulls(subject, name, permissions) in (0, 3) and (token_id is null or id_token is null)),
    constraint sessions_permissions_check check (cardinality(permissions) > 0)
);
comment on table sessions is 'Browsers that are logged in. A logout deletes the row.';
comment on column sessions.digest is 'SHA-256 of the session id in the cookie.';
comment on column sessions.id is 'By which an admin ends the session of somebody else. It opens nothing.';
comment on column sessions.token_id is 'Token that was used to log in. The session ends with it. Null for logins at an OpenID Connect provider.';
comment on column sessions.subject is 'Identity of the user at the provider. Null for logins with a token, as are name, permissions and id_token.';
comment on column sessions.name is 'Name of the user, as the audit log has it.';
comment on column sessions.permissions is 'Roles that the groups of the user had at the login, as in api_tokens.';
comment on column sessions.id_token is 'ID token of the login, by which the provider ends its own session at the logout. Null if it is too long for that.';
comment on column sessions.created_at is 'Time of the login.';
comment on column sessions.expires_at is 'The session is not accepted from this time on, and its row is deleted.';
create index sessions_expires_at_idx on sessions (expires_at);

create table audit_log (
    id         bigint      not null generated always as identity,
    at         timestamptz not null,
    who        text,
    role       text,
    action     text        not null,
    subject    text        not null,
    via        text        not null,
    peer       text,
    outcome    text        not null,
    status     smallint,
    request_id text,
    constraint audit_log_pkey primary key (id),
    constraint audit_log_role_check check (role in ('viewer', 'editor', 'admin')),
    constraint audit_log_via_check check (via in ('page', 'api', 'link', 'command')),
    constraint audit_log_outcome_check check (outcome in ('done', 'rejected', 'failed'))
);
comment on table audit_log is 'Every request to pages and API that writes, every login, and every command that changes tokens.';
comment on column audit_log.id is 'In the order of insertion.';
comment on column audit_log.at is 'Time at which the request arrived.';
comment on column audit_log.who is 'Name of the token, the user of the provider or of the proxy, or the account of the shell. Null if nobody said.';
comment on column audit_log.role is 'Role of the sender. Null for signed links and commands, which need none, and for logins without a role.';
comment on column audit_log.action is 'What was asked for, as silence.create.';
comment on column audit_log.subject is 'Path of the request, or name of the token.';
comment on column audit_log.via is 'page, api, link (signed link of a message) or command.';
comment on column audit_log.peer is 'Address that the request came from. Null for commands.';
comment on column audit_log.outcome is 'done; rejected: wrong or forbidden, nothing was changed; failed: the service could not do it.';
comment on column audit_log.status is 'Status of the response. Null for commands.';
comment on column audit_log.request_id is 'Id of the request, as in the log. Null for commands.';
create index audit_log_at_idx on audit_log (at);
