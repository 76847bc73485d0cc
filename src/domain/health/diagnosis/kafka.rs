//! Checks of a Kafka topic: its partitions, the consumer group, the clocks of its brokers and the lag.

use std::time::Duration;

use super::Diagnosis;
use crate::domain::{
    health::findings::KAFKA_BEHIND,
    model::{format, time::Timestamp},
    workflow::watermark::log::CLOCK_TOLERANCE,
};

/// The answers of the brokers about a topic that exists, and what the database says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaFacts {
    pub topic: String,
    pub group: String,
    pub partitions: i64,
    /// The number of replicas that write heartbeats.
    pub replicas: i64,
    pub reader: GroupReader,
    /// How far the newest message is ahead of the database's clock, by the broker's; `None` if producers set the
    /// times of messages, or there are none.
    pub ahead: Option<Duration>,
    /// Messages that are not read.
    pub lag: i64,
    /// Up to when all partitions are read; `None` if no replica has read the topic.
    pub read_up_to: Option<Timestamp>,
    pub now: Timestamp,
}

/// The installation that has committed offsets to the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupReader {
    Nobody,
    ThisInstallation,
    /// Its id.
    Another(String),
    AnotherProgram,
    /// An installation, but the database does not say whether it is this one.
    Unknown,
}

pub fn of_kafka(facts: &KafkaFacts) -> Vec<Diagnosis> {
    vec![topic(facts), group(facts), clock(facts), lag(facts)]
}

fn topic(facts: &KafkaFacts) -> Diagnosis {
    let check = "kafka topic";
    let partitions = format::counted(facts.partitions, "partition");
    let text = format!("`{}` has {partitions}", facts.topic);
    if facts.partitions >= facts.replicas {
        return Diagnosis::ok(check, text);
    }
    let replicas = format::counted(facts.replicas, "replica");
    let advice = "a partition is read by one replica: add partitions, three for each replica";
    Diagnosis::warn(check, format!("{text} for {replicas}"), advice)
}

fn group(facts: &KafkaFacts) -> Diagnosis {
    let (check, group) = ("kafka group", &facts.group);
    match &facts.reader {
        GroupReader::Nobody => Diagnosis::ok(check, format!("nobody has read by `{group}`")),
        GroupReader::ThisInstallation => {
            Diagnosis::ok(check, format!("this installation alone reads by `{group}`"))
        }
        GroupReader::Another(id) => Diagnosis::fail(
            check,
            format!(
                "another installation ({id}) reads by `{group}`, so each gets a part of the messages"
            ),
            "give each installation a `--kafka-group` of its own",
        ),
        GroupReader::AnotherProgram => Diagnosis::warn(
            check,
            format!("another program has read by `{group}`, so it may get a part of the messages"),
            "give Throughline a `--kafka-group` of its own",
        ),
        GroupReader::Unknown => Diagnosis::warn(
            check,
            format!(
                "an installation reads by `{group}`, and without the database it is unknown which"
            ),
            "correct the database first, and run this again",
        ),
    }
}

fn clock(facts: &KafkaFacts) -> Diagnosis {
    let check = "kafka clock";
    match facts.ahead {
        Some(ahead) if ahead > CLOCK_TOLERANCE => Diagnosis::warn(
            check,
            format!("a broker's clock is {} ahead", format::lasting(ahead)),
            "synchronise the clocks of the brokers by NTP: until then timeouts wait until partitions are read to \
             their end",
        ),
        Some(_) => Diagnosis::ok(check, "no broker has appended messages in the future"),
        None => Diagnosis::ok(
            check,
            "not known and not needed: no message has a broker's time",
        ),
    }
}

fn lag(facts: &KafkaFacts) -> Diagnosis {
    let check = "kafka lag";
    let verb = if facts.lag == 1 { "waits" } else { "wait" };
    let text = format!("{} {verb}", format::counted(facts.lag, "message"));
    let Some(up_to) = facts.read_up_to else {
        let text = format!("{text}, and no replica has read the topic");
        return Diagnosis::warn(
            check,
            text,
            "start `throughline serve` with the same settings",
        );
    };
    let behind = facts.now.saturating_since(up_to);
    let text = format!(
        "{text}; all partitions are read up to {} ago",
        format::lasting(behind)
    );
    if behind < KAFKA_BEHIND || facts.lag == 0 {
        return Diagnosis::ok(check, text);
    }
    let advice = "add replicas while there are more partitions than them, and see whether the database keeps up: \
                  no workflow times out before its messages are read, but alerts are late";
    Diagnosis::warn(check, text, advice)
}
