//! Problems of a file with their positions; secrets are masked before anything leaves this module.

use std::{cell::RefCell, ops::Range, sync::LazyLock};

use regex::Regex;
use schemars::JsonSchema;
use serde::Serialize;

/// A file of definitions or settings, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionFile {
    /// The path to display: relative to the folder of definitions.
    pub path: String,
    pub text: String,
}

impl DefinitionFile {
    /// Returns whether it has no document: nothing but comments and separators.
    pub(super) fn is_blank(&self) -> bool {
        self.text
            .trim_start_matches('\u{feff}')
            .lines()
            .map(str::trim)
            .all(|line| line.is_empty() || line.starts_with('#') || matches!(line, "---" | "..."))
    }
}

/// One problem to correct, or to know about.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Problem {
    pub severity: ProblemSeverity,
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    pub message: String,
    /// The correction to make.
    pub help: Option<String>,
    pub excerpt: Option<Excerpt>,
}

/// The line with the problem. Literal secrets in it are replaced by `*`.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Excerpt {
    pub text: String,
    /// The bytes of `text` to underline.
    pub span: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProblemSeverity {
    /// The set is refused.
    Error,
    /// The set is accepted, but may not have the intended meaning.
    Warning,
}

impl Problem {
    /// Makes a problem of a whole file, for example that it could not be read.
    pub fn of_file(path: &str, message: String, help: Option<String>) -> Self {
        Self {
            severity: ProblemSeverity::Error,
            file: path.to_owned(),
            line: 1,
            column: 1,
            message,
            help,
            excerpt: None,
        }
    }

    pub fn is_error(&self) -> bool {
        self.severity == ProblemSeverity::Error
    }
}

/// Means that there is no value, because of a problem that has been reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported;

/// A range of a file, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceSpan(pub usize, pub usize);

impl SourceSpan {
    pub(super) fn range(self) -> Range<usize> {
        self.0..self.1
    }
}

/// Collects the problems of one file.
#[derive(Debug)]
pub struct Diagnostics<'a> {
    file: &'a DefinitionFile,
    secrets: Vec<Range<usize>>,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Diagnostics<'a> {
    pub fn new(file: &'a DefinitionFile) -> Self {
        Self {
            file,
            secrets: secrets_by_look(&file.text),
            problems: RefCell::default(),
        }
    }

    pub(super) fn text(&self) -> &'a str {
        &self.file.text
    }

    pub(super) fn path(&self) -> &'a str {
        &self.file.path
    }

    /// Masks these bytes in all excerpts.
    pub fn mask(&mut self, secret: Range<usize>) {
        self.secrets.push(secret);
    }

    /// Masks everything but keys in a range whose structure is not known.
    pub(super) fn mask_values(&mut self, stretch: Range<usize>) {
        let text = self.text().get(stretch.clone()).unwrap_or_default();
        let values = WORD
            .captures_iter(text)
            .filter(|word| word.get(2).is_none())
            .filter_map(|word| Some(word.get(1)?.range()));
        self.secrets
            .extend(values.map(|range| stretch.start + range.start..stretch.start + range.end));
    }

    pub(super) fn error(&self, place: SourceSpan, message: impl Into<String>) -> Reported {
        self.add(ProblemSeverity::Error, place, message.into(), None);
        Reported
    }

    pub fn error_with_help(
        &self,
        place: SourceSpan,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
    ) -> Reported {
        self.add(ProblemSeverity::Error, place, message.into(), help.into());
        Reported
    }

    pub(super) fn warn(
        &self,
        place: SourceSpan,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
    ) {
        self.add(ProblemSeverity::Warning, place, message.into(), help.into());
    }

    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems
    }

    pub(super) fn has_errors(&self) -> bool {
        self.problems.borrow().iter().any(Problem::is_error)
    }

    /// Returns the line of a byte, counted from 1.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.head(offset).matches('\n').count() + 1
    }

    fn head(&self, offset: usize) -> &'a str {
        let text = self.text();
        text.get(..floor_char_boundary(text, offset))
            .unwrap_or(text)
    }

    fn add(
        &self,
        severity: ProblemSeverity,
        place: SourceSpan,
        message: String,
        help: Option<String>,
    ) {
        let head = self.head(place.0);
        let line_start = head.rfind('\n').map_or(0, |at| at + 1);
        let before = head.get(line_start..).unwrap_or_default();
        self.problems.borrow_mut().push(Problem {
            severity,
            file: self.file.path.clone(),
            line: self.line_of(place.0),
            column: before.chars().count() + 1,
            message,
            help,
            excerpt: Some(self.excerpt(line_start, head.len()..place.1)),
        });
    }

    fn excerpt(&self, line_start: usize, at: Range<usize>) -> Excerpt {
        let line = self.text().get(line_start..).unwrap_or_default();
        let line = line.lines().next().unwrap_or_default();
        let mut text = String::with_capacity(line.len());
        let mut span = 0..0;
        for (offset, c) in line.char_indices() {
            let offset = line_start + offset;
            if offset == at.start {
                span = text.len()..text.len();
            }
            let is_secret = self.secrets.iter().any(|secret| secret.contains(&offset));
            text.push(if is_secret { '*' } else { c });
            if (at.start..at.end.max(at.start + 1)).contains(&offset) {
                span.end = text.len();
            }
        }
        if at.start >= line_start + line.len() {
            span = text.len()..text.len();
        }
        Excerpt { text, span }
    }
}

/// Finds likely literal secrets in the text itself, for files that cannot be parsed and for keys
/// that are misspelt: the rest of a line after such a key unless it is a reference, the line below
/// a key without a value, and URLs that are secret as a whole.
fn secrets_by_look(text: &str) -> Vec<Range<usize>> {
    LITERAL_SECRET
        .captures_iter(text)
        .flat_map(|captures| captures.iter().skip(1).flatten().collect::<Vec<_>>())
        .map(|secret| secret.range())
        .collect()
}

/// Returns whether a key of this name holds a secret.
pub(super) fn is_secret_key(key: &str) -> bool {
    SECRET_KEY.is_match(key)
}

const KEYS: &str = "(?:secret|routing[_-]?key|webhook[_-]?url|token|passw(?:or)?d|api[_-]?key)";

static SECRET_KEY: LazyLock<Regex> = LazyLock::new(|| compile(&format!("(?i)^{KEYS}$")));

static LITERAL_SECRET: LazyLock<Regex> = LazyLock::new(|| {
    compile(&format!(
        r#"(?im){KEYS}["']?[ \t]*:(?:[ \t]+([^\s{{|>].*)|[ \t]*[|>]?[-+]?[ \t]*\r?\n[ \t]+([^\s{{:]+)[ \t]*\r?$|("[^"\n]*"?))|(hooks\.slack\.com/\S+)"#
    ))
});

/// Matches a word and the colon that makes it a key.
static WORD: LazyLock<Regex> =
    LazyLock::new(|| compile(r#"([^\s{}\[\],"'#]*[^\s{}\[\],"'#:])["']?(:(?:\s|$))?"#));

#[expect(clippy::expect_used, reason = "the patterns are constants, and tested")]
fn compile(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant pattern compiles")
}

fn floor_char_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str, place: SourceSpan) -> Problem {
        let file = DefinitionFile {
            path: "a.yaml".to_owned(),
            text: text.to_owned(),
        };
        let findings = Diagnostics::new(&file);
        findings.error(place, "wrong");
        findings.into_problems().remove(0)
    }

    #[test]
    fn columns_are_characters_and_the_underline_is_bytes_of_the_line() {
        let problem = only("a: 1\né: b\n", SourceSpan(9, 10));
        assert_eq!((problem.line, problem.column), (2, 4));
        let excerpt = problem.excerpt.unwrap();
        assert_eq!(excerpt.text.get(excerpt.span), Some("b"));
    }

    #[test]
    fn a_secret_is_masked_even_where_the_file_cannot_be_parsed() {
        let problem = only("spec: { token: 'hunter2\n", SourceSpan(8, 13));
        assert_eq!(problem.excerpt.unwrap().text, "spec: { token: ********");
        for text in [
            "routing_key: hunter2",
            "x: {\"secret\":\"hunter2\"",
            "slack: https://hooks.slack.com/hunter2",
            "Token:   hunter2 # mine",
        ] {
            let shown = only(text, SourceSpan(0, 1)).excerpt.unwrap().text;
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        let below = only("secret: |\n  hunter2\n", SourceSpan(12, 13));
        assert_eq!(below.excerpt.unwrap().text, "  *******");
    }

    #[test]
    fn a_reference_to_a_secret_is_shown() {
        for text in ["secret: { env: HOOK }", "secret:\n  env: HOOK\n"] {
            let shown = only(text, SourceSpan(text.len() - 3, text.len()))
                .excerpt
                .unwrap()
                .text;
            assert!(!shown.contains('*'), "{shown}");
        }
    }

    #[test]
    fn a_place_behind_the_end_does_no_harm() {
        assert_eq!(only("a", SourceSpan(99, 200)).column, 2);
        assert_eq!(only("", SourceSpan(0, 1)).line, 1);
    }
}
