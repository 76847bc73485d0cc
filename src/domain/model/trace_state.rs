//! The W3C trace state, which vendors propagate along with the ids of a trace.

/// Returns the value of `key` in a list of `key=value` members, separated by commas with optional
/// blanks around (W3C Trace Context, section 3.3.1). The first member with that key counts.
pub fn value<'a>(trace_state: &'a str, key: &str) -> Option<&'a str> {
    let blanks: &[char] = &[' ', '\t'];
    trace_state.split(',').find_map(|member| {
        let (name, value) = member.trim_matches(blanks).split_once('=')?;
        (name == key).then_some(value)
    })
}
