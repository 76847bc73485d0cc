//! Definitions for systems that many people run, to be edited and saved.
//!
//! Each is a file of this folder. Its first comment is what the lists show; lines that have to be
//! edited end in `# EDIT`.

/// A definition that lacks only the names of its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefinitionTemplate {
    pub name: &'static str,
    /// The definition as YAML.
    pub text: &'static str,
}

macro_rules! template {
    ($name:literal) => {
        DefinitionTemplate {
            name: $name,
            text: include_str!(concat!($name, ".yaml")),
        }
    };
}

/// All templates, by name.
pub const TEMPLATES: [DefinitionTemplate; 11] = [
    template!("airflow"),
    template!("aws-durable-functions"),
    template!("bullmq"),
    template!("celery"),
    template!("dapr"),
    template!("kafka"),
    template!("rabbitmq-amqplib"),
    template!("rabbitmq-pika"),
    template!("sidekiq"),
    template!("sqs"),
    template!("temporal"),
];

impl DefinitionTemplate {
    pub fn named(name: &str) -> Option<Self> {
        TEMPLATES.into_iter().find(|template| template.name == name)
    }

    /// Returns what the template is for, as one line.
    pub fn about(&self) -> &'static str {
        let first = self.text.lines().next().unwrap_or_default();
        first.trim_start_matches("# ")
    }
}
