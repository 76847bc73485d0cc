//! One value of a document, with functions that read it or describe what they would read.
//!
//! Each function of a [`YamlValue`] is at once the reader of a value, its JSON Schema and its line
//! in the reference: for a node of a document it returns the value, or reports a problem and
//! returns [`Reported`]; for an outline it records the shape that it accepts and returns
//! `Reported`. Since there are no other functions, schema and reference are always complete.

use super::{
    diagnostics::{Diagnostics, Reported, SourceSpan},
    fields::Fields,
    shape::{Outline, Shape},
    suggest,
    yaml::{NodeValue, YamlNode},
};
use crate::domain::model::text::nearest;

/// A value, or none because of a problem that has been reported.
pub(super) type Checked<T> = Result<T, Reported>;

#[derive(Clone, Copy, Debug)]
pub(super) struct YamlValue<'a> {
    pub(super) findings: &'a Diagnostics<'a>,
    at: At<'a>,
}

#[derive(Clone, Copy, Debug)]
enum At<'a> {
    Node(&'a YamlNode),
    Outline(&'a Outline<'a>),
}

impl<'a> YamlValue<'a> {
    pub(super) const fn of(findings: &'a Diagnostics<'a>, node: &'a YamlNode) -> Self {
        let at = At::Node(node);
        Self { findings, at }
    }

    pub(super) const fn outline(findings: &'a Diagnostics<'a>, outline: &'a Outline<'a>) -> Self {
        let at = At::Outline(outline);
        Self { findings, at }
    }

    pub(super) fn place(self) -> SourceSpan {
        match self.at {
            At::Node(node) => node.place,
            At::Outline(_) => SourceSpan::default(),
        }
    }

    /// Returns whether text or a number is written here.
    pub(super) fn is_text(self) -> bool {
        let At::Node(node) = self.at else {
            return false;
        };
        matches!(node.value, NodeValue::Text(_) | NodeValue::Number(_))
    }

    pub(super) fn error(self, message: impl Into<String>) -> Reported {
        self.findings.error(self.place(), message)
    }

    pub(super) fn error_with_help(
        self,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
    ) -> Reported {
        self.findings.error_with_help(self.place(), message, help)
    }

    /// Returns the node, which `shape` describes.
    pub(super) fn accept(self, shape: Shape) -> Checked<&'a YamlNode> {
        match self.at {
            At::Node(node) => Ok(node),
            At::Outline(outline) => {
                outline.accept(shape);
                Err(Reported)
            }
        }
    }

    pub(super) fn text(self) -> Checked<&'a str> {
        self.text_as(Shape::Text)
    }

    /// Returns a text that `shape` describes in more detail.
    pub(super) fn text_as(self, shape: Shape) -> Checked<&'a str> {
        let node = self.accept(shape)?;
        node.text().ok_or_else(|| self.expected(node, "text"))
    }

    /// Returns text, or a number as it is written.
    pub(super) fn scalar(self, shape: Shape) -> Checked<&'a str> {
        let node = self.accept(shape)?;
        let text = node.text().or_else(|| node.number());
        text.ok_or_else(|| self.expected(node, "text or a number"))
    }

    pub(super) fn whole(self) -> Checked<u64> {
        let node = self.accept(Shape::Whole)?;
        let number = node.number().and_then(|text| text.parse().ok());
        number.ok_or_else(|| self.expected(node, "a whole number of 0 or more"))
    }

    pub(super) fn number(self) -> Checked<f64> {
        let node = self.accept(Shape::Number)?;
        let number = node.number().and_then(|text| text.parse().ok());
        let number = number.filter(|number: &f64| number.is_finite());
        number.ok_or_else(|| self.expected(node, "a number"))
    }

    /// Returns the value of one of a few words.
    pub(super) fn word<T: Copy>(self, words: &[(&'static str, T)]) -> Checked<T> {
        let names: Vec<&'static str> = words.iter().map(|(name, _)| *name).collect();
        let text = self.text_as(Shape::Words(names.clone()))?;
        let found = words.iter().find(|(name, _)| *name == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let near = nearest(text, names.iter().copied());
            self.error_with_help(
                format!("`{text}` is none of {}", suggest::list(&names)),
                near.map(|near| format!("did you mean `{near}`?")),
            )
        })
    }

    /// Checks that exactly this text is written.
    pub(super) fn constant(self, expected: &'static str) -> Checked<()> {
        if self.text_as(Shape::Constant(expected))? == expected {
            return Ok(());
        }
        Err(self.error(format!("`{expected}` is expected here")))
    }

    /// Reads every item, also after an invalid one.
    pub(super) fn list<T>(
        self,
        item: impl for<'v> Fn(YamlValue<'v>) -> Checked<T>,
    ) -> Checked<Vec<T>> {
        let node = match self.at {
            At::Node(node) => node,
            At::Outline(outline) => {
                let of_item = Outline::new(outline.groups());
                // The outline reads nothing; only what it recorded counts.
                let _reported = item(YamlValue::outline(self.findings, &of_item)).is_ok();
                outline.accept(Shape::List(Box::new(of_item.into_shape())));
                return Err(Reported);
            }
        };
        let NodeValue::Sequence(items) = &node.value else {
            return Err(self.expected(node, "a list"));
        };
        let items: Vec<Checked<T>> = items
            .iter()
            .map(|node| item(YamlValue::of(self.findings, node)))
            .collect();
        items.into_iter().collect()
    }

    /// Returns texts and numbers under keys that the user chooses.
    pub(super) fn text_by_key(self) -> Checked<Vec<(String, String)>> {
        let node = self.accept(Shape::TextByKey)?;
        let Some(entries) = node.entries() else {
            return Err(self.expected(node, "a group of fields"));
        };
        let values: Vec<Checked<(String, String)>> = entries
            .iter()
            .filter(|entry| !matches!(entry.value.value, NodeValue::Null))
            .map(|entry| {
                let value = YamlValue::of(self.findings, &entry.value);
                let text = value.scalar(Shape::Scalar)?;
                Ok((entry.key.clone(), text.to_owned()))
            })
            .collect();
        values.into_iter().collect()
    }

    /// Reads a group of fields. `read` must request all of its fields before it returns, even if
    /// some are invalid, so that all problems are found and all fields are known.
    pub(super) fn group<T>(
        self,
        name: &'static str,
        about: &'static str,
        read: impl for<'v> Fn(&Fields<'v>) -> Checked<T>,
    ) -> Checked<T> {
        match self.at {
            At::Node(node) => match node.entries() {
                Some(_) => read(&Fields::of(self.findings, name, node, &read)),
                None => Err(self.expected(node, "a group of fields")),
            },
            At::Outline(outline) => {
                outline.accept(Shape::Group(name));
                if let Some(groups) = outline.groups() {
                    Fields::note_group(groups, name, about, &read);
                }
                Err(Reported)
            }
        }
    }

    /// Reads either text or a number, or a group of fields.
    pub(super) fn text_or_group<T>(
        self,
        text: impl Fn(Self) -> Checked<T>,
        group: impl Fn(Self) -> Checked<T>,
    ) -> Checked<T> {
        match self.at {
            At::Outline(_) => text(self).or_else(|_| group(self)),
            At::Node(node) => match &node.value {
                NodeValue::Text(_) | NodeValue::Number(_) => text(self),
                NodeValue::Mapping(_) => group(self),
                NodeValue::Null | NodeValue::Bool | NodeValue::Sequence(_) => {
                    Err(self.expected(node, "text or a group of fields"))
                }
            },
        }
    }

    /// Reads either text or a list.
    pub(super) fn text_or_list<T>(
        self,
        text: impl Fn(Self) -> Checked<T>,
        list: impl Fn(Self) -> Checked<T>,
    ) -> Checked<T> {
        match self.at {
            At::Outline(_) => text(self).or_else(|_| list(self)),
            At::Node(node) => match &node.value {
                NodeValue::Text(_) => text(self),
                NodeValue::Sequence(_) => list(self),
                NodeValue::Null
                | NodeValue::Bool
                | NodeValue::Number(_)
                | NodeValue::Mapping(_) => Err(self.expected(node, "text or a list")),
            },
        }
    }

    fn expected(self, node: &YamlNode, what: &str) -> Reported {
        let help = match (&node.value, what) {
            (NodeValue::Number(_) | NodeValue::Bool, "text") => {
                Some("write it in quotes".to_owned())
            }
            (NodeValue::Text(text), "a list") => Some(format!("write `[{text}]`")),
            _ => None,
        };
        let message = format!("{what} is expected here, this is {}", node.noun());
        self.error_with_help(message, help)
    }
}
