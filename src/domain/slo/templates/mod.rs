//! Definitions for common systems, to be edited and saved.
//!
//! Each is a file of this folder. Its first comment is shown in lists; lines that must be edited
//! end in `# EDIT`.

/// A definition in which only the user's names are missing.
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

    /// Returns the purpose of the template, as one line.
    pub fn about(&self) -> &'static str {
        let first = self.text.lines().next().unwrap_or_default();
        first.trim_start_matches("# ")
    }
}
