//! Text of people and senders: made safe to display in a message, and compared with the words that were
//! meant.

use unicode_segmentation::UnicodeSegmentation as _;

/// Returns the text on one line, without control characters or those that change the direction of
/// writing, at most `max` characters; `…` marks a truncation.
///
/// It never splits what reads as one character: half of an emoji or of an accented letter is a
/// different one.
pub fn plain(text: &str, max: usize) -> String {
    if text.len() <= max && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    // One character more than fits shows whether the last one that fits is complete.
    let cleaned: String = text
        .chars()
        .map(cleaned)
        .take(max.saturating_add(1))
        .collect();
    if cleaned.chars().count() <= max {
        return cleaned;
    }
    let mut room = max.saturating_sub(1);
    let mut kept = String::with_capacity(cleaned.len());
    for letter in cleaned.graphemes(true) {
        let Some(left) = room.checked_sub(letter.chars().count()) else {
            break;
        };
        room = left;
        kept.push_str(letter);
    }
    if max > 0 {
        kept.push('…');
    }
    kept
}

/// Returns the text unchanged, if it is a web address of at most `max` bytes: a truncated address
/// is useless.
pub fn web_address(text: &str, max: usize) -> Option<&str> {
    let is_web = text.starts_with("https://") || text.starts_with("http://");
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'|' | b'"' | b'`'));
    (is_web && is_plain && text.len() <= max).then_some(text)
}

/// Returns a name as a label of Prometheus, `[a-zA-Z_][a-zA-Z0-9_]*`: others are understood by newer
/// releases only.
pub fn label_name(key: &str) -> String {
    let mut name: String = key
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        name.insert(0, '_');
    }
    name
}

fn cleaned(character: char) -> char {
    let turns_direction = matches!(character, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let ends_line = matches!(character, '\u{2028}' | '\u{2029}');
    if character.is_control() || turns_direction || ends_line {
        ' '
    } else {
        character
    }
}

/// Returns the candidate that `wrong` is most likely a typo of, if one is near enough.
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(wrong);
    candidates
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&folded, &fold(candidate));
            (distance, candidate)
        })
        // Up to a third of the letters may be wrong; beyond that a guess misleads.
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Normalises a name: case, `_` and `-` are the most frequent mistakes, so they are ignored.
fn fold(text: &str) -> String {
    text.chars()
        .filter(|c| !matches!(c, '_' | '-' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(plain("checkout", 8), "checkout");
        assert_eq!(plain("checkouts", 8), "checkou…");
        assert_eq!(plain("a\nb\u{202E}c", 8), "a b c");
        assert_eq!(plain("checkouts", 0), "");
    }

    #[test]
    fn t29_what_reads_as_one_character_is_never_cut_in_two() {
        assert_eq!(plain("cafe\u{301}s", 6), "cafe\u{301}s");
        assert_eq!(plain("cafe\u{301}s", 5), "caf…");
        let family = "👨\u{200D}👩\u{200D}👧";
        assert_eq!(plain(&format!("a{family}b"), 6), "a…");
        assert_eq!(plain(&format!("a{family}bc"), 7), format!("a{family}…"));
    }

    #[test]
    fn only_a_whole_web_address_is_an_address() {
        assert_eq!(
            web_address("https://a.example/x", 30),
            Some("https://a.example/x")
        );
        for bad in [
            "javascript:alert(1)",
            "https://a b",
            "https://a|b>",
            "https://ü",
            "ftp://a",
        ] {
            assert_eq!(web_address(bad, 30), None, "{bad}");
        }
        assert_eq!(web_address("https://a.example/too-long", 10), None);
    }

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let fields = ["start", "finish", "within", "alertPolicies"];
        assert_eq!(nearest("finsih", fields), Some("finish"));
        assert_eq!(nearest("alert_policies", fields), Some("alertPolicies"));
        assert_eq!(nearest("colour", fields), None);
    }
}
