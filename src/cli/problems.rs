//! Formats problems of definitions as text for people, as JSON, and as annotations of GitHub.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::domain::slo::definition::{Problem, ProblemSeverity};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Plain,
    Coloured,
}

/// Formats each problem with its line underlined, as rustc does, followed by a blank line.
pub fn render(problems: &[Problem], colour: Colour) -> String {
    let renderer = match colour {
        Colour::Plain => Renderer::plain(),
        Colour::Coloured => Renderer::styled(),
    };
    let mut text = String::new();
    for problem in problems {
        text.push_str(&renderer.render(&[group(problem)]));
        text.push_str("\n\n");
    }
    text
}

/// Formats `1 error, 2 warnings`.
pub fn count(problems: &[Problem]) -> String {
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let warnings = problems.len() - errors;
    format!(
        "{}, {}",
        quantity(errors, "error"),
        quantity(warnings, "warning")
    )
}

/// Formats `1 file`, `2 files`.
pub fn quantity(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Formats workflow commands that GitHub shows beside the line: one line each.
pub fn render_github(problems: &[Problem]) -> String {
    let mut text = String::new();
    for problem in problems {
        let command = match problem.severity {
            ProblemSeverity::Error => "error",
            ProblemSeverity::Warning => "warning",
        };
        let mut message = problem.message.clone();
        if let Some(help) = &problem.help {
            message.push('\n');
            message.push_str(help);
        }
        // Writing to a string cannot fail.
        let _written = writeln!(
            text,
            "::{command} file={},line={},col={}::{}",
            escape_property(&problem.file),
            problem.line,
            problem.column,
            escape_message(&message)
        );
    }
    text
}

fn group(problem: &Problem) -> Group<'_> {
    let level = match problem.severity {
        ProblemSeverity::Error => Level::ERROR,
        ProblemSeverity::Warning => Level::WARNING,
    };
    let title = level.primary_title(&problem.message);
    let group = match &problem.excerpt {
        Some(excerpt) => title.element(
            Snippet::source(&excerpt.text)
                .line_start(problem.line)
                .path(&problem.file)
                .annotation(AnnotationKind::Primary.span(excerpt.span.clone())),
        ),
        None => title.element(Origin::path(&problem.file)),
    };
    match &problem.help {
        Some(help) => group.element(Level::HELP.message(help)),
        None => group,
    }
}

fn escape_message(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn escape_property(text: &str) -> String {
    escape_message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::slo::definition::Excerpt;

    fn problem() -> Problem {
        Problem {
            severity: ProblemSeverity::Error,
            file: "a,b.yaml".to_owned(),
            line: 14,
            column: 5,
            message: "unknown field `dead_line` at 50%".to_owned(),
            help: Some("did you mean `within`?".to_owned()),
            excerpt: Some(Excerpt {
                text: "    dead_line: 5m".to_owned(),
                span: 4..13,
            }),
        }
    }

    #[test]
    fn the_line_at_fault_is_underlined() {
        insta::assert_snapshot!(render(&[problem()], Colour::Plain));
    }

    #[test]
    fn an_annotation_is_one_line_whatever_the_message() {
        let line = render_github(&[problem()]);
        assert_eq!(
            line,
            "::error file=a%2Cb.yaml,line=14,col=5::unknown field `dead_line` at 50%25%0Adid you mean `within`?\n"
        );
    }

    #[test]
    fn a_problem_of_a_whole_file_names_it() {
        let problem = Problem::of_file("a.yaml", "the file is not UTF-8".to_owned(), None);
        insta::assert_snapshot!(render(&[problem], Colour::Plain));
    }
}
