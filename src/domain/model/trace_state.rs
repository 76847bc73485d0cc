//! The W3C trace state: what vendors hand on beside the ids of a trace.

/// The value of `key` in a list of `key=value` members, separated by commas with optional blanks around
/// (W3C Trace Context, section 3.3.1). The first member of that key counts.
pub fn value<'a>(trace_state: &'a str, key: &str) -> Option<&'a str> {
    let blanks: &[char] = &[' ', '\t'];
    trace_state.split(',').find_map(|member| {
        let (name, value) = member.trim_matches(blanks).split_once('=')?;
        (name == key).then_some(value)
    })
}
