//! The lists of workflows, as they follow from the workflows: written for tests that write workflows
//! straight into their table, and compared with at the end of every other test.

use sqlx::PgConnection;

const FILL: &str = "
    create table if not exists bad_workflows_others partition of bad_workflows default;
    create table if not exists sampled_workflows_others partition of sampled_workflows default;
    delete from deadlines; delete from open_counts; delete from bad_workflows; delete from sampled_workflows;
    insert into deadlines (slo_id, epoch, due_second, started_second, keys)
    select slo_id, epoch, date_trunc('second', due_at), date_trunc('second', started_at), array_agg(key)
    from workflows where due_at is not null group by 1, 2, 3, 4;
    insert into open_counts (slo_id, started_from, length_us, within_us, writer, workflows)
    select id, to_timestamp(floor(extract(epoch from started_at) * 1000000 / length) * length / 1000000),
        length, within_us, 0, count(*)
    from (select *, 1::bigint << floor(log(2.0, within_us / 64))::integer as length from workflows
            where outcome = 0 and started_at is not null and within_us is not null) as w
        cross join lateral unnest(array[slo_id, group_id]) as counted (id)
    where id is not null group by 1, 2, 3, 4;
    insert into bad_workflows (slo_id, judged_at, key, epoch, outcome, group_id, customer, is_shared,
        started_at, ended_at)
    select slo_id, judged_at, key, epoch, outcome, group_id, customer, details->'shared' is not null,
        started_at, coalesce(succeeded_at, failed_at, late_at, cancelled_at)
    from workflows where outcome in (2, 3, 4);
    insert into sampled_workflows (slo_id, judged_at, key, epoch)
    select slo_id, judged_at, key, epoch from workflows
    where judged_at is not null and details->'attributes' is not null;";

/// What differs, and where.
const DIFFERENCES: &str = "
    with bad as (
        select slo_id, judged_at, key, epoch, outcome, group_id, customer,
            details->'shared' is not null as is_shared, started_at,
            coalesce(succeeded_at, failed_at, late_at, cancelled_at) as ended_at
        from workflows where outcome in (2, 3, 4)),
    listed_bad as (
        select slo_id, judged_at, key, epoch, outcome, group_id, customer, is_shared, started_at, ended_at
        from bad_workflows),
    sampled as (
        select slo_id, judged_at, key, epoch from workflows
        where judged_at is not null and details->'attributes' is not null),
    open as (
        select id, count(*) as workflows
        from workflows cross join lateral unnest(array[slo_id, group_id]) as counted (id)
        where outcome = 0 and started_at is not null and within_us is not null and id is not null group by id),
    counted as (
        select slo_id as id, sum(workflows) as workflows from open_counts group by 1 having sum(workflows) <> 0)
    select 'bad and not in the list: ' || b::text from (select * from bad except select * from listed_bad) b
    union all
    select 'not bad and in the list: ' || b::text from (select * from listed_bad except select * from bad) b
    union all
    select 'sampled and not in the list: ' || s::text
    from (select * from sampled except select slo_id, judged_at, key, epoch from sampled_workflows) s
    union all
    select 'not sampled and in the list: ' || s::text
    from (select slo_id, judged_at, key, epoch from sampled_workflows except select * from sampled) s
    union all
    select 'open workflows and their number: ' || o::text || c::text
    from open o full join counted c using (id) where o.workflows is distinct from c.workflows
    union all
    select 'open without a deadline: ' || w.key from workflows w
    where outcome = 0 and due_at is not null and not exists (
        select 1 from deadlines d where d.slo_id = w.slo_id and d.epoch = w.epoch
            and d.due_second <= w.due_at and w.key = any (d.keys))";

/// Writes the lists of all workflows anew.
pub(crate) async fn fill(connection: &mut PgConnection) {
    let filled = sqlx::raw_sql(FILL).execute(connection).await;
    filled.expect("the lists can be written");
}

/// Returns what the lists have otherwise than the workflows.
pub(crate) async fn differences(connection: &mut PgConnection) -> Vec<String> {
    let differences = sqlx::query_scalar(DIFFERENCES).fetch_all(connection).await;
    differences.expect("the lists can be read")
}
