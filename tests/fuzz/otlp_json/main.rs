//! Any text is read as OTLP/JSON or refused, and everything about its spans can be asked.

#![no_main]

use libfuzzer_sys::fuzz_target;
use throughline::ingest::json;

fuzz_target!(|body: &[u8]| {
    let _ = json::read(body, &mut |span| {
        if let Ok(span) = span {
            span.each_attribute(&mut |_, _, _| {});
            span.any_event(&mut |event| event.name().is_empty());
            span.any_link(&mut |link| link.trace_state().is_empty());
        }
    });
});
