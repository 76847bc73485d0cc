//! The members of the W3C trace state that samplers write.

use super::threshold::{Randomness, Threshold};

/// A longer value of `ot` is invalid (OpenTelemetry, "`TraceState`: Probability Sampling").
const LONGEST_VALUE: usize = 256;

/// The values of one member; malformed values are distinct from missing ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SamplingMember {
    pub(super) threshold: Part<Threshold>,
    pub(super) randomness: Part<Randomness>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Part<T> {
    #[default]
    Missing,
    Malformed,
    Valid(T),
}

impl<T> Part<T> {
    pub(super) fn of(value: Option<T>) -> Self {
        value.map_or(Self::Malformed, Self::Valid)
    }
}

impl SamplingMember {
    const MALFORMED: Self = Self {
        threshold: Part::Malformed,
        randomness: Part::Missing,
    };
}

/// Reads `ot=th:c;rv:9b8233f7e3a151`.
pub(super) fn threshold_and_randomness(trace_state: &str) -> SamplingMember {
    read(trace_state, "ot", |member, key, value| match key {
        "th" => member.threshold = Part::of(Threshold::from_hex(value)),
        "rv" => member.randomness = Part::of(Randomness::from_hex(value)),
        _ => {}
    })
}

/// Reads `ot=p:3;r:5`, the form before thresholds: one in two to the power of p, by the leading
/// zeros r.
pub(super) fn powers_of_two(trace_state: &str) -> SamplingMember {
    read(trace_state, "ot", |member, key, value| {
        let number = || value.parse::<u32>().ok().filter(|number| *number <= 63);
        match key {
            // 63 means a probability of zero: the span was kept for a reason other than sampling.
            "p" if number() == Some(63) => {}
            "p" => member.threshold = Part::of(number().map(Threshold::of_power)),
            "r" => {
                let zeros = number().filter(|zeros| *zeros <= 62);
                member.randomness = Part::of(zeros.map(Randomness::of_zeros));
            }
            _ => {}
        }
    })
}

/// Reads `es=s:0.1`: the share that is kept.
pub(super) fn elastic(trace_state: &str) -> SamplingMember {
    read(trace_state, "es", |member, key, value| {
        if key == "s" {
            let ratio = value.parse().ok();
            member.threshold = Part::of(ratio.and_then(Threshold::of_ratio));
        }
    })
}

/// Reads the parts `key:value` of the first member with that name.
fn read(
    trace_state: &str,
    name: &str,
    mut each: impl FnMut(&mut SamplingMember, &str, &str),
) -> SamplingMember {
    let blanks: &[char] = &[' ', '\t'];
    let value = trace_state.split(',').find_map(|part| {
        let (key, value) = part.trim_matches(blanks).split_once('=')?;
        (key == name).then_some(value)
    });
    let mut member = SamplingMember::default();
    let Some(value) = value else { return member };
    if value.len() > LONGEST_VALUE {
        return SamplingMember::MALFORMED;
    }
    for part in value.split(';') {
        match part.split_once(':') {
            Some((key, value)) => each(&mut member, key, value),
            None => return SamplingMember::MALFORMED,
        }
    }
    member
}

#[cfg(test)]
mod tests {
    use super::*;

    fn th(trace_state: &str) -> Part<Threshold> {
        threshold_and_randomness(trace_state).threshold
    }

    fn valid(digits: &str) -> Part<Threshold> {
        Part::of(Threshold::from_hex(digits))
    }

    #[test]
    fn the_first_member_that_is_called_ot_counts() {
        assert_eq!(th("ot=th:8"), valid("8"));
        assert_eq!(th("not=th:8, ot=th:c"), valid("c"));
        assert_eq!(th("a=1 ,\tot=th:c;rv:9b8233f7e3a151\t,b=2"), valid("c"));
        assert_eq!(th("ot=th:c,ot=th:8"), valid("c"));
        assert_eq!(th("ot=x:1;th:c;y:"), valid("c"));
        assert_eq!(th("ot=th:0"), valid("0"));
        assert_eq!(th("ot=th:1000"), valid("1"));
    }

    #[test]
    fn no_threshold_is_unknown_and_a_malformed_one_is_told_apart() {
        for missing in ["", "not=th:c", "wf=1", "ot=rv:9b8233f7e3a151", "th:8", ","] {
            assert_eq!(th(missing), Part::Missing, "{missing}");
        }
        for malformed in [
            "ot=th:",
            "ot=th:xyz",
            "ot=th:$",
            "ot=th:0x1p+3",
            "ot=th:14.5",
            "ot=th:-1",
            "ot=th:C",
            "ot=th:123456789abcdef",
            "ot=",
            "ot=th:8;",
            "ot=;th:8",
            "ot=th",
            "ot=th:8;rv",
        ] {
            assert_eq!(th(malformed), Part::Malformed, "{malformed}");
        }
        assert_eq!(
            th(&format!("ot=th:8;x:{}", "1".repeat(256))),
            Part::Malformed
        );
    }

    #[test]
    fn a_malformed_randomness_leaves_the_threshold_alone() {
        let member = threshold_and_randomness("ot=th:8;rv:3");
        assert_eq!(member.threshold, valid("8"));
        assert_eq!(member.randomness, Part::Malformed);
        let member = threshold_and_randomness("ot=rv:9b8233f7e3a151;th:0");
        assert_eq!(
            member.randomness,
            Part::of(Randomness::from_hex("9b8233f7e3a151"))
        );
    }

    #[test]
    fn powers_of_two_are_read_by_their_own_name_only() {
        let member = powers_of_two("ot=p:3;r:5");
        assert_eq!(member.threshold, valid("e"));
        assert_eq!(member.randomness, Part::Valid(Randomness::of_zeros(5)));
        assert_eq!(powers_of_two("ot=p:63;r:1").threshold, Part::Missing);
        assert_eq!(powers_of_two("ot=p:64").threshold, Part::Malformed);
        assert_eq!(powers_of_two("ot=p:-1").threshold, Part::Malformed);
        assert_eq!(powers_of_two("ot=p:1;r:63").randomness, Part::Malformed);
        assert_eq!(th("ot=p:3;r:5"), Part::Missing);
    }

    #[test]
    fn an_elastic_share_is_read_from_its_member() {
        assert_eq!(
            elastic("ot=th:8,es=s:0.1").threshold,
            Part::of(Threshold::of_ratio(0.1))
        );
        for bad in ["es=s:0", "es=s:2", "es=s:x", "es=s:"] {
            assert_eq!(elastic(bad).threshold, Part::Malformed, "{bad}");
        }
    }
}
