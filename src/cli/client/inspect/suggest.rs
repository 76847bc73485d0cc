//! `throughline suggest`: proposes definitions of SLOs for the flows among the spans of the last
//! hour, and for common systems.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::super::{
    answer::{Answer, AnswerArgs, items, text},
    api::{Api, ServerArgs},
};
use crate::{
    cli::table::TextTable,
    domain::slo::{DefinitionTemplate, TEMPLATES},
};

/// Propose definitions for flows through queues, by the spans of the last hour
///
/// Without a name it prints proposals for all flows that no SLO counts yet, as one file: `throughline
/// suggest > slos.yaml`. Exit codes: 0 proposed, 1 nothing to propose, 3 the service could not be
/// asked. Templates need no service: `throughline suggest --template celery > slos.yaml`.
#[derive(clap::Args, Debug)]
pub struct SuggestArgs {
    /// Only the definition with this name
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Print a definition to edit for a system that many people run, such as `celery`
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    template: Option<String>,
    /// List the templates
    #[arg(long, conflicts_with_all = ["name", "template"])]
    templates: bool,
    #[command(flatten)]
    output: AnswerArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(args: &SuggestArgs) -> anyhow::Result<ExitCode> {
    if args.templates {
        return args.output.finish(Ok(listed()));
    }
    if let Some(name) = &args.template {
        return print_template(name, args.output);
    }
    let found = match Api::new(&args.server)?.get("/api/v1/discover") {
        Ok(found) => found,
        Err(error) => return Ok(error.report()),
    };
    let proposed = proposed(&found, args.name.as_deref());
    if proposed.is_empty() && !args.output.is_json() {
        return refuse(&nothing(&found, args.name.as_deref()));
    }
    args.output.finish(Ok(Answer {
        text: proposed.join("---\n"),
        json: found,
    }))
}

fn refuse(why: &str) -> anyhow::Result<ExitCode> {
    let mut error = std::io::stderr();
    std::io::Write::write_fmt(&mut error, format_args!("error: {why}\n"))?;
    Ok(ExitCode::from(1))
}

fn listed() -> Answer {
    let mut table = TextTable::new(["Name", "About"]);
    for template in TEMPLATES {
        table.row([template.name, template.about()]);
    }
    let templates =
        TEMPLATES.map(|template| json!({ "name": template.name, "about": template.about() }));
    Answer {
        text: table.to_string(),
        json: json!({ "templates": templates }),
    }
}

fn print_template(name: &str, output: AnswerArgs) -> anyhow::Result<ExitCode> {
    let Some(template) = DefinitionTemplate::named(name) else {
        let names = TEMPLATES.map(|template| template.name).join(", ");
        return refuse(&format!("there is no template `{name}`, only {names}"));
    };
    output.finish(Ok(Answer {
        text: template.text.to_owned(),
        json: json!({
            "name": template.name,
            "about": template.about(),
            "definition": template.text,
        }),
    }))
}

/// Returns the definitions as the service writes them: valid YAML, with non-printable characters
/// escaped.
fn proposed<'v>(found: &'v Value, name: Option<&str>) -> Vec<&'v str> {
    let flows = items(&found["flows"]);
    let wanted = flows.filter(|flow| match name {
        Some(name) => flow["name"] == name,
        None => flow["counted_by"].is_null(),
    });
    wanted.map(|flow| text(&flow["definition"])).collect()
}

fn nothing(found: &Value, name: Option<&str>) -> String {
    let names: Vec<&str> = items(&found["flows"])
        .map(|flow| text(&flow["name"]))
        .collect();
    match (name, names.as_slice()) {
        (_, []) => format!("no flow was found. {}", text(&found["text"])),
        (Some(name), names) => {
            format!("there is no proposal `{name}`, only {}", names.join(", "))
        }
        (None, names) => format!(
            "SLOs count all flows that were found: {}. Name one to see its proposal",
            names.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found() -> Value {
        json!({
            "text": "By 0 spans of 0 traces.",
            "flows": [
                { "name": "a-to-b", "counted_by": null, "definition": "name: a-to-b\n" },
                { "name": "c-to-d", "counted_by": "orders", "definition": "name: c-to-d\n" },
                { "name": "e-to-f", "counted_by": null, "definition": "name: e-to-f\n" },
            ],
        })
    }

    #[test]
    fn what_no_slo_counts_is_proposed_as_one_file() {
        let all = proposed(&found(), None).join("---\n");
        assert_eq!(all, "name: a-to-b\n---\nname: e-to-f\n");
        assert_eq!(proposed(&found(), Some("c-to-d")), ["name: c-to-d\n"]);
    }

    #[test]
    fn whoever_finds_nothing_is_told_what_there_is() {
        assert!(proposed(&found(), Some("x")).is_empty());
        let unknown = nothing(&found(), Some("x"));
        assert_eq!(
            unknown,
            "there is no proposal `x`, only a-to-b, c-to-d, e-to-f"
        );
        let empty = json!({ "text": "By 0 spans of 0 traces.", "flows": [] });
        assert_eq!(
            nothing(&empty, None),
            "no flow was found. By 0 spans of 0 traces."
        );
    }
}
