-- Whose experience events are: the customers of each SLO by hour and by day.

create table customer_counts (
    slo_id     integer     not null,
    resolution integer     not null check (resolution in (3600, 86400)),
    bucket     timestamptz not null,
    customer   text        not null check (octet_length(customer) <= 256),
    events     bigint      not null,
    bad        bigint      not null,
    primary key (slo_id, resolution, bucket, customer)
);
comment on table customer_counts is 'Events of each customer per SLO and bucket, each event once at every resolution. A row stays while its bucket is kept, also with no event left: who has a row is counted there for good.';
comment on column customer_counts.resolution is 'Length of the bucket in seconds: hours for short windows, days for long ones.';
comment on column customer_counts.bucket is 'Start of the bucket, by the event time of the verdict.';
comment on column customer_counts.customer is 'What the attribute named by the definition says, cut to 256 bytes.';
comment on column customer_counts.events is 'Good and bad events.';
comment on column customer_counts.bad is 'Bad events of them; the customer is affected while there is one.';

create table customer_buckets (
    slo_id     integer     not null,
    resolution integer     not null check (resolution in (3600, 86400)),
    bucket     timestamptz not null,
    customers  integer     not null default 0,
    overflow_events bigint not null default 0,
    overflow_bad    bigint not null default 0,
    primary key (slo_id, resolution, bucket)
);
comment on table customer_buckets is 'How full a bucket of customer_counts is, and what belongs to customers that found it full. Whoever adds a customer to a bucket holds its row here.';
comment on column customer_buckets.resolution is 'Length of the bucket in seconds.';
comment on column customer_buckets.bucket is 'Start of the bucket.';
comment on column customer_buckets.customers is 'Rows of the bucket in customer_counts; never falls.';
comment on column customer_buckets.overflow_events is 'Good and bad events of all customers without a row of their own.';
comment on column customer_buckets.overflow_bad is 'Bad events of them.';

-- Events that were judged before: a correction must find what it takes out.
create temporary table judged_before on commit drop as
select slo_id, resolution, bucket, customer, count(*) as events,
    count(*) filter (where outcome <> 1) as bad,
    row_number() over (partition by slo_id, resolution, bucket order by customer) as place
from (
    select slo_id, resolution, customer, outcome,
        date_bin(resolution * interval '1 second', judged_at, timestamptz 'epoch') as bucket
    from workflows cross join (values (3600), (86400)) as r (resolution)
    where customer is not null and outcome between 1 and 4
) as judged
group by slo_id, resolution, bucket, customer;

insert into customer_counts (slo_id, resolution, bucket, customer, events, bad)
select slo_id, resolution, bucket, customer, events, bad from judged_before where place <= 10000;

insert into customer_buckets (slo_id, resolution, bucket, customers, overflow_events, overflow_bad)
select slo_id, resolution, bucket, count(*) filter (where place <= 10000),
    coalesce(sum(events) filter (where place > 10000), 0),
    coalesce(sum(bad) filter (where place > 10000), 0)
from judged_before group by slo_id, resolution, bucket;
