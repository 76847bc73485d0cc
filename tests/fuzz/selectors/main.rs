//! Any text is a selector or refused, with a range of bytes that lies in it on whole characters.

#![no_main]

use libfuzzer_sys::fuzz_target;
use throughline::domain::traceql::Selector;

fuzz_target!(|text: &str| {
    if let Err(error) = Selector::parse(text) {
        assert!(text.get(error.span.clone()).is_some(), "{error:?}");
    }
});
