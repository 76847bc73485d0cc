//! Reads how sampled spans are weighted.

use crate::domain::{
    model::sampling::{Meaning, SamplingEncoding, Threshold, TraceIds, Weighing},
    slo::definition::{
        check::selector::attribute,
        fields::Fields,
        shape::Shape,
        suggest,
        value::{Checked, YamlValue},
    },
};

const NAMES: [(&str, SamplingEncoding); 4] = [
    ("sampling", SamplingEncoding::Sampling),
    ("powerOfTwo", SamplingEncoding::PowerOfTwo),
    ("elastic", SamplingEncoding::Elastic),
    ("attributes", SamplingEncoding::Attributes),
];

/// Reads everything but the weight of spans without a sampling probability.
pub(crate) fn of_workflow(fields: &Fields<'_>) -> Checked<Weighing> {
    let encoding = encoding(fields);
    let end_threshold = fields.optional(
        "endThreshold",
        "Highest sampling threshold of spans that end workflows, in hexadecimal digits: `c` if a quarter \
         is kept, `0` if all are. Those that say nothing weigh as this sampler says. By default learned from \
         these spans.",
        threshold,
    );
    let trace_ids = fields.or(
        "traceIdRandomness",
        "presumed",
        "Which trace ids are random, so that samplers decide by them: all (`presumed`), or those with \
         the random flag of W3C Trace Context (`flagged`).",
        |value| {
            value.word(&[
                ("presumed", TraceIds::Presumed),
                ("flagged", TraceIds::Flagged),
            ])
        },
    );
    Ok(Weighing {
        encoding: encoding?,
        end_threshold: end_threshold?,
        trace_ids: trace_ids?,
        ..Weighing::default()
    })
}

/// Does the same for one-span indicators.
pub(crate) fn of_span(fields: &Fields<'_>) -> Checked<Weighing> {
    Ok(Weighing {
        encoding: encoding(fields)?,
        ..Weighing::default()
    })
}

fn encoding(fields: &Fields<'_>) -> Checked<SamplingEncoding> {
    let about = "Where a span says how likely it was kept: `sampling` (ot=th in the trace state), \
                 `powerOfTwo` (ot=p), `elastic` (es=s), `attributes` (sampling.threshold), or an attribute.";
    fields.or("weight", "sampling", about, |value| {
        value.text_or_group(named, by_attribute)
    })
}

fn by_attribute(value: YamlValue<'_>) -> Checked<SamplingEncoding> {
    let about = "An attribute that says how likely a span was kept.";
    value.group("Weight", about, |fields| {
        let attribute = fields.required("attribute", "Its name.", attribute);
        let about = "What the number is: `count` (one of so many was kept) or `ratio` (this share was kept).";
        let meaning = fields.or("as", "count", about, |value| {
            value.word(&[("count", Meaning::Count), ("ratio", Meaning::Ratio)])
        });
        Ok(SamplingEncoding::Attribute {
            attribute: attribute?,
            meaning: meaning?,
        })
    })
}

fn named(value: YamlValue<'_>) -> Checked<SamplingEncoding> {
    let text = value.scalar(Shape::Words(NAMES.map(|(name, _)| name).to_vec()))?;
    let found = NAMES.into_iter().find(|(name, _)| *name == text);
    found.map(|(_, encoding)| encoding).ok_or_else(|| {
        let help = suggest::did_you_mean(text, NAMES.iter().map(|(name, _)| *name));
        let help = help.unwrap_or_else(|| {
            "write `sampling`, `powerOfTwo`, `elastic` or `attributes`, or name an attribute: \
             `weight: { attribute: span.SampleRate }`"
                .to_owned()
        });
        let message = format!("`{text}` is no known way to say how likely a span was kept");
        value.error_with_help(message, help)
    })
}

fn threshold(value: YamlValue<'_>) -> Checked<Threshold> {
    let text = value.scalar(Shape::Scalar)?;
    // YAML reads `0x12` as the number 18, whose digits are valid as well.
    let written = value.findings.text().get(value.place().range());
    let is_number_of_yaml = written.is_some_and(|written| written.starts_with("0x"));
    let threshold = Threshold::from_hex(text).filter(|_| !is_number_of_yaml);
    threshold.ok_or_else(|| {
        value.error_with_help(
            format!("`{}` is no sampling threshold", written.unwrap_or(text)),
            "write 1 to 14 hexadecimal digits in lower case, as after `th:` in the trace state: `c` \
             where a quarter is kept"
                .to_owned(),
        )
    })
}
