//! Three replicas of the stations that record and judge, over one database, by one driven clock.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use throughline::{
    clock::{Clock, ManualClock},
    domain::{
        model::{
            ids::{Name, SloId},
            span::Span,
            time::{TimeRange, Timestamp},
        },
        slo::{
            Catalog,
            definition::{DefinitionFile, load},
        },
        workflow::{
            classify::{ClassifiedBatch, Classifier},
            watermark::{OutageLimits, ReplicaId},
        },
    },
    evaluate::{overdue::DeadlineScan, resolve_links::LinkResolver},
    ingest::record::Recorder,
    recording::{Committer, KnownLocks, StageKeeper},
    store::{Store, StoreError, Writer},
    telemetry::metrics::Metrics,
};
use tokio::{
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use super::{
    contract::{ALL, Contract},
    op::{REPLICAS, Request, Step},
};
use crate::support::database::TestDatabase;

const HORIZON: Duration = Duration::from_hours(168);
const LIMITS: OutageLimits = OutageLimits {
    silence: Duration::from_mins(6),
    catch_up: Duration::from_mins(5),
};
/// More than ever happen while nothing is to be killed.
const IMMORTAL: i64 = i64::MAX;
const AT_ONCE: usize = 150;

/// The database, and what runs on it. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct TestBench(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    database: TestDatabase,
    clock: ManualClock,
    classifier: watch::Sender<Arc<Classifier>>,
    replicas: Mutex<Vec<Replica>>,
    started: AtomicI64,
}

#[derive(Debug)]
struct Replica {
    id: ReplicaId,
    recorder: Recorder,
    overdue: DeadlineScan,
    unplaced: LinkResolver,
    store: Store,
    watermark: watch::Sender<Timestamp>,
    breaths: Arc<AtomicI64>,
    recording: JoinHandle<Option<()>>,
}

/// What can be killed wherever it waits: it has so many breaths left, each good for one poll.
struct Mortal<F> {
    living: Pin<Box<F>>,
    breaths: Arc<AtomicI64>,
}

impl<F: Future> Future for Mortal<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.breaths.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Poll::Ready(None);
        }
        self.living.as_mut().poll(context).map(Some)
    }
}

fn mortal<F: Future>(living: F, breaths: &Arc<AtomicI64>) -> Mortal<F> {
    Mortal {
        living: Box::pin(living),
        breaths: Arc::clone(breaths),
    }
}

impl TestBench {
    /// With all SLOs, ready for events in `range`.
    pub(super) async fn new(range: TimeRange) -> Self {
        let database = TestDatabase::create().await;
        let (catalog, ids) = declare(&database.store).await;
        let mut tx = database.store.begin("prepare").await.unwrap();
        tx.ensure_epoch(range.from, HORIZON).await.unwrap();
        tx.ensure_count_partitions(range).await.unwrap();
        tx.commit().await.unwrap();
        let world = Self(Arc::new(Parts {
            database,
            clock: ManualClock::new(range.from),
            classifier: watch::Sender::new(Arc::new(Classifier::new(&catalog, &ids))),
            replicas: Mutex::default(),
            started: AtomicI64::new(0),
        }));
        for place in 0..REPLICAS {
            let replica = world.start(place);
            world.0.replicas.lock().unwrap().push(replica);
        }
        world
    }

    pub(super) fn database(&self) -> &TestDatabase {
        &self.0.database
    }

    /// How many replicas died.
    pub(super) fn deaths(&self) -> usize {
        usize::try_from(self.0.started.load(Ordering::SeqCst)).unwrap() - REPLICAS
    }

    /// A replica with connections and memory of its own.
    #[expect(clippy::disallowed_methods, reason = "a test has no task tracker")]
    fn start(&self, place: usize) -> Replica {
        let store = Store::new(self.0.database.options.clone(), 8);
        let writer = Writer(i16::try_from(place).unwrap());
        let watermark = watch::Sender::new(Timestamp::UNIX_EPOCH);
        let id = ReplicaId(self.0.started.fetch_add(1, Ordering::SeqCst));
        let stages = StageKeeper::new(store.clone(), self.0.classifier.subscribe(), id);
        let committer = Committer {
            store: store.clone(),
            writer,
            clock: Clock::Manual(self.0.clock.clone()),
            classifier: self.0.classifier.subscribe(),
            watermark: watermark.subscribe(),
            catch_up: LIMITS.catch_up,
            stages,
            locks: KnownLocks::default(),
        };
        let (recorder, run) = Recorder::new(committer, Metrics::new().unwrap().recording);
        let breaths = Arc::new(AtomicI64::new(IMMORTAL));
        Replica {
            id,
            recorder,
            overdue: DeadlineScan {
                store: store.clone(),
                writer,
                classifier: self.0.classifier.subscribe(),
                catch_up: LIMITS.catch_up,
            },
            unplaced: LinkResolver {
                store: store.clone(),
                writer,
                classifier: self.0.classifier.subscribe(),
                catch_up: LIMITS.catch_up,
            },
            store,
            watermark,
            recording: tokio::spawn(mortal(run.run(CancellationToken::new()), &breaths)),
            breaths,
        }
    }

    /// Asks the replica at `place`, or the one that has taken the place of a dead one.
    fn at<T>(&self, place: usize, ask: impl FnOnce(&Replica) -> T) -> T {
        let mut replicas = self.0.replicas.lock().unwrap();
        let replica = &mut replicas[place % REPLICAS];
        if replica.recording.is_finished() || replica.breaths.load(Ordering::SeqCst) <= 0 {
            replica.recording.abort();
            *replica = self.start(place % REPLICAS);
        }
        ask(replica)
    }

    pub(super) async fn take(&self, step: Step) {
        self.0.clock.set(step.now);
        for kill in &step.kills {
            self.at(kill.replica, |replica| {
                replica.breaths.store(kill.breaths, Ordering::SeqCst);
            });
        }
        let mut under_way = JoinSet::new();
        for place in step.turns {
            let world = self.clone();
            under_way.spawn(async move { world.turn(place).await });
        }
        let room = Arc::new(Semaphore::new(AT_ONCE));
        for request in step.requests {
            let (world, permit) = (self.clone(), Arc::clone(&room).acquire_owned().await);
            under_way.spawn(async move {
                let _permit = permit.unwrap();
                world.deliver(&request).await;
            });
        }
        under_way.join_all().await;
    }

    /// Until a replica says that the spans are committed.
    async fn deliver(&self, request: &Request) {
        let mut place = request.replica;
        loop {
            let findings = self.classify(&request.spans);
            let recorder = self.at(place, |replica| replica.recorder.clone());
            match recorder.record(findings).await {
                Ok(()) => return,
                Err(_) => place += 1,
            }
        }
    }

    fn classify(&self, spans: &[Span]) -> ClassifiedBatch {
        let classifier = Arc::clone(&self.0.classifier.borrow());
        let mut findings = ClassifiedBatch::default();
        for span in spans {
            classifier.classify(span, self.0.clock.now() - HORIZON, &mut findings);
        }
        findings.with_all_stages()
    }

    /// What a replica does every second, unless it dies of it.
    async fn turn(&self, place: usize) {
        let (id, store, stations, watermark, breaths) = self.at(place, |replica| {
            (
                replica.id,
                replica.store.clone(),
                (replica.overdue.clone(), replica.unplaced.clone()),
                replica.watermark.clone(),
                Arc::clone(&replica.breaths),
            )
        });
        let now = self.0.clock.now();
        let turn = async {
            // Twice, since what comes after hours is the end of an outage.
            for at in [now - LIMITS.catch_up, now] {
                let mut tx = store.begin("beat").await?;
                let noted = tx.record_heartbeat(id, at, &LIMITS).await?;
                tx.commit().await?;
                watermark.send_replace(noted.up_to);
            }
            let up_to = *watermark.borrow();
            let mut tx = store.begin("prepare").await?;
            tx.ensure_epoch(now, HORIZON).await?;
            tx.commit().await?;
            stations.0.tick(now, up_to).await?;
            stations.1.tick(now, up_to).await?;
            Ok::<_, StoreError>(up_to)
        };
        if let Some(Err(error)) = mortal(turn, &breaths).await {
            assert!(error.is_conflict(), "{}", error.in_full());
        }
    }

    /// Nobody is killed any more and nothing arrives: returns where the watermark comes to.
    pub(super) async fn settle(&self, now: Timestamp) -> Timestamp {
        for place in 0..REPLICAS {
            self.at(place, |replica| {
                replica.breaths.store(IMMORTAL, Ordering::SeqCst);
            });
        }
        self.0.clock.set(now);
        for place in (0..REPLICAS).chain(0..REPLICAS) {
            self.turn(place).await;
        }
        self.at(0, |replica| *replica.watermark.borrow())
    }
}

async fn declare(store: &Store) -> (Catalog, BTreeMap<Name, SloId>) {
    let file = DefinitionFile {
        path: "all.yaml".to_owned(),
        text: ALL.iter().map(Contract::definition).collect(),
    };
    let (catalog, _) = load(&[file]).unwrap();
    let names: Vec<Name> = catalog.slos.keys().cloned().collect();
    let mut tx = store.begin("declare SLOs").await.unwrap();
    let ids = tx.declare(&names).await.unwrap();
    tx.declare_groups(&catalog.groupings(&ids)).await.unwrap();
    tx.commit().await.unwrap();
    (catalog, ids)
}
