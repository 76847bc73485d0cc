//! JSON as senders write it: a tree over the body that records the faults of each value.
//!
//! A library rejects a whole body for half of a surrogate pair, a byte that is not UTF-8, `1e400`
//! or one level of nesting too many. Here, as in Go's decoders, the first two become U+FFFD, a
//! number stays text until it is read, and values nested too deeply are skipped. What is not JSON
//! at all is rejected.

use std::borrow::Cow;

/// The depth of arrays and objects that is read. A value nested deeper is never compared.
const MAX_DEPTH: u32 = 128;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum JsonTree<'a> {
    Null,
    Bool(bool),
    /// As it was written, `NaN` and `Infinity` included.
    Number(&'a str),
    String(JsonText<'a>),
    Array(Vec<JsonTree<'a>>),
    Object(JsonObject<'a>),
    /// A value that is nested too deeply to be read.
    TooDeep,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct JsonText<'a> {
    pub(super) text: Cow<'a, str>,
    /// True if U+FFFD replaces invalid text in it.
    pub(super) is_repaired: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct JsonObject<'a>(Vec<(Cow<'a, str>, JsonTree<'a>)>);

impl<'a> JsonObject<'a> {
    /// Returns a member. Of duplicate names the last one counts, and `null` is absent.
    pub(super) fn member(&self, name: &str) -> Option<&JsonTree<'a>> {
        let mut last_first = self.0.iter().rev();
        let (_, value) = last_first.find(|(own, _)| own == name)?;
        (*value != JsonTree::Null).then_some(value)
    }
}

/// Reads the one value of `body`.
///
/// # Errors
/// Why and where it is not JSON.
pub(super) fn parse(body: &[u8]) -> Result<JsonTree<'_>, String> {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let mut parser = JsonParser { body, at: 0 };
    let value = parser.value(MAX_DEPTH);
    let value = value.and_then(|value| match parser.next_token() {
        None => Ok(value),
        Some(_) => Err("something follows its end"),
    });
    value.map_err(|problem| format!("{problem} (byte {})", parser.at))
}

struct JsonParser<'a> {
    body: &'a [u8],
    at: usize,
}

const CUT_OFF: &str = "it is cut off";

impl<'a> JsonParser<'a> {
    fn value(&mut self, depth: u32) -> Result<JsonTree<'a>, &'static str> {
        match self.next_token().ok_or(CUT_OFF)? {
            b'{' | b'[' if depth == 0 => self.skip_nested().map(|()| JsonTree::TooDeep),
            b'{' => self.object(depth - 1),
            b'[' => self.array(depth - 1),
            b'"' => self.string().map(JsonTree::String),
            _ => self.word(),
        }
    }

    /// Returns the next byte that is not white space, without consuming it.
    fn next_token(&mut self) -> Option<u8> {
        let rest = self.body.get(self.at..)?;
        let space = rest
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
        self.at += space.unwrap_or(rest.len());
        self.peek()
    }

    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    /// Consumes `byte` if it is the next token.
    fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.next_token() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn object(&mut self, depth: u32) -> Result<JsonTree<'a>, &'static str> {
        self.at += 1;
        let mut members = Vec::new();
        if self.takes(b'}') {
            return Ok(JsonTree::Object(JsonObject(members)));
        }
        loop {
            if self.next_token().ok_or(CUT_OFF)? != b'"' {
                return Err("the name of a member is expected");
            }
            let name = self.string()?.text;
            if !self.takes(b':') {
                return Err("a colon is expected");
            }
            members.push((name, self.value(depth)?));
            if self.takes(b'}') {
                return Ok(JsonTree::Object(JsonObject(members)));
            }
            if !self.takes(b',') {
                return Err("a comma or the end of an object is expected");
            }
        }
    }

    fn array(&mut self, depth: u32) -> Result<JsonTree<'a>, &'static str> {
        self.at += 1;
        let mut elements = Vec::new();
        if self.takes(b']') {
            return Ok(JsonTree::Array(elements));
        }
        loop {
            elements.push(self.value(depth)?);
            if self.takes(b']') {
                return Ok(JsonTree::Array(elements));
            }
            if !self.takes(b',') {
                return Err("a comma or the end of an array is expected");
            }
        }
    }

    /// Skips an array or an object that is not read. Brackets need not match, only balance.
    fn skip_nested(&mut self) -> Result<(), &'static str> {
        let mut open: usize = 0;
        loop {
            match self.peek().ok_or(CUT_OFF)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => open += 1,
                b'}' | b']' => open -= 1,
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return Ok(());
            }
        }
    }

    /// Reads a string whose opening quote is next.
    fn string(&mut self) -> Result<JsonText<'a>, &'static str> {
        self.at += 1;
        let plain = self.until_quote_or_escape()?;
        if self.peek() == Some(b'"') {
            self.at += 1;
            let text = String::from_utf8_lossy(plain);
            let is_repaired = matches!(text, Cow::Owned(_));
            return Ok(JsonText { text, is_repaired });
        }
        let mut bytes = plain.to_vec();
        let mut is_repaired = false;
        while self.peek() == Some(b'\\') {
            self.at += 1;
            let character = self.escaped()?;
            is_repaired |= character.is_none();
            let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
            bytes.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
            bytes.extend(self.until_quote_or_escape()?);
        }
        self.at += 1;
        let text = String::from_utf8(bytes).unwrap_or_else(|error| {
            is_repaired = true;
            String::from_utf8_lossy(error.as_bytes()).into_owned()
        });
        let text = Cow::Owned(text);
        Ok(JsonText { text, is_repaired })
    }

    fn until_quote_or_escape(&mut self) -> Result<&'a [u8], &'static str> {
        let rest = self.body.get(self.at..).unwrap_or_default();
        let mut bytes = rest.iter();
        let end = bytes.position(|byte| matches!(byte, b'"' | b'\\'));
        let end = end.ok_or(CUT_OFF)?;
        self.at += end;
        Ok(rest.get(..end).unwrap_or_default())
    }

    /// Reads the character of an escape, after its backslash; `None` for half of a surrogate pair.
    fn escaped(&mut self) -> Result<Option<char>, &'static str> {
        let escape = self.peek().ok_or(CUT_OFF)?;
        self.at += 1;
        Ok(Some(match escape {
            b'"' | b'\\' | b'/' => char::from(escape),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.code_unit().map(|unit| self.character(unit)),
            _ => return Err("a string has an escape that is none"),
        }))
    }

    fn code_unit(&mut self) -> Result<u32, &'static str> {
        let digits = self.body.get(self.at..self.at + 4).ok_or(CUT_OFF)?;
        let unit = digits.iter().try_fold(0, |unit, digit| {
            Some(unit * 16 + char::from(*digit).to_digit(16)?)
        });
        self.at += 4;
        unit.ok_or("`\\u` needs four hexadecimal digits")
    }

    /// Returns the character of this code unit, or of this one and the low surrogate that follows.
    fn character(&mut self, unit: u32) -> Option<char> {
        if !(0xd800..0xdc00).contains(&unit) {
            return char::from_u32(unit);
        }
        let before = self.at;
        if self.body.get(before..before + 2) == Some(b"\\u") {
            self.at += 2;
            if let Ok(low @ 0xdc00..0xe000) = self.code_unit() {
                return char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
            }
        }
        self.at = before;
        None
    }

    fn word(&mut self) -> Result<JsonTree<'a>, &'static str> {
        let rest = self.body.get(self.at..).unwrap_or_default();
        let of_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let end = rest.iter().position(|byte| !of_word(byte));
        let word = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let word = str::from_utf8(word).unwrap_or_default();
        let value = match word {
            "null" => JsonTree::Null,
            "true" => JsonTree::Bool(true),
            "false" => JsonTree::Bool(false),
            "NaN" | "Infinity" | "-Infinity" => JsonTree::Number(word),
            number if number.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => {
                JsonTree::Number(number)
            }
            _ => return Err("a value is expected"),
        };
        self.at += word.len();
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Reference;

    use super::*;

    fn same(tree: &JsonTree<'_>, reference: &Reference) -> bool {
        match (tree, reference) {
            (JsonTree::Null, Reference::Null) => true,
            (JsonTree::Bool(own), Reference::Bool(other)) => own == other,
            (JsonTree::Number(own), Reference::Number(other)) => {
                own.parse::<f64>().ok() == other.as_f64()
            }
            (JsonTree::String(own), Reference::String(other)) => {
                own.text == other.as_str() && !own.is_repaired
            }
            (JsonTree::Array(own), Reference::Array(other)) => {
                own.len() == other.len()
                    && own.iter().zip(other).all(|(own, other)| same(own, other))
            }
            (JsonTree::Object(own), Reference::Object(other)) => {
                let mut members = other.iter();
                members.all(|(name, value)| match own.member(name) {
                    Some(own) => same(own, value),
                    None => value.is_null(),
                })
            }
            _ => false,
        }
    }

    fn any_json() -> impl Strategy<Value = Reference> {
        let leaf = prop_oneof![
            Just(Reference::Null),
            any::<bool>().prop_map(Reference::from),
            any::<i64>().prop_map(Reference::from),
            any::<f64>().prop_map(Reference::from),
            any::<String>().prop_map(Reference::from),
        ];
        leaf.prop_recursive(5, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Reference::from),
                prop::collection::btree_map("[a-c\"\\\\é]{0,2}", inner, 0..5)
                    .prop_map(|members| Reference::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn valid_json_is_read_as_a_library_reads_it(json in any_json(), pretty in any::<bool>()) {
            let text = if pretty {
                serde_json::to_string_pretty(&json).unwrap()
            } else {
                json.to_string()
            };
            prop_assert!(same(&parse(text.as_bytes()).unwrap(), &json), "{}", text);
        }

        #[test]
        fn what_a_library_reads_is_read_and_any_bytes_are_survived(
            body in prop::collection::vec(
                prop::sample::select(b"{}[]\",:\\ud8a0e19.-ntrue\xff ".to_vec()), 0..24
            ),
        ) {
            let own = parse(&body);
            if let Ok(reference) = serde_json::from_slice::<Reference>(&body) {
                prop_assert!(own.is_ok_and(|own| same(&own, &reference)));
            }
        }
    }

    fn text(body: &[u8]) -> JsonText<'_> {
        match parse(body) {
            Ok(JsonTree::String(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        for (body, expected) in [
            (b"\"a\\ud83d\"".as_slice(), "a\u{fffd}"),
            (b"\"\\udc00b\"", "\u{fffd}b"),
            (b"\"\\ud83d\\u0041\"", "\u{fffd}A"),
            (b"\"\\ud83d\\ud83d\\ude00\"", "\u{fffd}\u{1f600}"),
            (b"\"caf\xe9\"", "caf\u{fffd}"),
            (b"\"\\n\xff\xfe\"", "\n\u{fffd}\u{fffd}"),
        ] {
            let text = text(body);
            assert_eq!((text.text.as_ref(), text.is_repaired), (expected, true));
        }
        assert_eq!(text(b"\"\\ud83d\\ude00\"").text, "\u{1f600}");
    }

    #[test]
    fn numbers_stay_text() {
        for number in [
            "1e400",
            "-0.5",
            "NaN",
            "-Infinity",
            "12345678901234567890123",
        ] {
            assert_eq!(parse(number.as_bytes()), Ok(JsonTree::Number(number)));
        }
    }

    #[test]
    fn what_is_nested_too_deep_is_passed_over_without_recursion() {
        let deep = format!(
            "{}\"]\\\"\"{}",
            "[".repeat(1_000_000),
            "]".repeat(1_000_000)
        );
        let body = format!("[{deep}, 7]");
        let JsonTree::Array(elements) = parse(body.as_bytes()).unwrap() else {
            panic!("it is an array");
        };
        assert_eq!(elements[1], JsonTree::Number("7"));
    }

    #[test]
    fn what_is_no_json_is_refused_with_the_place() {
        for (body, problem) in [
            ("", "it is cut off (byte 0)"),
            ("{\"a\" 1}", "a colon is expected (byte 5)"),
            (
                "[1 2]",
                "a comma or the end of an array is expected (byte 3)",
            ),
            ("{} {}", "something follows its end (byte 3)"),
            ("nul", "a value is expected (byte 0)"),
            ("\"abc", "it is cut off (byte 1)"),
            ("\"\\q\"", "a string has an escape that is none (byte 3)"),
        ] {
            assert_eq!(parse(body.as_bytes()), Err(problem.to_owned()));
        }
    }
}
