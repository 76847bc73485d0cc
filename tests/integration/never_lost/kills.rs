//! The kill matrix: at every step a replica dies, for every way in which a target may behave.

use std::collections::BTreeSet;

use throughline::failpoint::Failpoint;

use super::{
    modes::{self, Behaving, Kind, Mode},
    replicas::Replicas,
};
use crate::support::{
    database::TestDatabase,
    receiver::{Receiver, Reply},
};

/// Requests that a target must get of the beginning of its alert, if a replica dies at this step of
/// the first try. Only an answer that nobody could write down is asked for again.
const fn expected(mode: &Mode, step: Failpoint) -> usize {
    match step {
        Failpoint::AlertSwapped
        | Failpoint::TransitionCommitted
        | Failpoint::DeliveriesClaimed
        | Failpoint::DeliverySettled => mode.requests,
        Failpoint::AnswerAwaited => mode.requests + mode.is_reached() as usize,
        Failpoint::DeliveryAnswered => mode.requests + mode.told_at_once as usize,
    }
}

/// What came of one step over all modes.
#[derive(Debug)]
#[expect(dead_code, reason = "they are printed")]
struct Figures {
    step: Failpoint,
    deaths: usize,
    transitions: usize,
    requests: usize,
    repeated: usize,
}

#[tokio::test]
async fn whoever_dies_at_whatever_step_all_are_told_in_order_and_twice_only_where_nobody_can_know()
{
    let die_at = |step| Box::pin(die_at(step));
    let all = tokio::join!(
        die_at(Failpoint::AlertSwapped),
        die_at(Failpoint::TransitionCommitted),
        die_at(Failpoint::DeliveriesClaimed),
        die_at(Failpoint::AnswerAwaited),
        die_at(Failpoint::DeliveryAnswered),
        die_at(Failpoint::DeliverySettled),
    );
    println!("{all:#?}");
}

/// One mode after the other begins an alert, at which a replica dies; in the end all are over at once.
async fn die_at(step: Failpoint) -> Figures {
    let modes = modes::all();
    let database = TestDatabase::create().await;
    let targets = modes.iter().map(|mode| (mode.name, mode.kind));
    let mut replicas = Replicas::start(&database, targets.collect()).await;
    let mut behaving = Vec::new();
    for mode in &modes {
        behaving.push(first_told(&mut replicas, mode, step).await);
    }
    let slos: Vec<_> = modes.iter().map(|mode| mode.name).collect();
    replicas.remove(&slos[1..]);
    let mut figures = Figures {
        step,
        deaths: replicas.deaths,
        transitions: 0,
        requests: 0,
        repeated: 0,
    };
    for (mode, Behaving { receiver, .. }) in modes.iter().zip(&behaving).skip(1) {
        replicas.told(mode.name, 2).await;
        let requests = receiver.requests().len();
        // On a busy machine an answer may come too late: then nobody can know either.
        let planned = usize::from(mode.is_unknown && step != Failpoint::DeliveryAnswered);
        let too_late = replicas.unanswered(mode.name).await - planned;
        let expected = expected(mode, step) + 1 + too_late;
        assert_eq!(requests, expected, "{} at {step:?}", mode.name);
        assert_in_order(mode, receiver);
        figures.transitions += 2;
        figures.requests += requests;
        figures.repeated += expected - mode.requests - 1;
    }
    let all = i64::try_from(modes.len() * 2 - 1).unwrap();
    assert_eq!(replicas.outbox().await, [("delivered".to_owned(), all)]);
    figures
}

async fn first_told(replicas: &mut Replicas, mode: &Mode, step: Failpoint) -> Behaving {
    let waits = step == Failpoint::AnswerAwaited;
    let dies = !waits || mode.is_reached();
    let before = if waits && dies {
        vec![Reply::Hang]
    } else {
        Vec::new()
    };
    let behaving = mode.start(before).await;
    let receiver = &behaving.receiver;
    let first = behaving.elsewhere.as_ref().unwrap_or(&receiver.url);
    replicas.lead(mode.name, mode.kind, first);
    if dies && !waits {
        replicas.wish(step);
    }
    replicas.trouble(mode.name).await;
    if waits && dies {
        receiver.wait_for(1).await;
        replicas.wish(step);
    }
    if dies {
        replicas.death(step).await;
    }
    if matches!(
        step,
        Failpoint::DeliveriesClaimed | Failpoint::AnswerAwaited | Failpoint::DeliveryAnswered
    ) && dies
    {
        replicas.leases_lapse().await;
    }
    if behaving.elsewhere.is_some() {
        let expected = if behaving.expired.is_some() {
            "tls"
        } else {
            "dns"
        };
        assert_eq!(replicas.failed(mode.name).await, expected, "{}", mode.name);
        replicas.lead(mode.name, mode.kind, &receiver.url);
    }
    replicas.told(mode.name, 1).await;
    behaving
}

/// All requests about the beginning under one id, then one about the end.
fn assert_in_order(mode: &Mode, receiver: &Receiver) {
    let requests = receiver.requests();
    if mode.kind == Kind::Slack {
        return;
    }
    let kinds: Vec<_> = requests
        .iter()
        .map(|told| told.json()["type"].clone())
        .collect();
    let (end, beginning) = kinds.split_last().unwrap();
    assert_eq!(end, "slo.alert.resolved", "{}: {kinds:?}", mode.name);
    for kind in beginning {
        assert_eq!(kind, "slo.alert.firing", "{}: {kinds:?}", mode.name);
    }
    let ids: BTreeSet<_> = requests
        .iter()
        .map(|told| &told.headers["webhook-id"])
        .collect();
    assert_eq!(ids.len(), 2, "{}", mode.name);
}
