//! Ten minutes of work that is well, with one fault of those who tell of it: nobody is paged. Then all
//! work stalls in the middle of the fault, and a page comes as soon as the evidence allows.

mod bound;
mod traffic;

use throughline::domain::{
    alerting::alert::TransitionKind,
    model::{ids::SloId, time::TimeRange},
    slo::Severity,
};

use self::traffic::{Delivery, Sampled, Share};
use crate::support::app::{HOUR, SECOND, TestApp, catalog};

/// How long work may take.
const WITHIN: u32 = 60;
/// How long evidence that is under way is waited for.
const GRACE: u32 = 30;
/// What begins from here on never ends. As all numbers of seconds, counted from when the test begins.
const STALL: u32 = 600;
/// How long senders may take to deliver what they kept.
const CATCH_UP: u32 = 300;
/// What the service may take to notice.
const SLACK: u32 = 15;
/// Between two turns of its loops.
const STEP: u32 = 5;
const FACTOR: f64 = 14.4;
/// SLOs on the same work, and the share of it that may be bad.
const SLOS: [(&str, f64); 2] = [("most", 0.005), ("nearly-all", 0.001)];
/// When workers are restarted or rename their spans. The stall begins in the middle of the second time.
const MOMENTS: [u32; 2] = [200, STALL - 10];

/// How those who tell of the work differ from what is wanted.
#[derive(Clone, Copy, Debug)]
struct Fault {
    /// Work that begins in a second.
    per_second: u32,
    /// Seconds that the longest of it takes.
    lasting: f64,
    /// Seconds by which the clock of the producers is ahead of that of the workers.
    ahead: u32,
    sampled: Sampled,
    delivery: Delivery,
    /// Whether workers are restarted: their attempts fail, and nothing is done for half a minute.
    is_deployed: bool,
    /// Whether the span that finishes work gets another name, and the definition at the same time.
    is_renamed: bool,
    /// What the definition says of the sampling of ends.
    end_threshold: &'static str,
}

impl Fault {
    const NONE: Self = Self {
        per_second: 2,
        lasting: 2.0,
        ahead: 0,
        sampled: Sampled::NOT,
        delivery: Delivery::AtOnce,
        is_deployed: false,
        is_renamed: false,
        end_threshold: "",
    };

    /// The name of the span that finishes what begins then.
    fn finish(&self, secs: f64) -> &'static str {
        let names = ["done", "finished", "completed"];
        let renamed = MOMENTS.iter().filter(|moment| secs >= f64::from(**moment));
        if self.is_renamed {
            names[renamed.count()]
        } else {
            names[0]
        }
    }

    /// What is declared at that time.
    fn definitions(&self, secs: u32) -> String {
        let finish = self.finish(secs.into());
        let slos = SLOS.map(|(name, share)| {
            format!(
                r#"apiVersion: throughline/v1
kind: SLO
metadata: {{ name: {name} }}
spec:
  objective: {:.1}%
  window: 30d
  indicator:
    workflow:
      start:  '{{ name = "publish" }}'
      finish: '{{ name = "{finish}" && status != error }}'
      fail:   '{{ name = "{finish}" && status = error }}'
      within: {WITHIN}s
      correlate: [span.order.id]
      {}
  grace: {GRACE}s
  alertPolicies:
    - metadata: {{ name: burn }}
      spec:
        rules:
          - {{ name: fast, severity: page, burnRate: {{ factor: {FACTOR}, long: 1h, short: 5m }} }}
  notify: {{ page: [oncall] }}
---
"#,
                (1.0 - share) * 100.0,
                self.end_threshold,
            )
        });
        let target = "apiVersion: throughline/v1
kind: AlertNotificationTarget
metadata: { name: oncall }
spec: { webhook: { url: { env: UNUSED } } }
";
        slos.concat() + target
    }

    async fn app(&self) -> TestApp {
        let app = TestApp::new().slo(&self.definitions(0));
        app.with(|settings| {
            settings.evaluator.interval = SECOND * STEP;
            settings.catch_up = SECOND * CATCH_UP;
        })
        .await
    }
}

async fn check(fault: Fault) {
    let app = fault.app().await;
    let _oncall = app.receiver("oncall", []).await;
    let latest = SLOS.map(|(_, share)| fault.latest_page(share));
    let end = latest[0].max(latest[1]) + STEP;
    let mut arrivals = fault.arrivals(end).into_iter().peekable();
    for secs in (0..=end).step_by(STEP as usize) {
        app.at_second(secs.into());
        if fault.is_renamed && MOMENTS.contains(&secs) {
            let slos = catalog(&fault.definitions(secs)).slos;
            app.define(slos.into_values().map(std::sync::Arc::unwrap_or_clone))
                .await;
        }
        let mut spans = Vec::new();
        while let Some((_, span)) = arrivals.next_if(|(at, _)| *at <= f64::from(secs)) {
            spans.push(span);
        }
        app.send(spans).await;
        app.tick().await;
    }
    for ((name, _), latest) in SLOS.into_iter().zip(latest) {
        assert_nothing_was_bad(&app, app.id(name)).await;
        let pages = pages(&app, app.id(name)).await;
        let possible = STALL + WITHIN + GRACE..=latest;
        assert!(
            matches!(pages[..], [at] if possible.contains(&at)),
            "{name}: pages at {pages:?}, wanted is one in {possible:?}"
        );
    }
}

/// Of what began before the stall.
async fn assert_nothing_was_bad(app: &TestApp, slo: SloId) {
    let until = app.began + SECOND * (STALL + WITHIN);
    let counts = app.sum(slo, TimeRange::new(app.began - HOUR, until)).await;
    assert_eq!(counts.bad(), 0, "{counts:?}");
}

/// When they fired.
async fn pages(app: &TestApp, slo: SloId) -> Vec<u32> {
    let transitions = app.transitions_of(slo).await.into_iter();
    let pages = transitions.filter(|transition| {
        let facts = &transition.facts;
        facts.kind == TransitionKind::Firing && facts.severity == Severity::Page
    });
    pages
        .map(|page| {
            let after = page.at.saturating_since(app.began).as_secs();
            u32::try_from(after).unwrap()
        })
        .collect()
}

macro_rules! faults {
    ($($name:ident $fault:expr,)+) => {
        $(#[tokio::test]
        async fn $name() {
            check($fault).await;
        })+
    };
}

faults! {
    no_fault_at_all Fault::NONE,
    a_producer_whose_clock_is_2_s_ahead Fault { ahead: 2, ..Fault::NONE },
    a_producer_whose_clock_is_30_s_ahead Fault { ahead: 30, ..Fault::NONE },
    workers_that_are_restarted Fault { is_deployed: true, ..Fault::NONE },
    a_finish_that_is_renamed Fault { is_renamed: true, lasting: 20.0, ..Fault::NONE },
    collectors_that_replay_twelve_minutes_at_different_speeds Fault {
        delivery: Delivery::Replay { starts: 4.0, ends: 2.03 },
        ..Fault::NONE
    },
    a_tenth_of_all_traces Fault {
        per_second: 20,
        sampled: Sampled::together(Share::Tenth, Share::Tenth),
        ..Fault::NONE
    },
    a_tenth_of_all_traces_that_does_not_say_so Fault {
        per_second: 20,
        sampled: Sampled::together(Share::SilentTenth, Share::SilentTenth),
        ..Fault::NONE
    },
    a_tenth_of_the_starts Fault {
        per_second: 20,
        sampled: Sampled::together(Share::Tenth, Share::All),
        ..Fault::NONE
    },
    a_tenth_of_the_starts_that_does_not_say_so Fault {
        per_second: 20,
        sampled: Sampled::together(Share::SilentTenth, Share::All),
        ..Fault::NONE
    },
    a_tenth_of_the_ends Fault {
        per_second: 20,
        sampled: Sampled::together(Share::All, Share::Tenth),
        ..Fault::NONE
    },
    a_tenth_of_the_ends_that_does_not_say_so_but_is_declared Fault {
        per_second: 20,
        sampled: Sampled::together(Share::All, Share::SilentTenth),
        end_threshold: "endThreshold: e666",
        ..Fault::NONE
    },
    a_tenth_of_the_ends_by_a_draw_of_their_own Fault {
        per_second: 20,
        sampled: Sampled::apart(Share::All, Share::Tenth),
        ..Fault::NONE
    },
    a_tenth_of_the_ends_by_a_draw_of_their_own_that_is_declared Fault {
        per_second: 20,
        sampled: Sampled::apart(Share::All, Share::Tenth),
        end_threshold: "endThreshold: e666",
        ..Fault::NONE
    },
    a_tenth_of_starts_and_of_ends_by_draws_of_their_own Fault {
        per_second: 40,
        sampled: Sampled::apart(Share::Tenth, Share::Tenth),
        ..Fault::NONE
    },
}
