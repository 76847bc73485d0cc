//! Reads messages again and records them.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{ReplayGap, ReplayReport, ReplayRequest, backtest::Backtest, repair::Repair};
use crate::{
    app::{
        body_limits,
        catalog::{CatalogKeeper, InForce},
        database::Database,
        kafka, time_limits,
    },
    clock::{Clock, DatabaseClock, ManualClock},
    config::{DefinitionsConfig, Environment},
    domain::{
        model::{
            ids::Revision,
            time::{TimeRange, Timestamp},
        },
        workflow::{shapes::SharedShapes, watermark::ReplicaId},
    },
    ingest::{
        Ingest, IngestParts,
        kafka::replay::{LogReplay, RemovedMessages, ReplayError, ReplayParts},
        record::Recorder,
    },
    recording::{Committer, KnownLocks, StageKeeper},
    store::{ConnectionUse, Store, Writer},
    telemetry::metrics::{Metrics, by_label},
};

/// The step in which the clock of a backtest follows the log.
const STEP: Duration = Duration::from_secs(1);
/// A repair judges by the clock of the service, so only the size of a batch matters.
const ANY_LENGTH: Duration = Duration::from_hours(1);

/// Reads the range to its end. It joins no consumer group, and moves neither its offsets nor the watermark
/// of a service.
///
/// # Errors
/// The topic cannot be read, or its spans cannot be recorded. What was recorded before the error stays, and
/// is not counted twice when it is read again.
pub async fn replay(request: &ReplayRequest) -> anyhow::Result<ReplayReport> {
    anyhow::ensure!(
        !request.kafka.brokers.is_empty(),
        "name the brokers with `--kafka-brokers`"
    );
    let environment = Environment::read();
    let database = match request.backtest {
        Some(_) => Database::open(&request.database, &environment).await?,
        None => Database::of_service(&request.database, &environment).await?,
    };
    let report = read_into(&database.store, request).await;
    database.close().await?;
    report
}

async fn read_into(store: &Store, request: &ReplayRequest) -> anyhow::Result<ReplayReport> {
    let now = store.now().await?;
    let range = range(request, now)?;
    check_database(store, request).await?;
    let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
    let metrics = Metrics::new()?;
    let recorded = record(store, request, range, &metrics, &tasks, &end).await;
    end.cancel();
    let removed = recorded?;
    tasks.close();
    tasks.wait().await;
    let gap = |removed: RemovedMessages| ReplayGap {
        partition: removed.partition,
        removed: removed.messages,
        until: removed.until,
    };
    Ok(ReplayReport {
        topic: request.kafka.topic.clone(),
        range,
        messages: metrics.kafka.messages(),
        offset_jumps: metrics.kafka.jumps(),
        spans: metrics.spans_received.get(),
        rejected: by_label(&metrics.spans_rejected),
        matched: metrics.spans_matched.get(),
        workflows: metrics.recording.workflows(),
        gaps: removed.into_iter().map(gap).collect(),
    })
}

fn range(request: &ReplayRequest, now: Timestamp) -> anyhow::Result<TimeRange> {
    let from = request.from;
    anyhow::ensure!(
        from < now,
        "`--from` {} is in the future",
        from.to_rfc3339()
    );
    let to = request.to.unwrap_or(now);
    anyhow::ensure!(
        from < to,
        "`--to` {} is not after `--from` {}",
        to.to_rfc3339(),
        from.to_rfc3339()
    );
    Ok(TimeRange::new(from, to.min(now)))
}

/// Checks that the database is empty for a backtest, or that of a service for a repair.
async fn check_database(store: &Store, request: &ReplayRequest) -> anyhow::Result<()> {
    let mut tx = store.begin("read which definitions are active").await?;
    let found = tx.definitions_in_force().await?;
    tx.commit().await?;
    let (is_empty, address) = (found == Revision::default(), store.address());
    anyhow::ensure!(
        is_empty || request.backtest.is_none(),
        "the database `{address}` is that of a service or of an earlier backtest: name an empty one, or leave \
         out `--backtest` to repair it"
    );
    anyhow::ensure!(
        !is_empty || request.backtest.is_some(),
        "no service has run on the database `{address}`: name that of a service, or name definitions with \
         `--backtest`"
    );
    Ok(())
}

/// Records all messages of the range. Returns the partitions that may lack some of it.
async fn record(
    store: &Store,
    request: &ReplayRequest,
    range: TimeRange,
    metrics: &Metrics,
    tasks: &TaskTracker,
    end: &CancellationToken,
) -> anyhow::Result<Vec<RemovedMessages>> {
    let replica = ReplicaId(rand::random());
    let definitions = DefinitionsConfig {
        folder: request.backtest.clone().unwrap_or_default(),
        slo_selector: None,
    };
    let (keeper, in_force) =
        CatalogKeeper::new(definitions, store.clone(), metrics.clone(), replica);
    let log_clock = ManualClock::new(range.from);
    let clock = match request.backtest {
        Some(_) => Clock::Manual(log_clock.clone()),
        None => Clock::Database(DatabaseClock::default()),
    };
    let (watermark, followed) = watch::channel(range.from);
    let committer = committer(store, request, replica, clock, followed, &in_force);
    let (recorder, committing) = Recorder::new(committer.clone(), metrics.recording.clone());
    tasks.spawn(committing.run(end.clone()));
    let parts = ReplayParts {
        config: kafka::settings(&request.kafka),
        trace_consumer: Ingest::new(IngestParts {
            classifier: in_force.classifier,
            recorder,
            clock: committer.clock.clone(),
            limits: time_limits(&request.limits),
            metrics: metrics.clone(),
            shapes: SharedShapes::default(),
        }),
        limits: body_limits(&request.limits),
        metrics: metrics.kafka.clone(),
        from: range.from,
        to: request.to,
        batch_length: request.backtest.as_ref().map_or(ANY_LENGTH, |_| STEP),
    };
    // Before anything is written: what cannot be read leaves an empty database empty.
    let log = LogReplay::begin(parts, tasks).await?;
    let removed = log.removed().to_vec();
    if request.backtest.is_some() {
        let horizon = request.limits.horizon;
        let mut backtest = Backtest::new(committer, log_clock, watermark, range, horizon);
        backtest.begin(keeper, &removed).await?;
        read_by_its_time(log, &mut backtest).await?;
    } else {
        let mut repair = Repair::new(committer, watermark, keeper);
        repair.follow().await?;
        tokio::select! {
            read = read_all(log) => read?,
            () = repair.keep_following() => {}
        }
        repair.follow().await?;
    }
    Ok(removed)
}

fn committer(
    store: &Store,
    request: &ReplayRequest,
    replica: ReplicaId,
    clock: Clock,
    watermark: watch::Receiver<Timestamp>,
    in_force: &InForce,
) -> Committer {
    let store = store.for_use(ConnectionUse::Recording);
    let classifier = in_force.classifier.clone();
    Committer {
        // A random slot, so that it rarely shares that of a replica.
        writer: Writer(rand::random_range(0..1_024)),
        clock,
        watermark,
        catch_up: request.limits.catch_up,
        stages: StageKeeper::new(store.clone(), classifier.clone(), replica),
        classifier,
        store,
        locks: KnownLocks::default(),
    }
}

async fn read_all(mut log: LogReplay<Ingest>) -> Result<(), ReplayError> {
    while let Some(batch) = log.next().await? {
        log.commit(batch).await;
    }
    Ok(())
}

async fn read_by_its_time(
    mut log: LogReplay<Ingest>,
    backtest: &mut Backtest,
) -> anyhow::Result<()> {
    while let Some(batch) = log.next().await? {
        if let Some(times) = batch.times {
            backtest.follow(times).await?;
        }
        log.commit(batch).await;
    }
    backtest.finish().await
}
