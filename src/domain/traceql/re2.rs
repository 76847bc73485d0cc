//! Regular expressions as in Tempo: translates the syntax of Go (RE2) to that of `regex`.
//!
//! Most patterns mean the same in both. Others would be rejected, such as `{id}` and `\Q..\E`, or
//! would silently mean something else: `\d` and `\w` would include all languages, `[a&&b]` would be
//! a set operation, `\<` the start of a word.

use std::{iter::Peekable, str::Chars};

/// A pattern without an equivalent, and what to write instead.
pub(super) struct Untranslatable {
    pub(super) reason: &'static str,
    pub(super) help: &'static str,
}

/// Translates a pattern. Other errors are found when the result is compiled.
pub(super) fn translate(pattern: &str) -> Result<String, Untranslatable> {
    let mut translation = Translation {
        rest: pattern.chars().peekable(),
        output: String::with_capacity(pattern.len()),
    };
    while let Some(c) = translation.rest.next() {
        match c {
            '\\' => translation.escape()?,
            '[' => translation.class()?,
            '{' => translation.braces(),
            '}' => translation.literal('}'),
            _ => translation.output.push(c),
        }
    }
    Ok(translation.output)
}

struct Translation<'p> {
    rest: Peekable<Chars<'p>>,
    output: String,
}

impl Translation<'_> {
    fn literal(&mut self, c: char) {
        self.output
            .push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }

    /// Consumes `text` if it is next; returns whether it was.
    fn takes(&mut self, text: &str) -> bool {
        let mut ahead = self.rest.clone();
        if !text.chars().all(|c| ahead.next() == Some(c)) {
            return false;
        }
        self.rest = ahead;
        true
    }

    fn escape(&mut self) -> Result<(), Untranslatable> {
        let Some(c) = self.rest.next() else {
            self.output.push('\\');
            return Ok(());
        };
        match c {
            'Q' => {
                while !self.takes(r"\E")
                    && let Some(quoted) = self.rest.next()
                {
                    self.literal(quoted);
                }
            }
            'b' => self.output.push_str(r"(?-u:\b)"),
            'B' => {
                return Err(Untranslatable {
                    reason: r"`\B` is not supported",
                    help: r"match the neighbouring characters instead, as `\w`",
                });
            }
            _ => match perl_class(c) {
                Some((class, is_negated)) => {
                    let caret = if is_negated { "^" } else { "" };
                    self.output.extend(["[", caret, class, "]"]);
                }
                None => self.character_escape(c),
            },
        }
        Ok(())
    }

    /// Translates an escape for one character, or for a class of Unicode.
    fn character_escape(&mut self, c: char) {
        match c {
            '0'..='7' => match self.octal(c) {
                Some(character) => self.literal(character),
                // A reference to a group, which the compiler rejects.
                None => self.output.extend(['\\', c]),
            },
            'p' | 'P' | 'x' => {
                self.output.extend(['\\', c]);
                if self.rest.peek() == Some(&'{') {
                    self.copy_to('}');
                }
            }
            _ if c.is_ascii_punctuation() => self.literal(c),
            _ => self.output.extend(['\\', c]),
        }
    }

    /// Reads up to three digits; a single one is not an octal number, except 0.
    fn octal(&mut self, first: char) -> Option<char> {
        let mut number = first.to_digit(8)?;
        let mut length = 1;
        while length < 3
            && let Some(digit) = self.rest.peek().and_then(|c| c.to_digit(8))
        {
            number = number * 8 + digit;
            length += 1;
            self.rest.next();
        }
        let is_octal = length > 1 || first == '0';
        char::from_u32(number).filter(|_| is_octal)
    }

    fn copy_to(&mut self, end: char) {
        for c in self.rest.by_ref() {
            self.output.push(c);
            if c == end {
                return;
            }
        }
    }

    /// Translates braces: `{2}`, `{2,}` and `{2,5}` repeat, any other brace is a character.
    fn braces(&mut self) {
        let inner: String = self.rest.clone().take_while(|c| *c != '}').collect();
        let is_number =
            |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        let repeats = match inner.split_once(',') {
            None => is_number(&inner),
            Some((from, to)) => is_number(from) && (to.is_empty() || is_number(to)),
        };
        let is_closed = self.rest.clone().any(|c| c == '}');
        if repeats && is_closed {
            self.output.push('{');
            self.copy_to('}');
        } else {
            self.literal('{');
        }
    }

    /// Translates the rest of `[...]`.
    fn class(&mut self) -> Result<(), Untranslatable> {
        self.output.push('[');
        if self.takes("^") {
            self.output.push('^');
        }
        let (mut is_first, mut item) = (true, ClassItem::Whole);
        while let Some(c) = self.rest.next() {
            item = match c {
                ']' if !is_first => {
                    self.output.push(']');
                    return Ok(());
                }
                '[' if self.rest.peek() == Some(&':') && self.rest.clone().any(|c| c == ']') => {
                    self.output.push('[');
                    self.copy_to(']');
                    ClassItem::Whole
                }
                '-' if item == ClassItem::Character && self.is_range() => {
                    self.output.push('-');
                    ClassItem::Range
                }
                '\\' => self.class_escape()?.after(item),
                _ => {
                    self.literal(c);
                    ClassItem::Character.after(item)
                }
            };
            is_first = false;
        }
        Ok(())
    }

    fn class_escape(&mut self) -> Result<ClassItem, Untranslatable> {
        let Some(c) = self.rest.next() else {
            self.output.push('\\');
            return Ok(ClassItem::Whole);
        };
        match perl_class(c) {
            Some((class, is_negated)) => {
                let class = if is_negated {
                    format!("[^{class}]")
                } else {
                    class.to_owned()
                };
                self.output.push_str(&class);
                Ok(ClassItem::Whole)
            }
            None if c == 'Q' => Err(Untranslatable {
                reason: r"`\Q` has no meaning in brackets",
                help: r"escape single characters, as `[\]\\]`",
            }),
            None => {
                self.character_escape(c);
                Ok(if c.eq_ignore_ascii_case(&'p') {
                    ClassItem::Whole
                } else {
                    ClassItem::Character
                })
            }
        }
    }

    /// Returns whether the hyphen before the rest is not the last of its class.
    fn is_range(&mut self) -> bool {
        !matches!(self.rest.peek(), None | Some(']'))
    }
}

/// The last item in brackets, which determines the meaning of a hyphen after it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ClassItem {
    /// A character, with which a range may begin.
    Character,
    /// The hyphen of a range.
    Range,
    /// A class, or the end of a range.
    Whole,
}

impl ClassItem {
    const fn after(self, before: Self) -> Self {
        match before {
            Self::Range => Self::Whole,
            Self::Character | Self::Whole => self,
        }
    }
}

/// Returns RE2's meaning of a Perl class, and whether the class excludes it.
const fn perl_class(c: char) -> Option<(&'static str, bool)> {
    Some(match c {
        'd' => ("0-9", false),
        'D' => ("0-9", true),
        'w' => ("0-9A-Za-z_", false),
        'W' => ("0-9A-Za-z_", true),
        's' => (r"\t\n\f\r ", false),
        'S' => (r"\t\n\f\r ", true),
        _ => return None,
    })
}
