//! Thresholds and random numbers of samplers, and the weights that follow.

use serde::{Deserialize, Serialize};

use crate::domain::model::ids::TraceId;

/// One more than the highest threshold and the highest randomness.
const MAX: u64 = 1 << 56;

/// The value that a trace's randomness must reach for a span to be kept: 0 keeps all. Below 2^56.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "u64", into = "u64")]
pub struct Threshold(u64);

/// The random number that all samplers of a trace use, so that a stricter one keeps a subset of
/// what a laxer one has kept. Below 2^56.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Randomness(u64);

/// The number of events that one observed event represents, in millionths: an integer, so that sums
/// are the same in any order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(i64);

impl Threshold {
    pub const KEEPS_ALL: Self = Self(0);

    /// Parses 1 to 14 hexadecimal digits in lower case; trailing zeros may be left out.
    pub fn from_hex(digits: &str) -> Option<Self> {
        if !(1..=14).contains(&digits.len()) {
            return None;
        }
        let number = from_hex(digits)?;
        Some(Self(number << (4 * (14 - digits.len()))))
    }

    /// Returns the threshold of a sampler that keeps this share, above 0 and at most 1.
    pub fn of_ratio(ratio: f64) -> Option<Self> {
        (ratio > 0.0 && ratio <= 1.0).then(|| Self::keeping(ratio * MAX_AS_F64))
    }

    /// Returns the threshold of a sampler that keeps one in `count`, at least 1.
    pub fn of_count(count: f64) -> Option<Self> {
        (count >= 1.0 && count.is_finite()).then(|| Self::keeping(MAX_AS_F64 / count))
    }

    /// Returns the threshold of a sampler that keeps one in two to the power of `exponent`.
    pub const fn of_power(exponent: u32) -> Self {
        let exponent = if exponent > 56 { 56 } else { exponent };
        Self(MAX - (MAX >> exponent))
    }

    fn keeping(kept: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 2^56"
        )]
        let kept = kept.round() as u64;
        Self(MAX - kept.clamp(1, MAX))
    }

    /// Returns the weight of a span that was kept: 2^56 / (2^56 - T).
    pub fn weight(self) -> Weight {
        Weight::ONE.of_those_kept(self)
    }

    /// Returns the share of spans that it keeps.
    pub fn kept_share(self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "an estimate needs no more digits"
        )]
        let kept = (MAX - self.0) as f64;
        kept / MAX_AS_F64
    }

    /// Formats it as in the trace state.
    pub fn to_hex(self) -> String {
        let digits = format!("{:014x}", self.0);
        let short = digits.trim_end_matches('0');
        if short.is_empty() { "0" } else { short }.to_owned()
    }
}

impl Randomness {
    /// Parses exactly 14 hexadecimal digits in lower case.
    pub fn from_hex(digits: &str) -> Option<Self> {
        (digits.len() == 14)
            .then(|| from_hex(digits))
            .flatten()
            .map(Self)
    }

    /// Returns the last seven bytes of the trace id: samplers use them if `rv` gives no other
    /// number.
    pub fn of_trace(trace_id: TraceId) -> Self {
        let [_, _, _, _, _, _, _, _, _, tail @ ..] = trace_id.as_bytes();
        Self(
            tail.iter()
                .fold(0, |number, &byte| (number << 8) | u64::from(byte)),
        )
    }

    /// Returns the randomness for a sampler of powers of two, which counts leading zeros: kept by
    /// `p` if there are at least as many.
    pub const fn of_zeros(zeros: u32) -> Self {
        Self(Threshold::of_power(zeros).0)
    }

    /// Returns whether it is kept; a randomness equal to the threshold is.
    pub const fn is_kept_by(self, threshold: Threshold) -> bool {
        self.0 >= threshold.0
    }
}

impl Weight {
    const MILLION: i64 = 1_000_000;
    pub const ONE: Self = Self(Self::MILLION);
    /// The maximum: a higher weight is almost certainly an error of the sampler.
    pub const MOST: Self = Self(Self::MILLION * Self::MILLION);

    /// Makes a weight from its column.
    pub fn from_millionths(millionths: i64) -> Self {
        Self(millionths.clamp(Self::ONE.0, Self::MOST.0))
    }

    pub const fn millionths(self) -> i64 {
        self.0
    }

    /// Returns the number of unobserved events that it represents, in millionths.
    pub const fn unseen(self) -> i64 {
        self.0 - Self::MILLION
    }

    /// Returns `amount`, which is not negative, times the weight. Rounded half up, and limited to
    /// the range of its type.
    pub fn times(self, amount: i64) -> i64 {
        let all = i128::from(self.0) * i128::from(amount);
        let rounded = (all + i128::from(Self::MILLION / 2)).div_euclid(i128::from(Self::MILLION));
        i64::try_from(rounded).unwrap_or(i64::MAX)
    }

    /// Returns the combined weight if another, independent sampler also had to keep the event.
    /// Rounded half up, and at most [`Self::MOST`].
    #[must_use]
    pub fn of_those_kept(self, threshold: Threshold) -> Self {
        let kept = u128::from(MAX - threshold.0);
        let all = u128::from(self.0.unsigned_abs()) * u128::from(MAX);
        let weight = (all + kept / 2) / kept;
        Self(i64::try_from(weight).map_or(Self::MOST.0, |weight| weight.min(Self::MOST.0)))
    }
}

const MAX_AS_F64: f64 = 72_057_594_037_927_936.0;

fn from_hex(digits: &str) -> Option<u64> {
    let is_digit = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    digits
        .bytes()
        .all(is_digit)
        .then(|| u64::from_str_radix(digits, 16).ok())
        .flatten()
}

/// The error for a number that is not below 2^56.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` has more than 56 bits")]
pub struct TooWide(u64);

impl TryFrom<u64> for Threshold {
    type Error = TooWide;

    fn try_from(number: u64) -> Result<Self, TooWide> {
        (number < MAX)
            .then_some(Self(number))
            .ok_or(TooWide(number))
    }
}

impl TryFrom<u64> for Randomness {
    type Error = TooWide;

    fn try_from(number: u64) -> Result<Self, TooWide> {
        (number < MAX)
            .then_some(Self(number))
            .ok_or(TooWide(number))
    }
}

impl From<Threshold> for u64 {
    fn from(threshold: Threshold) -> Self {
        threshold.0
    }
}

impl From<Randomness> for u64 {
    fn from(randomness: Randomness) -> Self {
        randomness.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `th` and the adjusted count in millionths: from the specification, OTEP 235, and the tests
    /// of the Collector's `pkg/sampling`.
    const VECTORS: [(&str, u64, i64); 16] = [
        ("0", 0, 1_000_000),
        ("08", 0x0008_0000_0000_0000, 1_032_258),
        ("4", 0x0040_0000_0000_0000, 1_333_333),
        ("8", 0x0080_0000_0000_0000, 2_000_000),
        ("c", 0x00c0_0000_0000_0000, 4_000_000),
        ("e", 0x00e0_0000_0000_0000, 8_000_000),
        ("f", 0x00f0_0000_0000_0000, 16_000_000),
        ("aaab", 0x00aa_ab00_0000_0000, 3_000_046),
        ("e666", 0x00e6_6600_0000_0000, 9_999_390),
        ("fd70a", 0x00fd_70a0_0000_0000, 99_997_711),
        ("fd70a4", 0x00fd_70a4_0000_0000, 100_000_095),
        ("ffbe77", 0x00ff_be77_0000_0000, 1_000_012_875),
        ("ffffffffffffff", (1 << 56) - 1, 1_000_000_000_000),
        ("1000", 0x0010_0000_0000_0000, 1_066_667),
        ("555", 0x0055_5000_0000_0000, 1_499_817),
        ("aaaaaaaaaaaaac", 0x00aa_aaaa_aaaa_aaac, 3_000_000),
    ];

    #[test]
    fn a_threshold_weighs_what_the_specification_says() {
        for (th, bits, millionths) in VECTORS {
            let threshold = Threshold::from_hex(th).unwrap();
            assert_eq!(u64::from(threshold), bits, "{th}");
            assert_eq!(threshold.weight().millionths(), millionths, "{th}");
            assert_eq!(Threshold::from_hex(&threshold.to_hex()), Some(threshold));
        }
    }

    #[test]
    fn what_is_no_threshold_is_none_and_never_zero() {
        for th in [
            "",
            "xyz",
            "$",
            "0x1p+3",
            "14.5",
            "-1",
            "123456789abcdef",
            "C",
            " 8",
            "+8",
        ] {
            assert_eq!(Threshold::from_hex(th), None, "{th}");
        }
        for rv in [
            "",
            "3",
            "9b8233f7e3a15",
            "9b8233f7e3a1511",
            "9B8233F7E3A151",
        ] {
            assert_eq!(Randomness::from_hex(rv), None, "{rv}");
        }
        for ratio in [0.0, -0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Threshold::of_ratio(ratio), None, "{ratio}");
        }
        for count in [0.0, 0.5, -3.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Threshold::of_count(count), None, "{count}");
        }
    }

    #[test]
    fn a_trace_id_is_kept_by_the_thresholds_that_its_last_56_bits_reach() {
        let kept = |trace_id: &str, th: &str| {
            let trace_id = TraceId::from_hex(trace_id).unwrap();
            Randomness::of_trace(trace_id).is_kept_by(Threshold::from_hex(th).unwrap())
        };
        let likely = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(
            ["8", "c", "e"].map(|th| kept(likely, th)),
            [true, true, false]
        );
        let middling = "5b8efff798038103d269b633813fc60c";
        assert_eq!(
            ["69b6", "69b7", "8"].map(|th| kept(middling, th)),
            [true, false, false]
        );
        let at = |tail: &str| kept(&format!("{}{tail}", "1".repeat(18)), "8");
        assert!(!at("7fffffffffffff"));
        assert!(at("80000000000000"), "equal to the threshold is kept");
    }

    #[test]
    fn an_explicit_randomness_is_kept_by_the_shares_that_the_specification_says() {
        let kept = |rv: &str, ratio: f64| {
            let threshold = Threshold::of_ratio(ratio).unwrap();
            Randomness::from_hex(rv).unwrap().is_kept_by(threshold)
        };
        assert!(kept("9b8233f7e3a151", 0.5));
        assert!(kept("6e6d1a75832a2f", 0.57));
        assert!(!kept("6e6d1a75832a2f", 0.568));
    }

    #[test]
    fn ratios_counts_and_powers_weigh_as_they_say() {
        assert_eq!(
            Threshold::of_ratio(0.1).unwrap().weight().millionths(),
            10_000_000
        );
        assert_eq!(Threshold::of_ratio(1.0), Some(Threshold::KEEPS_ALL));
        assert_eq!(Threshold::of_count(1.0), Some(Threshold::KEEPS_ALL));
        assert_eq!(
            Threshold::of_count(7.0).unwrap().weight().millionths(),
            7_000_000
        );
        assert_eq!(Threshold::of_count(1e9).unwrap().weight(), Weight::MOST);
        assert_eq!(Threshold::of_power(3), Threshold::from_hex("e").unwrap());
        assert_eq!(Threshold::of_power(62).weight(), Weight::MOST);
        for (p, r) in (0..56).flat_map(|p| (0..56).map(move |r| (p, r))) {
            let is_kept = Randomness::of_zeros(r).is_kept_by(Threshold::of_power(p));
            assert_eq!(is_kept, r >= p, "p {p}, r {r}");
        }
    }

    #[test]
    fn a_quarter_of_a_half_is_an_eighth() {
        let weight = Threshold::from_hex("8").unwrap().weight();
        let weight = weight.of_those_kept(Threshold::from_hex("c").unwrap());
        assert_eq!(weight.millionths(), 8_000_000);
        assert_eq!(weight.unseen(), 7_000_000);
    }

    proptest! {
        #[test]
        fn whole_counts_weigh_exactly_themselves_while_56_bits_tell_them_apart(
            count in 1_u32..=250_000,
        ) {
            let weight = Threshold::of_count(f64::from(count)).unwrap().weight();
            prop_assert_eq!(weight.millionths(), i64::from(count) * 1_000_000);
        }

        #[test]
        fn a_stricter_threshold_never_weighs_less(a in 0..MAX, b in 0..MAX) {
            let (lax, strict) = (Threshold(a.min(b)), Threshold(a.max(b)));
            prop_assert!(lax.weight() <= strict.weight());
            prop_assert!(lax.weight() >= Weight::ONE && strict.weight() <= Weight::MOST);
        }
    }
}
