//! How much of the facts a message tells: where the whole is too long for a target, it says less,
//! but it is sent.

use serde_json::Value;

/// Each tells less than the one before; what everybody must know is in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    Full,
    NoPicture,
    OneExample,
    NoExamples,
    /// What happened, to whom, and which promise it breaks.
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

    /// The first rendering of the ladder that fits. The last is taken as it is: whoever renders keeps
    /// every part of it short.
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

    /// How many workflows are named.
    pub(crate) const fn examples(self) -> usize {
        match self {
            Self::Full | Self::NoPicture => 3,
            Self::OneExample => 1,
            Self::NoExamples | Self::Sentence => 0,
        }
    }

    /// How many attributes are named that the bad have in common.
    pub(crate) const fn differences(self) -> usize {
        match self {
            Self::Full | Self::NoPicture | Self::OneExample => 3,
            Self::NoExamples => 1,
            Self::Sentence => 0,
        }
    }

    /// How many changes, and how many customers, are named.
    pub(crate) const fn changes(self) -> usize {
        match self {
            Self::Full | Self::NoPicture | Self::OneExample => 3,
            Self::NoExamples => 1,
            Self::Sentence => 0,
        }
    }

    /// Whether a chart is shown: whoever cannot fetch it misses nothing that is not said.
    pub(crate) const fn shows_picture(self) -> bool {
        match self {
            Self::Full => true,
            Self::NoPicture | Self::OneExample | Self::NoExamples | Self::Sentence => false,
        }
    }

    /// Of the lines of a platform notification together.
    pub(crate) const fn text_chars(self) -> usize {
        match self {
            Self::Full => 3_000,
            Self::NoPicture => 2_000,
            Self::OneExample => 1_000,
            Self::NoExamples => 500,
            Self::Sentence => 300,
        }
    }

    /// Whether budget, burn, labels and links are told.
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
