//! Reads the cases of `tests/fixtures/cases`: small inputs that real software led to, each with the counts
//! that must come of it in any order of arrival, with duplicates and on any number of replicas.
//!
//! A case has the `spec` of one SLO (`slo`, and `then` if the definition changes) and stories. A story is
//! told `repeat` times with ids of its own, `{i}` being the number of the telling; a span with `each`
//! stands for so many, `{j}` being the number of the one. Times are seconds: `t0` says when the first
//! telling begins, counted from the moment at which spans arrive, and `every` how long after it the next
//! one does. Spans of `phase: 2` arrive after all others, and after the definition has changed.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use serde_json::Value;
use throughline::domain::model::span::SpanKind;

use super::span::{AttributeValue, SpanBuilder, span};

/// When stories begin that do not say so.
const T0: f64 = -420.0;

/// One input and what must come of it.
#[derive(Debug)]
pub(crate) struct Case {
    /// YAML of the SLO `case`.
    pub(crate) definition: String,
    /// The same, after it has changed.
    pub(crate) redefinition: Option<String>,
    /// What arrives first, and what after that. Their zero is the moment at which they arrive.
    pub(crate) phases: [Vec<SpanBuilder>; 2],
    /// By the name of the outcome; all others are zero.
    pub(crate) expect: BTreeMap<String, i64>,
    /// Evidence counts that are not zero.
    pub(crate) notes: Vec<String>,
    /// Counts that are never reached, not even between the phases.
    pub(crate) never: BTreeMap<String, i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    slo: Value,
    then: Option<Value>,
    stories: Vec<StoryFile>,
    expect: BTreeMap<String, i64>,
    #[serde(default)]
    notes: Vec<String>,
    #[serde(default)]
    never: BTreeMap<String, i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoryFile {
    #[serde(default = "once")]
    repeat: u32,
    #[serde(default = "default_t0")]
    t0: f64,
    #[serde(default)]
    every: f64,
    spans: Vec<SpanFile>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SpanFile {
    #[serde(default = "once")]
    each: u32,
    #[serde(default = "once")]
    phase: u32,
    service: String,
    trace: String,
    span: String,
    parent: Option<String>,
    name: String,
    #[serde(default)]
    kind: KindName,
    #[serde(default)]
    start: f64,
    start_unix_nano: Option<u64>,
    end: f64,
    #[serde(default)]
    is_error: bool,
    #[serde(default)]
    trace_state: String,
    #[serde(default)]
    attributes: BTreeMap<String, Value>,
    #[serde(default)]
    resource: BTreeMap<String, Value>,
    event: Option<EventFile>,
    #[serde(default)]
    links: Vec<LinkFile>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventFile {
    name: String,
    attributes: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkFile {
    /// So many links, `{j}` being the number of each; without it, `{j}` is that of the span.
    each: Option<u32>,
    trace: String,
    span: String,
    #[serde(default)]
    attributes: BTreeMap<String, Value>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindName {
    #[default]
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

const fn once() -> u32 {
    1
}

const fn default_t0() -> f64 {
    T0
}

/// Which telling of which story, and which of several equal spans.
#[derive(Clone, Copy, Debug)]
struct Telling {
    story: usize,
    nth: u32,
    each: u32,
}

impl Telling {
    fn fill(self, text: &str) -> String {
        let Self { story, nth, each } = self;
        text.replace("{i}", &format!("{story}-{nth}"))
            .replace("{j}", &each.to_string())
    }

    /// The number of a trace or, with the name of its trace before it, of a span. FNV-1a.
    fn number(self, id: &str) -> u64 {
        let id = format!("{}/{}/{}", self.story, self.nth, self.fill(id));
        let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        hash >> 8
    }

    fn span_number(self, trace: &str, span: &str) -> u64 {
        self.number(&format!("{trace}/{span}"))
    }

    fn value(self, value: &Value) -> AttributeValue {
        match value {
            Value::String(text) => AttributeValue::Text(self.fill(text)),
            Value::Bool(value) => AttributeValue::Bool(*value),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => AttributeValue::Int(whole),
                None => AttributeValue::Double(number.as_f64().unwrap()),
            },
            Value::Array(all) => {
                AttributeValue::Array(all.iter().map(|value| self.value(value)).collect())
            }
            // Text that is not UTF-8.
            Value::Object(hex) => AttributeValue::Bytes(bytes(hex["hex"].as_str().unwrap())),
            Value::Null => panic!("an attribute has a value"),
        }
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let each = hex.split_whitespace();
    each.map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

impl Case {
    /// The case of this name, without `.yaml`.
    pub(crate) fn read(name: &str) -> Self {
        let path = folder().join(format!("{name}.yaml"));
        let text = fs::read_to_string(&path).unwrap();
        let file: CaseFile = serde_saphyr::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut phases = [Vec::new(), Vec::new()];
        for (number, story) in file.stories.iter().enumerate() {
            for written in &story.spans {
                let told = (1..=story.repeat)
                    .flat_map(|nth| written.tell_each(number, nth, story.begins_at(nth)));
                phases[written.phase as usize - 1].extend(told);
            }
        }
        Self {
            definition: definition(&file.slo),
            redefinition: file.then.as_ref().map(definition),
            phases,
            expect: file.expect,
            notes: file.notes,
            never: file.never,
        }
    }

    /// The names of all cases, sorted.
    pub(crate) fn names() -> Vec<String> {
        let files = fs::read_dir(folder()).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        let mut names: Vec<String> = paths
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort_unstable();
        names
    }
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cases")
}

fn definition(spec: &Value) -> String {
    format!("apiVersion: throughline/v1\nkind: SLO\nmetadata: {{ name: case }}\nspec: {spec}\n")
}

impl StoryFile {
    fn begins_at(&self, nth: u32) -> f64 {
        self.t0 + self.every * f64::from(nth - 1)
    }
}

impl SpanFile {
    fn tell_each(&self, story: usize, nth: u32, began: f64) -> Vec<SpanBuilder> {
        let each = (1..=self.each).map(|each| Telling { story, nth, each });
        each.map(|telling| self.tell(telling, began)).collect()
    }

    fn tell(&self, telling: Telling, began: f64) -> SpanBuilder {
        let Self { trace, name, .. } = self;
        let mut built = span(&telling.fill(name))
            .kind(self.kind.into())
            .trace(telling.number(trace))
            .id(telling.span_number(trace, &self.span))
            .between(began + self.start, began + self.end)
            .trace_state(&self.trace_state)
            .service(&self.service);
        if let Some(parent) = &self.parent {
            built = built.child_of(telling.span_number(trace, parent));
        }
        if let Some(nanos) = self.start_unix_nano {
            built = built.start_unix_nano(nanos);
        }
        if self.is_error {
            built = built.error();
        }
        for (key, value) in &self.attributes {
            built = built.attribute(key, telling.value(value));
        }
        for (key, value) in &self.resource {
            built = built.resource(key, telling.value(value));
        }
        if let Some(event) = &self.event {
            for (key, value) in &event.attributes {
                built = built.event(&event.name, key, telling.value(value));
            }
        }
        let links = self.links.iter();
        links.fold(built, |built, link| link.add(telling, built))
    }
}

impl LinkFile {
    fn add(&self, telling: Telling, built: SpanBuilder) -> SpanBuilder {
        let numbers = match self.each {
            Some(last) => 1..=last,
            None => telling.each..=telling.each,
        };
        numbers.fold(built, |built, each| {
            let one = Telling { each, ..telling };
            let (trace, span) = (&self.trace, &self.span);
            let linked = built.link_to(one.number(trace), one.span_number(trace, span));
            let attributes = self.attributes.iter();
            attributes.fold(linked, |linked, (key, value)| {
                linked.link_attribute(key, one.value(value))
            })
        })
    }
}

impl From<KindName> for SpanKind {
    fn from(kind: KindName) -> Self {
        match kind {
            KindName::Internal => Self::Internal,
            KindName::Server => Self::Server,
            KindName::Client => Self::Client,
            KindName::Producer => Self::Producer,
            KindName::Consumer => Self::Consumer,
        }
    }
}
