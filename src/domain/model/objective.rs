//! The target share of good events, and the budget of bad ones that it leaves.

use std::{fmt, str::FromStr};

/// The target share of good events: above 0, below 1.
///
/// Stored in millionths, so that two objectives are equal exactly when their percentages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Objective(u32);

const WHOLE: u32 = 1_000_000;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseObjectiveError {
    #[error("`{0}` is not a share: write `99.5%`, or `0.995` as a ratio")]
    NotAShare(String),
    #[error(
        "`{0}` must be above 0 % and below 100 %: an objective of 100 % leaves no error budget"
    )]
    OutOfRange(String),
    #[error("`{0}` has more digits than the six after the point of a ratio that are kept")]
    TooFine(String),
    #[error("`{text}` is a ratio above 1: did you mean `{text}%`?")]
    MissingPercent { text: String },
}

impl Objective {
    pub fn from_ratio(ratio: f64) -> Option<Self> {
        let millionths = (ratio * f64::from(WHOLE)).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "in range"
        )]
        (millionths >= 1.0 && millionths < f64::from(WHOLE)).then_some(Self(millionths as u32))
    }

    /// Returns the target share, in (0, 1).
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE)
    }

    /// Returns the share of events that may be bad, in (0, 1).
    pub fn budget_ratio(self) -> f64 {
        f64::from(WHOLE - self.0) / f64::from(WHOLE)
    }

    /// Returns the highest possible burn rate: that of nothing but bad events.
    pub fn max_burn_rate(self) -> f64 {
        1.0 / self.budget_ratio()
    }
}

impl FromStr for Objective {
    type Err = ParseObjectiveError;

    /// Parses `99.5%` (a space before the sign is allowed) or `0.995`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let trimmed = text.trim();
        let (number, scale) = match trimmed.strip_suffix('%') {
            Some(percent) => (percent.trim_end(), 10_000.0),
            None => (trimmed, 1_000_000.0),
        };
        let value: f64 = number
            .parse()
            .map_err(|_| ParseObjectiveError::NotAShare(text.to_owned()))?;
        let millionths = value * scale;
        let is_close_to_all =
            millionths < f64::from(WHOLE) && millionths.round() >= f64::from(WHOLE);
        let is_close_to_none = millionths > 0.0 && millionths.round() < 1.0;
        if is_close_to_all || is_close_to_none {
            return Err(ParseObjectiveError::TooFine(text.to_owned()));
        }
        if !(millionths > 0.0 && millionths < f64::from(WHOLE)) {
            let is_percent_without_sign = scale > 10_000.0 && value > 1.0 && value < 100.0;
            return Err(if is_percent_without_sign {
                ParseObjectiveError::MissingPercent {
                    text: text.to_owned(),
                }
            } else {
                ParseObjectiveError::OutOfRange(text.to_owned())
            });
        }
        if (millionths - millionths.round()).abs() > 1e-6 {
            return Err(ParseObjectiveError::TooFine(text.to_owned()));
        }
        Self::from_ratio(millionths / f64::from(WHOLE))
            .ok_or_else(|| ParseObjectiveError::OutOfRange(text.to_owned()))
    }
}

impl fmt::Display for Objective {
    /// Formats `99.5%`: a percentage with as many digits as it has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 10_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_as_percent_or_as_ratio() {
        for text in ["99.5%", "99.5 %", "0.995"] {
            assert_eq!(text.parse::<Objective>().unwrap().to_string(), "99.5%");
        }
        assert_eq!(
            "99.9999%".parse::<Objective>().unwrap().to_string(),
            "99.9999%"
        );
    }

    #[test]
    fn what_leaves_no_budget_or_no_objective_is_refused() {
        for (text, why) in [
            ("99.99999999999%", "more digits"),
            ("0.00000000001", "more digits"),
            ("-1", "must be above 0 %"),
            ("-1%", "must be above 0 %"),
            ("100%", "below 100 %"),
            ("most", "is not a share"),
        ] {
            let message = text.parse::<Objective>().unwrap_err().to_string();
            assert!(message.contains(why), "{text}: {message}");
        }
        for text in ["100%", "0%", "1", "0", "-1%", "101%", "nan", "inf", "NaN%"] {
            assert!(text.parse::<Objective>().is_err(), "{text}");
        }
        assert!(matches!(
            "x".parse::<Objective>(),
            Err(ParseObjectiveError::NotAShare(_))
        ));
        assert!(matches!(
            "99.99999%".parse::<Objective>(),
            Err(ParseObjectiveError::TooFine(_))
        ));
    }

    #[test]
    fn a_forgotten_percent_sign_is_pointed_out() {
        let error = "99.5".parse::<Objective>().unwrap_err();
        assert!(
            error.to_string().contains("did you mean `99.5%`"),
            "{error}"
        );
    }
}
