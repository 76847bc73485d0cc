//! "Did you mean ...?"

use crate::domain::model::ids::Name;

/// Returns the candidate that `wrong` is most likely a typo of, if one is near enough.
pub(super) fn nearest<'a>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
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

/// Returns help that names the nearest candidate, or all of them if they are few.
pub fn did_you_mean<'a>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    match nearest(wrong, candidates.iter().copied()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if candidates.is_empty() => None,
        None => Some(format!("known: {}", list(&candidates))),
    }
}

/// Formats `` `a`, `b` and `c` ``.
pub(super) fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// Normalises a name: case, `_` and `-` are the most frequent mistakes, so they are ignored.
fn fold(text: &str) -> String {
    text.chars()
        .filter(|c| !matches!(c, '_' | '-' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Returns the most similar valid name.
pub(super) fn suggested_name(text: &str) -> Option<String> {
    let mut name = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    let name = name.trim_matches('-');
    name.parse::<Name>().is_ok().then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let fields = ["start", "finish", "within", "alertPolicies"];
        assert_eq!(nearest("finsih", fields), Some("finish"));
        assert_eq!(nearest("alert_policies", fields), Some("alertPolicies"));
        assert_eq!(nearest("colour", fields), None);
        assert_eq!(
            did_you_mean("colour", ["a", "b", "c"]).as_deref(),
            Some("known: `a`, `b` and `c`")
        );
    }
}
