//! A story of many alerts that begin and end, told to targets that are well, moody, away and slow, by
//! replicas that die, over a Postgres that is stopped in the middle of it.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use throughline::{
    deliver::Dispatcher,
    domain::model::time::{TimeRange, Timestamp},
    evaluate::Evaluator,
    postgres::State,
};
use tokio::time::{sleep, timeout};

use super::{
    crowd::Crowd,
    sink::{Conduct, Sink},
};
use crate::support::{
    app::{after, failed, good},
    service::postmaster,
};

const MINUTE: Duration = Duration::from_mins(1);
const SLOS: usize = 15;
/// All episodes are over by then.
const MINUTES: usize = 100;
/// How often an SLO goes wrong, and for how long.
const EVERY: usize = 20;
const BAD_FOR: usize = 4;
const LAST_BEGINNING: usize = 80;

const STEPS_A_MINUTE: u32 = 12;

fn minute(nth: usize) -> Timestamp {
    after(u32::try_from(nth).unwrap())
}

struct Story {
    crowd: Crowd,
    evaluators: [Evaluator; 2],
    dispatchers: [Dispatcher; 2],
    random: StdRng,
    crashes: u32,
}

impl Story {
    async fn begin() -> Self {
        let mut sinks = Vec::new();
        for (name, conduct) in [
            ("good", Conduct::Fine),
            ("flaky", Conduct::Flaky),
            ("down", Conduct::Fine),
            ("slow", Conduct::Slow),
        ] {
            sinks.push((name.to_owned(), Sink::start(conduct, 1).await));
        }
        let all = vec!["good", "flaky", "down", "slow"];
        let mut crowd = Crowd::gather(sinks, &vec![all; SLOS]).await;
        write_history(&mut crowd).await;
        Self {
            evaluators: [(); 2].map(|()| crowd.evaluator(MINUTE / 2)),
            dispatchers: [(); 2].map(|()| crowd.dispatcher()),
            crowd,
            random: StdRng::seed_from_u64(7),
            crashes: 0,
        }
    }

    /// Both look; one in ten times one of them dies while it does.
    async fn evaluate(&mut self, now: Timestamp) {
        let patience = if self.random.random_ratio(1, 10) {
            self.crashes += 1;
            Duration::from_millis(self.random.random_range(1..30))
        } else {
            MINUTE
        };
        let [one, other] = &self.evaluators;
        // What failed or was cut short is done by the next tick, or by the other one.
        drop(tokio::join!(
            timeout(patience, one.tick(now)),
            other.tick(now)
        ));
    }

    /// A minute of sending; one in sixty times a replica dies. In the end nothing is under way any
    /// more, so that time runs out for nobody who lives.
    async fn send(&mut self, from: Timestamp) {
        for step in 0..STEPS_A_MINUTE {
            let now = from + MINUTE / STEPS_A_MINUTE * step;
            for nth in 0..2 {
                // An error says that the database is away.
                drop(self.dispatchers[nth].tick(now).await);
            }
            sleep(Duration::from_millis(4)).await;
            if self.random.random_ratio(1, 60) {
                self.crashes += 1;
                self.dispatchers[self.random.random_range(0..2)] = self.crowd.dispatcher();
            }
        }
        for dispatcher in &mut self.dispatchers {
            dispatcher.drain().await;
        }
    }

    /// In the middle of whatever it is about.
    async fn send_while_postgres_stops(&mut self, from: Timestamp) {
        let mut state = self.crowd.server.watch();
        let pid = postmaster(self.crowd.server.folder()).expect("the server runs");
        let stopping = async {
            sleep(Duration::from_millis(20)).await;
            kill(pid, Signal::SIGQUIT).unwrap();
            let is_gone = |state: &State| *state != State::Ready;
            state.wait_for(is_gone).await.unwrap();
            let is_back = |state: &State| *state == State::Ready;
            state.wait_for(is_back).await.unwrap();
        };
        tokio::join!(self.send(from), stopping);
    }
}

/// Two quiet days, and then trouble in turns.
async fn write_history(crowd: &mut Crowd) {
    let slos: Vec<_> = crowd.slos.values().copied().collect();
    for (nth, slo) in slos.into_iter().enumerate() {
        let mut from = minute(0) - Duration::from_hours(48);
        let beginnings = (1..LAST_BEGINNING).filter(|minute| minute % EVERY == nth % EVERY);
        for beginning in beginnings {
            let (begins, ends) = (minute(beginning), minute(beginning + BAD_FOR));
            crowd
                .app
                .fill_range(slo, TimeRange::new(from, begins), good(20))
                .await;
            crowd
                .app
                .fill_range(slo, TimeRange::new(begins, ends), failed(20))
                .await;
            from = ends;
        }
        let end = minute(MINUTES + 1);
        crowd
            .app
            .fill_range(slo, TimeRange::new(from, end), good(20))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
pub(crate) async fn t17_of_many_alerts_none_is_lost_or_late_for_a_good_target_whatever_the_others_do()
 {
    let mut story = Story::begin().await;
    for nth in 1..=MINUTES {
        match nth {
            25 => story.crowd.sinks[2].1.behave(Conduct::Away),
            60 => story.crowd.sinks[2].1.behave(Conduct::Fine),
            _ => {}
        }
        Box::pin(story.evaluate(minute(nth))).await;
        if nth == 45 {
            story.send_while_postgres_stops(minute(nth)).await;
        } else {
            story.send(minute(nth)).await;
        }
    }
    let Story { crowd, crashes, .. } = story;
    for (_, sink) in &crowd.sinks {
        sink.behave(Conduct::Fine);
    }
    crowd.finish(minute(MINUTES + 1)).await;

    let transitions = crowd.count("select count(*) from alert_transitions").await;
    let firing = crowd
        .count("select count(*) from alerts where state <> 'inactive'")
        .await;
    let gaps = "select count(*) from (select version - lag(version) over
                 (partition by slo_id order by version) as step, kind,
                 lag(kind) over (partition by slo_id order by version) as before
             from alert_transitions) as pairs where step < 1 or kind = before";
    assert_eq!((firing, crowd.count(gaps).await), (0, 0));
    println!("{transitions} transitions, {crashes} crashes, one stop of Postgres");
    let mut medians = Vec::new();
    for (name, _) in &crowd.sinks {
        let account = crowd.account(name).await;
        println!("{name}: {account:?}");
        assert_eq!(i64::try_from(account.told).unwrap(), transitions);
        medians.push(account.median_secs);
    }
    let [good, .., slow] = medians[..] else {
        panic!("{medians:?}");
    };
    assert!(transitions > 100, "{transitions} transitions");
    assert!(
        good < slow / 4.0,
        "a good target waits for {good} s where a slow one needs {slow} s"
    );
    drop(crowd.app);
    crowd.server.stop().await.unwrap();
}
