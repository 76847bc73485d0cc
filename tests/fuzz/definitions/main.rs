//! Any text is a definition file or refused with a problem.

#![no_main]

use libfuzzer_sys::fuzz_target;
use throughline::domain::slo::definition::{DefinitionFile, load};

fuzz_target!(|text: &str| {
    let file = DefinitionFile {
        path: "fuzz.yaml".to_owned(),
        text: text.to_owned(),
    };
    if let Err(problems) = load(&[file]) {
        assert!(!problems.is_empty());
    }
});
