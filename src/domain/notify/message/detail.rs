//! The level of detail of a message: a message that is too long for its target is sent with less
//! detail.

use serde_json::Value;

/// Each level has less detail than the one before; the essential facts are in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    Full,
    NoPicture,
    OneExample,
    NoExamples,
    /// What happened, who is affected, and which objective is violated.
    Sentence,
}

impl Detail {
    const LADDER: [Self; 5] = [
        Self::Full,
        Self::NoPicture,
        Self::OneExample,
        Self::NoExamples,
        Self::Sentence,
    ];

    /// Returns the most detailed rendering that fits. The last is used without a check: each of its
    /// parts is limited to a short length.
    pub(crate) fn richest(render: impl Fn(Self) -> Value, fits: impl Fn(&Value) -> bool) -> Value {
        let mut rendered = Value::Null;
        for detail in Self::LADDER {
            rendered = render(detail);
            if fits(&rendered) {
                break;
            }
        }
        rendered
    }

    /// Returns the number of named workflows.
    pub(crate) const fn examples(self) -> usize {
        match self {
            Self::Full | Self::NoPicture => 3,
            Self::OneExample => 1,
            Self::NoExamples | Self::Sentence => 0,
        }
    }

    /// Returns the number of named attributes that bad events have in common.
    pub(crate) const fn differences(self) -> usize {
        match self {
            Self::Full | Self::NoPicture | Self::OneExample => 3,
            Self::NoExamples => 1,
            Self::Sentence => 0,
        }
    }

    /// Returns the number of named changes, and of named customers.
    pub(crate) const fn changes(self) -> usize {
        match self {
            Self::Full | Self::NoPicture | Self::OneExample => 3,
            Self::NoExamples => 1,
            Self::Sentence => 0,
        }
    }

    /// Returns whether a chart is shown: the text has the same information for clients that cannot
    /// load it.
    pub(crate) const fn shows_chart(self) -> bool {
        match self {
            Self::Full => true,
            Self::NoPicture | Self::OneExample | Self::NoExamples | Self::Sentence => false,
        }
    }

    /// Returns the maximum number of characters of a platform notification's lines together.
    pub(crate) const fn text_chars(self) -> usize {
        match self {
            Self::Full => 3_000,
            Self::NoPicture => 2_000,
            Self::OneExample => 1_000,
            Self::NoExamples => 500,
            Self::Sentence => 300,
        }
    }

    /// Returns whether budget, burn rates, labels and links are shown.
    pub(crate) const fn shows_numbers(self) -> bool {
        match self {
            Self::Full | Self::NoPicture | Self::OneExample | Self::NoExamples => true,
            Self::Sentence => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t29_what_is_too_long_says_less_step_by_step() {
        let render = |detail: Detail| Value::from(format!("{detail:?}"));
        let within = |chars: usize| {
            let fits = move |text: &Value| text.as_str().is_some_and(|text| text.len() <= chars);
            Detail::richest(render, fits)
        };
        assert_eq!(within(4), "Full");
        assert_eq!(within(3), "Sentence", "the last is told in any case");
        let nothing_short = |text: &Value| text == "OneExample" || text == "Sentence";
        assert_eq!(Detail::richest(render, nothing_short), "OneExample");
        let counts = Detail::LADDER.map(Detail::examples);
        assert!(counts.is_sorted_by(|more, less| more >= less));
    }
}
