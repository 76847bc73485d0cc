//! Programs that others wrote judge every request that a receiver of the tests got.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use serde_json::json;

use super::{
    installs::{node, python, sources},
    receiver::Request,
};

/// What the signatures of the tests are made with.
pub(crate) const SIGNING_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Fails with what is wrong with the first that is not as its receiver wants it.
pub(crate) fn assert_well_formed(requests: &[Request]) {
    // A request to read has no body to be judged; remote write is judged by Prometheus.
    let is_judged = |request: &&Request| {
        request.method != "GET"
            && !request
                .headers
                .contains_key("x-prometheus-remote-write-version")
    };
    for request in requests.iter().filter(is_judged) {
        let kind = kind(request);
        let body = String::from_utf8(request.body.clone()).expect("the body is text");
        let question = json!({
            "kind": kind,
            "headers": request.headers,
            "body": body,
            "secret": SIGNING_SECRET,
        });
        let judge = if kind == "teams" { &CARDS } else { &RECEIVERS };
        let verdict = judge.ask(&question.to_string());
        assert_eq!(verdict, "ok", "{kind}, {}: {body}", request.path);
    }
}

/// Told by what the receiver can see.
fn kind(request: &Request) -> &'static str {
    let header = |name: &str| request.headers.get(name).map(String::as_str);
    if request.path.starts_with("/v2/enqueue") {
        "pagerduty"
    } else if request.path.starts_with("/services/") {
        "slack"
    } else if request.path.starts_with("/api/chat.") {
        "slack-call"
    } else if request.path.ends_with("/api/v2/alerts") {
        "alertmanager"
    } else if request.path.starts_with("/workflows/") {
        "teams"
    } else if header("content-type") == Some("application/cloudevents+json") {
        "cloudevent"
    } else if request.json()["version"] == "4" {
        "alertmanager-webhook"
    } else {
        "webhook"
    }
}

static RECEIVERS: Judge = Judge::new(|| {
    let mut command = Command::new(python("receivers"));
    command.arg(sources("receivers").join("check.py"));
    command
});

static CARDS: Judge = Judge::new(|| {
    let mut command = Command::new("node");
    command.arg(node("cards").join("check.js"));
    command
});

/// A program that answers a line to a line; started when it is first asked.
struct Judge {
    command: fn() -> Command,
    running: Mutex<Option<Running>>,
}

struct Running {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Judge {
    const fn new(command: fn() -> Command) -> Self {
        Self {
            command,
            running: Mutex::new(None),
        }
    }

    fn ask(&self, question: &str) -> String {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let running = running.get_or_insert_with(|| start((self.command)()));
        writeln!(running.child.stdin.as_mut().unwrap(), "{question}").unwrap();
        let mut answer = String::new();
        running.answers.read_line(&mut answer).unwrap();
        answer.trim().to_owned()
    }
}

fn start(mut command: Command) -> Running {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`.dev/setup tests` installs what judges requests");
    let answers = BufReader::new(child.stdout.take().unwrap());
    Running { child, answers }
}
