//! What a Prometheus spends on the rules that [Sloth](https://sloth.dev) makes for the same SLOs: the error
//! ratio of each of eight windows, of which that of the SLO is the mean of recorded ratios. It is installed by
//! `.dev/setup tests`.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;
use throughline::domain::model::time::Timestamp;
use tokio::time::Instant;

use super::{Events, process_cpu::cpu_seconds, support::DAY};

const WINDOWS: [&str; 7] = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"];
const SCRAPED_EVERY: Duration = Duration::from_mins(1);
const EVALUATED_EVERY: Duration = Duration::from_secs(10);
/// Evaluations of each rule that are measured.
const EVALUATIONS: f64 = 3.0;
const READY_WITHIN: Duration = Duration::from_mins(2);

/// Returns the CPU seconds of one evaluation of the rules of so many SLOs, each with `a_minute` events in
/// every minute of the `days` before `now`.
pub(super) fn cpu_of_an_evaluation(
    slos: usize,
    a_minute: Events,
    (days, now): (u32, Timestamp),
) -> f64 {
    let home = tempfile::tempdir().unwrap();
    write_blocks(home.path(), slos, a_minute, (days, now));
    fs::write(home.path().join("rules.yml"), rules(slos)).unwrap();
    let prometheus = Prometheus::start(home);
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let groups = slos as f64;
    prometheus.wait_for(groups);
    let spent = || cpu_seconds(prometheus.child.id());
    let (before, first) = (spent(), prometheus.iterations());
    prometheus.wait_for(first + EVALUATIONS * groups);
    (spent() - before) * groups / (prometheus.iterations() - first)
}

/// Counters of good and bad events, and the error ratio that the rules would have recorded.
fn write_blocks(home: &Path, slos: usize, a_minute: Events, (days, now): (u32, Timestamp)) {
    let samples = (DAY * days).as_secs() / SCRAPED_EVERY.as_secs();
    let first = now.to_chrono().timestamp() - i64::try_from(samples * 60).unwrap();
    let mut text = "# TYPE events counter\n".to_owned();
    for (outcome, each) in [("good", a_minute.good), ("bad", a_minute.bad)] {
        for slo in 0..slos {
            for (number, at) in (0..)
                .zip((first..).step_by(60))
                .take(usize::try_from(samples).unwrap())
            {
                let total = number * each;
                writeln!(
                    text,
                    "events_total{{slo=\"product-{slo}\",outcome=\"{outcome}\"}} {total} {at}"
                )
                .unwrap();
            }
        }
    }
    text.push_str("# TYPE slo:sli_error:ratio_rate5m gauge\n");
    for slo in 0..slos {
        for at in (first..)
            .step_by(60)
            .take(usize::try_from(samples).unwrap())
        {
            writeln!(
                text,
                "slo:sli_error:ratio_rate5m{{slo=\"product-{slo}\"}} 0.01 {at}"
            )
            .unwrap();
        }
    }
    text.push_str("# EOF\n");
    let samples = home.join("samples.txt");
    fs::write(&samples, text).unwrap();
    let created = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
        .args([&samples, &home.join("data")])
        .output()
        .unwrap();
    assert!(created.status.success(), "{created:?}");
    fs::remove_file(samples).unwrap();
}

fn rules(slos: usize) -> String {
    let mut text = "groups:\n".to_owned();
    for slo in 0..slos {
        let labels = format!("slo=\"product-{slo}\"");
        write!(text, "- name: sloth-slo-sli-recordings-{slo}\n  rules:\n").unwrap();
        for window in WINDOWS {
            write!(
                text,
                "  - record: slo:sli_error:ratio_rate{window}\n    labels: {{ slo: product-{slo} }}\n    \
                 expr: (sum(rate(events_total{{{labels},outcome=\"bad\"}}[{window}]))) \
                 / (sum(rate(events_total{{{labels}}}[{window}])))\n"
            )
            .unwrap();
        }
        let recorded = format!("slo:sli_error:ratio_rate5m{{{labels}}}[30d]");
        write!(
            text,
            "  - record: slo:sli_error:ratio_rate30d\n    labels: {{ slo: product-{slo} }}\n    \
             expr: sum_over_time({recorded}) / count_over_time({recorded})\n"
        )
        .unwrap();
    }
    text
}

struct Prometheus {
    child: Child,
    address: String,
    _home: TempDir,
}

impl Prometheus {
    /// It scrapes nothing, so that rules are all that it does.
    fn start(home: TempDir) -> Self {
        let path = |name: &str| home.path().join(name).display().to_string();
        let config = format!(
            "global: {{ evaluation_interval: {}s }}\nrule_files: ['{}']\n",
            EVALUATED_EVERY.as_secs(),
            path("rules.yml")
        );
        fs::write(path("prometheus.yml"), config).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", path("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", path("data")))
            // Blocks are not merged meanwhile.
            .args([
                "--storage.tsdb.min-block-duration=2h",
                "--storage.tsdb.max-block-duration=2h",
            ])
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            address,
            _home: home,
        }
    }

    /// Returns how often groups of rules were evaluated, one for each SLO; 0 while it does not answer.
    fn iterations(&self) -> f64 {
        let Ok(mut stream) = TcpStream::connect(&self.address) else {
            return 0.0;
        };
        let mut answer = String::new();
        let request = "GET /metrics HTTP/1.0\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        stream.read_to_string(&mut answer).unwrap();
        answer
            .lines()
            .filter(|line| line.starts_with("prometheus_rule_group_iterations_total{"))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// Waits until each group was evaluated so often.
    fn wait_for(&self, iterations: f64) {
        let began = Instant::now();
        while self.iterations() < iterations {
            assert!(
                began.elapsed() < READY_WITHIN,
                "Prometheus does not evaluate"
            );
            thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
