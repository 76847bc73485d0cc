//! Four weeks of a made-up shop with one incident, written straight into the tables.

use std::{collections::BTreeMap, future, sync::Arc, time::Duration};

use axum::Router;
use sqlx::{Connection as _, PgConnection};
use throughline::{
    clock::ManualClock,
    domain::{
        model::{
            ids::Name,
            span::{AttributeName, AttributeScope},
            time::Timestamp,
        },
        slo::{
            AlertRule, Alerting, Catalog, Correlator, Indicator, Severity, Slo, Source,
            SpanIndicator, WorkflowIndicator,
        },
        traceql::Selector,
    },
    server::limits::ConnectionLimits,
    web::{self, DefinitionsStatus, IngestFacts, WebState},
};
use tokio::{
    net::TcpListener,
    sync::{OnceCell, watch},
};

use super::{client, events, people, stages, status, workflow};
use crate::support::{
    database::{DatabaseTemplate, TestDatabase},
    lists,
};

pub(super) const NOW: &str = "2026-11-22T10:08:04Z";

/// How one SLO's traffic looks.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) service: &'static str,
    pub(super) objective: &'static str,
    /// Events per minute.
    volume: f64,
    /// Bad ones of a thousand, on a normal day.
    noise: f64,
    /// Share of bad in the incident: since when (minutes ago), for how long, how bad.
    incidents: &'static [(i32, i32, f64)],
}

pub(super) const SHAPES: [Shape; 7] = [
    Shape {
        name: "orders-on-time",
        title: "Orders are confirmed within five minutes",
        service: "checkout",
        objective: "99.5%",
        volume: 26.0,
        noise: 1.6,
        incidents: &[(44, 44, 0.34), (13_000, 240, 0.11), (26_000, 90, 0.2)],
    },
    Shape {
        name: "refunds-settled",
        title: "Refunds are settled within a day",
        service: "payments",
        objective: "99%",
        volume: 3.0,
        noise: 7.0,
        incidents: &[(9_000, 900, 0.09), (1_700, 1_700, 0.025)],
    },
    Shape {
        name: "invoices-ready",
        title: "Invoices are ready within two minutes",
        service: "billing",
        objective: "99%",
        volume: 8.0,
        noise: 4.0,
        incidents: &[(6, 6, 0.16)],
    },
    Shape {
        name: "fraud-checked",
        title: "Fraud checks take at most ten seconds",
        service: "risk",
        objective: "99.9%",
        volume: 0.0,
        noise: 0.0,
        incidents: &[],
    },
    Shape {
        name: "webhooks-delivered",
        title: "Webhooks are delivered within a minute",
        service: "platform",
        objective: "99.9%",
        volume: 40.0,
        noise: 0.3,
        incidents: &[(20_000, 60, 0.03)],
    },
    Shape {
        name: "stock-synced",
        title: "Stock levels are synced within a minute",
        service: "warehouse",
        objective: "99%",
        volume: 12.0,
        noise: 1.5,
        incidents: &[],
    },
    Shape {
        name: "payouts-sent",
        title: "Payout files are sent by six",
        service: "payments",
        objective: "99.9%",
        volume: 0.002,
        noise: 0.0,
        incidents: &[],
    },
];

/// The SLO of which each span is an event.
const ONE_SPAN: &str = "webhooks-delivered";

pub(super) struct Shop {
    pub(super) router: Router,
    /// What the router was made from.
    pub(super) state: WebState,
    pub(super) clock: ManualClock,
    /// Keeps the database's pool and the watches open.
    pub(super) database: TestDatabase,
    pub(super) definitions: watch::Sender<Arc<DefinitionsStatus>>,
    pub(super) catalog: watch::Sender<Arc<Catalog>>,
}

impl Shop {
    /// The address at which programs reach it, until the end of the test.
    #[expect(clippy::disallowed_methods, reason = "a test has no task tracker")]
    pub(super) async fn serve(&self) -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let limits = ConnectionLimits::of_pages();
        let serving = web::serve(listener, self.state.clone(), limits, future::pending());
        tokio::spawn(serving);
        url
    }
}

/// A service that has never seen a span, with what is declared for it.
pub(super) async fn empty(catalog: Catalog) -> Shop {
    shop(
        TestDatabase::create().await,
        catalog,
        IngestFacts::default(),
    )
}

/// Four weeks of traffic; an incident since 44 minutes.
pub(super) async fn four_weeks() -> Shop {
    static FILLED: OnceCell<DatabaseTemplate> = OnceCell::const_new();
    let database = TestDatabase::copy(FILLED.get_or_init(filled).await).await;
    let facts = IngestFacts {
        spans_received: 18_204_511,
        spans_rejected: 12,
        last_span_at: Some(now() - Duration::from_secs(1)),
    };
    shop(database, catalog(), facts)
}

async fn filled() -> DatabaseTemplate {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    fill(&mut connection).await;
    status::evaluate(&database, &mut connection, &catalog()).await;
    connection.close().await.unwrap();
    database.into_template().await
}

fn shop(database: TestDatabase, catalog: Catalog, facts: IngestFacts) -> Shop {
    let clock = ManualClock::new(now());
    let (catalog_sender, catalog) = watch::channel(Arc::new(catalog));
    let (definitions, receiver) = watch::channel(Arc::new(DefinitionsStatus {
        folder: "slo-definitions".to_owned(),
        loaded_at: Some(now() - Duration::from_hours(24)),
        problems: Vec::new(),
        findings: Vec::new(),
        pending: None,
    }));
    let state = client::web_state(
        database.store.clone(),
        clock.clone(),
        catalog,
        receiver,
        facts,
    );
    Shop {
        router: web::router(state.clone()),
        state,
        clock,
        database,
        definitions,
        catalog: catalog_sender,
    }
}

pub(super) fn now() -> Timestamp {
    Timestamp::parse_rfc3339(NOW).unwrap()
}

pub(super) fn catalog() -> Catalog {
    let slos = SHAPES.iter().map(|shape| {
        let slo = slo(shape);
        (slo.name.clone(), Arc::new(slo))
    });
    Catalog {
        slos: slos.collect(),
        ..Catalog::default()
    }
}

fn slo(shape: &Shape) -> Slo {
    let text = format!(
        "apiVersion: throughline/v1\nkind: SLO\nmetadata:\n  name: {}\n  displayName: {}\nspec:\n  service: {}\n  objective: {}\n  window: 28d\n  indicator:\n    workflow:\n      start:  '{{ name = \"checkout.submit\" && kind = producer }}'\n      finish: '{{ name = \"email.send\" && status != error }}'\n      within: 5m\n      correlate: [span.order.id, trace]\n  customer: span.customer.id\n  notify: {{ page: [oncall], ticket: [team-chat] }}\n",
        shape.name, shape.title, shape.service, shape.objective
    );
    let by_span = || {
        let selector = |text| Selector::parse(text).unwrap();
        let (matches, good) = ("{ name = \"webhook.send\" }", "{ status != error }");
        Indicator::Span(SpanIndicator::new(selector(matches), selector(good)))
    };
    let by_workflow = || {
        Indicator::Workflow(WorkflowIndicator::new(
            Selector::parse("{ name = \"checkout.submit\" }").unwrap(),
            Selector::parse("{ name = \"email.send\" }").unwrap(),
            Duration::from_mins(5),
            vec![Correlator::Trace],
        ))
    };
    let indicator = if shape.name == ONE_SPAN {
        by_span()
    } else {
        by_workflow()
    };
    Slo {
        display_name: shape.title.to_owned(),
        labels: BTreeMap::from([("team".to_owned(), shape.service.to_owned())]),
        description: Some(
            "From the customer's click to the confirmation in the mailbox.".to_owned(),
        ),
        service: Some(shape.service.to_owned()),
        customer: Some(AttributeName {
            scope: AttributeScope::Span,
            key: "customer.id".to_owned(),
        }),
        alerting: Alerting {
            rules: rules(),
            ..Alerting::default()
        },
        runbook: Some("https://runbooks.example.com/orders".to_owned()),
        source: Source {
            file: "orders.yaml".to_owned(),
            line: 1,
            text,
        },
        ..Slo::new(
            shape.name.parse().unwrap(),
            shape.objective.parse().unwrap(),
            Duration::from_hours(28 * 24),
            indicator,
        )
    }
}

fn rules() -> Vec<AlertRule> {
    let rule = |name: &str, severity, factor, long: u64, short: u64| AlertRule {
        name: name.parse::<Name>().unwrap(),
        severity,
        factor,
        long: Duration::from_mins(long),
        short: Duration::from_mins(short),
        pending_for: Duration::ZERO,
    };
    vec![
        rule("fast-burn", Severity::Page, 13.44, 60, 5),
        rule("slow-burn", Severity::Page, 5.6, 360, 30),
        rule("day-burn", Severity::Ticket, 2.8, 1_440, 120),
        rule("trickle", Severity::Ticket, 0.933_333, 4_320, 360),
    ]
}

async fn fill(connection: &mut PgConnection) {
    for sql in [
        "create table event_counts_minute_all partition of event_counts_minute default",
        "create table event_counts_hour_all partition of event_counts_hour default",
        "create table customer_counts_hour_all partition of customer_counts_hour default",
        "create table customer_buckets_day_all partition of customer_buckets_day default",
    ] {
        run(connection, sql).await;
    }
    run(
        connection,
        "create table workflows_1 partition of workflows for values in (1)",
    )
    .await;
    for (shape, id) in SHAPES.iter().zip(1..) {
        sqlx::query("insert into slos (name, first_event_at) values ($1, $2)")
            .bind(shape.name)
            .bind((shape.volume > 0.0).then(|| (now() - Duration::from_hours(40 * 24)).to_chrono()))
            .execute(&mut *connection)
            .await
            .unwrap();
        counts(connection, shape, id).await;
    }
    // The events of an hour are those of its minutes: here all of them of the first one.
    run(connection, "insert into event_counts (slo_id, resolution, bucket, writer, good, late, failed, timeout, cancelled, orphan)
        select slo_id, 60, bucket, 0, good, late, failed, timeout, cancelled, orphan from event_counts hours
        where resolution = 3600 and not exists (
            select 1 from event_counts minutes where minutes.slo_id = hours.slo_id and minutes.resolution = 60
                and minutes.bucket >= hours.bucket and minutes.bucket < hours.bucket + interval '1 hour')").await;
    run(connection, "insert into event_counts (slo_id, resolution, bucket, writer, good, late, failed, timeout, cancelled, orphan, invalid)
        select slo_id, 86400, date_trunc('day', bucket), 0, sum(good), sum(late), sum(failed), sum(timeout), sum(cancelled), sum(orphan), sum(invalid)
        from event_counts where resolution = 3600 group by 1, 3").await;
    workflows(connection).await;
    single_spans(connection).await;
    run(
        connection,
        "insert into correlated_spans values (1, '2026-11-21', 0, 48210), (1, '2026-11-22', 1, 51774)",
    )
    .await;
    people::fill(connection).await;
    stages::fill(connection).await;
    workflow::fill(connection).await;
    lists::fill(connection).await;
    events::fill(connection).await;
    run(connection, "insert into evidence_counts values (1, '2026-11-20', 'too_late', 3), (1, '2026-11-22', 'corrected', 11), (1, '2026-11-21', 'uncorrelated', 2), (1, '2026-11-22', 'uncorrelated', 1040), (1, '2026-11-22', 'no_start_time', 7)").await;
}

async fn run(connection: &mut PgConnection, sql: &'static str) {
    sqlx::query(sql).execute(connection).await.unwrap();
}

/// Minutes for a day, hours before that. The hash of the bucket is the randomness.
async fn counts(connection: &mut PgConnection, shape: &Shape, id: i32) {
    if shape.volume == 0.0 {
        return;
    }
    let from: Vec<i32> = shape.incidents.iter().map(|incident| incident.0).collect();
    let length: Vec<i32> = shape.incidents.iter().map(|incident| incident.1).collect();
    let badness: Vec<f64> = shape.incidents.iter().map(|incident| incident.2).collect();
    let minute = "
        insert into event_counts (slo_id, resolution, bucket, writer, good, late, failed, timeout, cancelled, orphan)
        select $1, $2, bucket, 0, greatest(total - bad, 0), bad - bad / 4 - bad / 5, bad / 4, bad / 5,
               (total * 0.004)::bigint, (dice < 0.02)::int
        from (
            select bucket, dice, total,
                   least(total, floor(total * ($4 / 1000 * 2 * dice + coalesce(hit, 0) * (0.6 + 0.8 * dice)) + dice)::bigint) as bad
            from (
                select bucket, floor($3 * minutes * (1 + 0.45 * sin((extract(epoch from bucket) / 86400 - 0.3) * 2 * pi())) * (0.85 + 0.3 * dice) + dice)::bigint as total, dice,
                       (select max(share * least(1, greatest(0, extract(epoch from bucket - ($5::timestamptz - begun * interval '1 minute'))) / 900 + 0.2))
                        from unnest($6::integer[], $7::integer[], $8::double precision[]) as i(begun, length, share)
                        where bucket >= $5::timestamptz - begun * interval '1 minute' - $2 * interval '1 second'
                          and bucket < $5::timestamptz + (length - begun) * interval '1 minute') as hit
                from (
                    select bucket, $2 / 60 as minutes,
                           ('x' || substr(md5($1::text || bucket::text), 1, 7))::bit(28)::int / 268435456.0 as dice
                    from generate_series($9::timestamptz, $10::timestamptz, $2 * interval '1 second') as bucket
                ) raw
            ) shaped
        ) counted";
    let hour = Duration::from_hours(1);
    let edge = (now() - 26 * hour).floor_to(24 * hour);
    let minute_from = now().floor_to(Duration::from_mins(1));
    for (resolution, first, last) in [
        (3_600, edge - 55 * 24 * hour, edge - hour),
        (60, edge, minute_from),
    ] {
        sqlx::query(minute)
            .bind(id)
            .bind(resolution)
            .bind(shape.volume)
            .bind(shape.noise)
            .bind(now().to_chrono())
            .bind(&from)
            .bind(&length)
            .bind(&badness)
            .bind(first.to_chrono())
            .bind(last.to_chrono())
            .execute(&mut *connection)
            .await
            .unwrap();
    }
    sqlx::query("insert into event_counts (slo_id, resolution, bucket, writer, good, late, failed, timeout, cancelled, orphan, invalid)
        select slo_id, 3600, date_trunc('hour', bucket), 0, sum(good), sum(late), sum(failed), sum(timeout), sum(cancelled), sum(orphan), sum(invalid)
        from event_counts where resolution = 60 and slo_id = $1 group by 1, 3")
        .bind(id)
        .execute(&mut *connection)
        .await
        .unwrap();
}

/// Three bad events of one span each, which have no stages.
async fn single_spans(connection: &mut PgConnection) {
    run(
        connection,
        "create table workflows_5 partition of workflows for values in (5)",
    )
    .await;
    sqlx::query(
        "insert into workflows (slo_id, key, epoch, label, started_at, failed_at, trace_id, trace_rank, outcome, judged_at)
         select 5, gen_random_uuid(), 1, md5('s' || n), at, at + interval '130 milliseconds', md5('s' || n)::uuid, 0, 3, at
         from (select n, $1::timestamptz - n * interval '3 minutes' as at from generate_series(1, 3) n) s",
    )
    .bind(now().to_chrono())
    .execute(&mut *connection)
    .await
    .unwrap();
}

/// 180 bad ones in the last hour, 63 in flight of which some are overdue.
async fn workflows(connection: &mut PgConnection) {
    sqlx::query(
        "insert into workflows (slo_id, key, epoch, label, started_at, succeeded_at, failed_at, within_us, trace_id, trace_rank, customer, outcome, judged_at)
         select 1, gen_random_uuid(), 1, 'ord-' || substr(md5(n::text), 1, 6), started,
                case when n % 4 < 2 then started + interval '5 minutes' + n * interval '4.7 seconds' end,
                case when n % 4 = 2 then started + interval '70 seconds' end,
                300000000, md5('t' || n)::uuid, 0,
                (array['acme-eu','acme-eu','acme-eu','nordwind','nordwind','kaufhof','tinyshop-1182','globex','initech','umbrella'])[1 + n * 7 % 10],
                case n % 4 when 2 then 3 when 3 then 4 else 2 end, started + interval '5 minutes'
         from (select n, $1::timestamptz - n * interval '14 seconds' - interval '5 minutes' as started from generate_series(1, 180) n) s",
    )
    .bind(now().to_chrono())
    .execute(&mut *connection)
    .await
    .unwrap();
    sqlx::query(
        "insert into workflows (slo_id, key, epoch, label, started_at, within_us, trace_id, trace_rank, customer, outcome, due_at)
         select 1, gen_random_uuid(), 1, 'ord-' || substr(md5('o' || n), 1, 6), started, 300000000,
                md5('u' || n)::uuid, 0, (array['acme-eu','nordwind','globex'])[1 + n % 3], 0, started + interval '7 minutes'
         from (select n, $1::timestamptz - n * interval '5.4 seconds' - interval '3 seconds' as started from generate_series(1, 63) n) s",
    )
    .bind(now().to_chrono())
    .execute(&mut *connection)
    .await
    .unwrap();
}
