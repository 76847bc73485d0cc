//! `throughline demo` from its first line to its last, as a person would run it.

use std::{process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
};

struct Demo {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// All that was said.
    said: String,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_throughline"))
            .args(["demo", "--listen=127.0.0.1:0"])
            .args([
                "--otlp-grpc-listen=127.0.0.1:0",
                "--otlp-http-listen=127.0.0.1:0",
            ])
            .args(arguments)
            // The demo needs no folder: neither definitions nor data are looked for in it.
            .current_dir("/")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        Self {
            lines: BufReader::new(stdout).lines(),
            child,
            said: String::new(),
        }
    }

    /// Reads on until a line contains `words`, and returns it.
    async fn says(&mut self, words: &str) -> String {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            self.said.push_str(&line);
            self.said.push('\n');
            if line.contains(words) {
                return line;
            }
        }
        panic!("it ended without saying `{words}`:\n{}", self.said);
    }

    /// Reads the JSON that follows, up to its last brace.
    async fn shows(&mut self) -> serde_json::Value {
        let before = self.said.len();
        // The text of every line begins in the ninth column.
        while self.says("}").await != "        }" {}
        serde_json::from_str(&self.said[before..]).unwrap()
    }

    fn interrupt(&self) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        let id = nix::unistd::Pid::from_raw(id);
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).unwrap();
    }

    /// Reads to the end and returns the exit code.
    async fn ends(mut self) -> Option<i32> {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            self.said.push_str(&line);
        }
        self.child.wait().await.unwrap().code()
    }
}

async fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    answer
}

async fn within_five_minutes(story: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_mins(5), story)
        .await
        .expect("a demo is over in five minutes");
}

#[tokio::test]
async fn a_queue_stalls_the_alert_fires_and_resolves_and_the_demo_ends() {
    within_five_minutes(async {
        let mut demo = Demo::start(&["--stall-after=5s", "--exit-after-recovery", "--json"]);
        let line = demo.says("Look at").await;
        let (_, pages) = line.split_once("http://").unwrap();
        let pages = pages.trim().to_owned();
        demo.says("THE WAREHOUSE HAS STOPPED").await;

        demo.says("THE ALERT HAS FIRED").await;
        let alert = demo.shows().await;
        assert_eq!(alert["type"], "slo.alert.firing");
        assert_eq!(alert["data"]["slo"], "orders-on-time");
        assert_eq!(alert["data"]["rule"], "fast-burn");
        let reasons = &alert["data"]["long_window"]["bad_by_reason"];
        assert!(reasons["timeout"].as_i64().unwrap() >= 5, "{alert}");
        assert_eq!(
            alert["data"]["worst_workflows"].as_array().unwrap().len(),
            3
        );
        let page = alert["data"]["page_url"].as_str().unwrap();
        let incident = page.strip_prefix(&format!("http://{pages}")).unwrap();
        assert!(incident.starts_with("/incidents/"), "{incident}");

        for path in ["/readyz", "/", "/slos/orders-on-time", incident, "/metrics"] {
            get(&pages, path).await;
        }
        let listed = get(&pages, "/api/v1/slos/orders-on-time").await;
        assert!(listed.contains("\"paging\""), "{listed}");
        let (_, json) = listed.split_once("\r\n\r\n").unwrap();
        let listed: serde_json::Value = serde_json::from_str(json).unwrap();
        let sampled = listed["in_common"]["good_sampled"].as_u64().unwrap();
        assert!(sampled > 100, "the past has samples: {sampled}");
        let stages = listed["latency_breakdown"]["stages"].as_array().unwrap();
        assert!(stages.len() > 3, "the past has stages: {stages:?}");

        demo.says("THE ALERT HAS RESOLVED").await;
        let recovery = demo.shows().await;
        assert_eq!(recovery["type"], "slo.alert.resolved");
        assert_eq!(recovery["data"]["incident"], alert["data"]["incident"]);
        assert_eq!(demo.ends().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn an_interrupt_ends_it_cleanly() {
    within_five_minutes(async {
        let mut demo = Demo::start(&["--seed=2"]);
        demo.says("All is well").await;
        demo.interrupt();
        demo.says("Stopping").await;
        assert_eq!(demo.ends().await, Some(0));
    })
    .await;
}
