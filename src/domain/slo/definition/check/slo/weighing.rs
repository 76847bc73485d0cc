//! How spans are weighed that stand for others.

use crate::domain::{
    model::sampling::{Meaning, SamplingEncoding, Threshold, TraceIds, UnknownWeight, Weighing},
    slo::definition::{
        check::{
            selector::attribute,
            values::{optional, required_ref},
        },
        diagnostics::{Diagnostics, SourceSpan},
        file::{MeaningFile, SloSpec, TraceIdsFile, WeightFile},
        read::{Field, Scalar, TextOr},
        suggest,
    },
};

const NAMES: [(&str, SamplingEncoding); 4] = [
    ("sampling", SamplingEncoding::Sampling),
    ("powerOfTwo", SamplingEncoding::PowerOfTwo),
    ("elastic", SamplingEncoding::Elastic),
    ("attributes", SamplingEncoding::Attributes),
];

pub(crate) fn check(findings: &Diagnostics<'_>, spec: &SloSpec) -> Option<Weighing> {
    let indicator = optional(Some(&spec.indicator)).map(|(file, _)| file);
    let workflow = indicator.and_then(|file| optional(file.workflow.as_ref()));
    let span = indicator.and_then(|file| optional(file.span.as_ref()));
    let weight = match (workflow, span) {
        (Some((file, _)), _) => file.weight.as_ref(),
        (None, Some((file, _))) => file.weight.as_ref(),
        (None, None) => None,
    };
    let end_threshold = workflow.and_then(|(file, _)| file.end_threshold.as_ref());
    let encoding = encoding(findings, weight);
    let unknown = unknown(findings, spec.unknown_weight.as_ref());
    let end_threshold = match end_threshold {
        None => Some(None),
        Some(field) => threshold(findings, field).map(Some),
    };
    let trace_ids = workflow.and_then(|(file, _)| file.trace_id_randomness.as_ref());
    let trace_ids = match trace_ids {
        None => Some(TraceIds::default()),
        Some(field) => field.valid().map(|(file, _)| match file {
            TraceIdsFile::Presumed => TraceIds::Presumed,
            TraceIdsFile::Flagged => TraceIds::Flagged,
        }),
    };
    Some(Weighing {
        encoding: encoding?,
        unknown: unknown?,
        end_threshold: end_threshold?,
        trace_ids: trace_ids?,
    })
}

fn encoding(
    findings: &Diagnostics<'_>,
    field: Option<&Field<TextOr<WeightFile>>>,
) -> Option<SamplingEncoding> {
    let Some(field) = field else {
        return Some(SamplingEncoding::default());
    };
    match field.valid()? {
        (TextOr::Text(text), place) => named(findings, text, place),
        (TextOr::Shape(file), place) => {
            let attribute = required_ref(findings, &file.attribute, place, "attribute")
                .and_then(|(text, place)| attribute(findings, text, place));
            let meaning = match &file.meaning {
                None => Meaning::default(),
                Some(field) => match field.valid()?.0 {
                    MeaningFile::Count => Meaning::Count,
                    MeaningFile::Ratio => Meaning::Ratio,
                },
            };
            Some(SamplingEncoding::Attribute {
                attribute: attribute?,
                meaning,
            })
        }
    }
}

fn named(findings: &Diagnostics<'_>, text: &str, place: SourceSpan) -> Option<SamplingEncoding> {
    let found = NAMES.into_iter().find(|(name, _)| *name == text);
    if let Some((_, encoding)) = found {
        return Some(encoding);
    }
    let help =
        suggest::did_you_mean(text, NAMES.iter().map(|(name, _)| *name)).unwrap_or_else(|| {
            "write `sampling`, `powerOfTwo`, `elastic` or `attributes`, or name an attribute: \
         `weight: { attribute: span.SampleRate }`"
                .to_owned()
        });
    findings.error_with_help(
        place,
        format!("`{text}` is no way of telling how likely a span was kept"),
        help,
    );
    None
}

fn unknown(findings: &Diagnostics<'_>, field: Option<&Field<Scalar>>) -> Option<UnknownWeight> {
    let Some(field) = field else {
        return Some(UnknownWeight::default());
    };
    let (Scalar(text), place) = field.valid()?;
    let weight = match text.as_str() {
        "one" => Some(UnknownWeight::One),
        "reject" => Some(UnknownWeight::Reject),
        number => number
            .parse()
            .ok()
            .and_then(Threshold::of_count)
            .map(UnknownWeight::Fixed),
    };
    if weight.is_none() {
        findings.error_with_help(
            place,
            format!("`{text}` is no weight"),
            "write `one`, `reject`, or the number of spans that one stands for, at least 1"
                .to_owned(),
        );
    }
    weight
}

fn threshold(findings: &Diagnostics<'_>, field: &Field<Scalar>) -> Option<Threshold> {
    let (Scalar(text), place) = field.valid()?;
    // YAML reads `0x12` as 18, which are digits as well.
    let written = findings.text().get(place.0..place.1);
    let is_number_of_yaml = written.is_some_and(|written| written.starts_with("0x"));
    let threshold = Threshold::from_hex(text).filter(|_| !is_number_of_yaml);
    if threshold.is_none() {
        findings.error_with_help(
            place,
            format!("`{}` is no sampling threshold", written.unwrap_or(text)),
            "write 1 to 14 hexadecimal digits in lower case, as after `th:` in the trace state: `c` \
             where a quarter is kept"
                .to_owned(),
        );
    }
    threshold
}
