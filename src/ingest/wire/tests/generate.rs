//! Turns a list of choices into a protobuf body: mostly valid by the schema, in any order, with
//! repetitions, unknown fields and groups, and sometimes invalid.

#[derive(Clone, Copy)]
enum GeneratedKind {
    ResourceSpans,
    ScopeSpans,
    Span,
    Event,
    Link,
    Status,
    KeyValue,
    AnyValue,
    Array,
    Map,
    Resource,
    EntityRef,
    Scope,
}

#[derive(Clone, Copy)]
enum GeneratedShape {
    Varint,
    Fixed64,
    Fixed32,
    Text,
    Id,
    Nested(GeneratedKind),
}

use GeneratedShape::{Fixed32, Fixed64, Id, Nested, Text, Varint};

#[expect(clippy::too_many_lines, reason = "a table")]
const fn schema(kind: GeneratedKind) -> &'static [(u32, GeneratedShape)] {
    match kind {
        GeneratedKind::ResourceSpans => &[
            (1, Nested(GeneratedKind::Resource)),
            (2, Nested(GeneratedKind::ScopeSpans)),
            (2, Nested(GeneratedKind::ScopeSpans)),
            (3, Text),
        ],
        GeneratedKind::ScopeSpans => &[
            (1, Nested(GeneratedKind::Scope)),
            (2, Nested(GeneratedKind::Span)),
            (2, Nested(GeneratedKind::Span)),
            (3, Text),
        ],
        GeneratedKind::Span => &[
            (1, Id),
            (2, Id),
            (3, Text),
            (4, Id),
            (5, Text),
            (6, Varint),
            (7, Fixed64),
            (8, Fixed64),
            (9, Nested(GeneratedKind::KeyValue)),
            (9, Nested(GeneratedKind::KeyValue)),
            (10, Varint),
            (11, Nested(GeneratedKind::Event)),
            (12, Varint),
            (13, Nested(GeneratedKind::Link)),
            (14, Varint),
            (15, Nested(GeneratedKind::Status)),
            (16, Fixed32),
        ],
        GeneratedKind::Event => &[
            (1, Fixed64),
            (2, Text),
            (3, Nested(GeneratedKind::KeyValue)),
            (4, Varint),
        ],
        GeneratedKind::Link => &[
            (1, Id),
            (2, Id),
            (3, Text),
            (4, Nested(GeneratedKind::KeyValue)),
            (5, Varint),
            (6, Fixed32),
        ],
        GeneratedKind::Status => &[(2, Text), (3, Varint)],
        GeneratedKind::KeyValue => &[(1, Text), (2, Nested(GeneratedKind::AnyValue)), (3, Varint)],
        GeneratedKind::AnyValue => &[
            (1, Text),
            (2, Varint),
            (3, Varint),
            (4, Fixed64),
            (5, Nested(GeneratedKind::Array)),
            (6, Nested(GeneratedKind::Map)),
            (7, Text),
            (8, Varint),
        ],
        GeneratedKind::Array => &[(1, Nested(GeneratedKind::AnyValue))],
        GeneratedKind::Map => &[(1, Nested(GeneratedKind::KeyValue))],
        GeneratedKind::Resource => &[
            (1, Nested(GeneratedKind::KeyValue)),
            (2, Varint),
            (3, Nested(GeneratedKind::EntityRef)),
        ],
        GeneratedKind::EntityRef => &[(1, Text), (2, Text), (3, Text), (4, Text)],
        GeneratedKind::Scope => &[
            (1, Text),
            (2, Text),
            (3, Nested(GeneratedKind::KeyValue)),
            (4, Varint),
        ],
    }
}

pub(in crate::ingest) fn request(choices: &[u8]) -> Vec<u8> {
    let mut choices = Choices(choices);
    let mut body = Vec::new();
    while !choices.0.is_empty() {
        field(
            &mut body,
            1,
            Nested(GeneratedKind::ResourceSpans),
            &mut choices,
        );
    }
    body
}

/// Yields zeros when it has run out, and zero always ends what is being generated.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn below(&mut self, count: usize) -> usize {
        usize::from(self.next()) % count
    }
}

fn message(kind: GeneratedKind, choices: &mut Choices<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if matches!(kind, GeneratedKind::Span) && choices.below(4) > 0 {
        field(&mut bytes, 1, Id, &mut Choices(&[4]));
        field(&mut bytes, 2, Id, &mut Choices(&[1]));
    }
    for _ in 0..choices.below(8) {
        let (tag, shape) = schema(kind)[choices.below(schema(kind).len())];
        match choices.next() {
            0..8 => field(&mut bytes, 20 + tag, shape, choices),
            8..16 => group(&mut bytes, 30 + tag, shape, choices),
            // A known field with the wire type of another.
            16 => field(&mut bytes, tag, Varint, choices),
            17 => group(&mut bytes, tag, shape, choices),
            _ => field(&mut bytes, tag, shape, choices),
        }
    }
    bytes
}

fn group(bytes: &mut Vec<u8>, tag: u32, shape: GeneratedShape, choices: &mut Choices<'_>) {
    varint(bytes, u64::from(tag << 3 | 3));
    field(bytes, 1, shape, choices);
    if choices.below(4) == 1 {
        group(bytes, tag + 1, shape, choices);
    }
    varint(bytes, u64::from(tag << 3 | 4));
}

fn field(bytes: &mut Vec<u8>, tag: u32, shape: GeneratedShape, choices: &mut Choices<'_>) {
    let wire_type = match shape {
        Varint => 0,
        Fixed64 => 1,
        Text | Id | Nested(_) => 2,
        Fixed32 => 5,
    };
    varint(bytes, u64::from(tag << 3 | wire_type));
    match shape {
        Varint => {
            let number = u64::from(choices.next() % 8);
            varint(bytes, if number == 7 { u64::MAX - 3 } else { number });
        }
        // A time or a number; as a number, one that decimal digits represent exactly.
        Fixed64 => bytes.extend((f64::from(choices.next()) / 8.0).to_le_bytes()),
        Fixed32 => bytes.extend([choices.next(); 4]),
        Text => {
            let texts = ["", "a", "b", "service.name", "größe"];
            delimited(bytes, texts[choices.below(texts.len())].as_bytes());
        }
        Id => {
            let length = [0, 8, 8, 7, 16, 16][choices.below(6)];
            delimited(bytes, &vec![choices.next() | 1; length]);
        }
        Nested(kind) => delimited(bytes, &message(kind, choices)),
    }
}

fn delimited(bytes: &mut Vec<u8>, content: &[u8]) {
    varint(bytes, content.len() as u64);
    bytes.extend(content);
}

fn varint(bytes: &mut Vec<u8>, value: u64) {
    prost::encoding::encode_varint(value, bytes);
}
