//! The demo's definitions. They are part of the program, so that it works in any folder, and are
//! written to files that the service reads.

use std::{fs, io, net::SocketAddr, path::Path};

const FILES: [(&str, &str); 4] = [
    ("orders.yaml", include_str!("definitions/orders.yaml")),
    ("payments.yaml", include_str!("definitions/payments.yaml")),
    ("policies.yaml", include_str!("definitions/policies.yaml")),
    ("targets.yaml", include_str!("definitions/targets.yaml")),
];

/// A placeholder in the files for an address that is known only when the demo runs.
const HOOK: &str = "DEMO_HOOK_ADDRESS";

/// Writes them to `folder`; notifications go to `hook`.
pub(super) fn write(folder: &Path, hook: SocketAddr) -> io::Result<()> {
    for (name, text) in FILES {
        fs::write(folder.join(name), text.replace(HOOK, &hook.to_string()))?;
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::{
        app::definitions::read,
        domain::slo::{Catalog, Indicator, Slo, definition::load},
    };

    pub(in crate::demo) fn catalog() -> Catalog {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "127.0.0.1:9".parse().unwrap()).unwrap();
        let (catalog, warnings) = load(&read(folder.path()).unwrap().files).unwrap();
        assert_eq!(warnings, []);
        catalog
    }

    /// Returns the attributes that the definitions ask of spans.
    fn questions(slo: &Slo) -> Vec<String> {
        match &slo.indicator {
            Indicator::Workflow(of) => vec![
                format!("{:?}", of.start),
                format!("{:?}", of.finish),
                format!("{:?}", of.fail),
                format!("{:?}", of.cancel),
                format!("{:?}", of.correlate),
            ],
            Indicator::Span(of) => vec![
                format!("{:?}", of.matches),
                format!("{:?}", of.good),
                format!("{:?}", of.started_at),
            ],
        }
    }

    #[test]
    fn they_are_taken_without_a_warning_and_tell_the_demo() {
        let catalog = catalog();
        assert_eq!(catalog.slos.len(), 3);
        for slo in catalog.slos.values() {
            assert_eq!(slo.notify.page[0].as_str(), "demo-hook");
        }
    }

    #[test]
    fn they_ask_the_same_as_the_definitions_that_come_with_the_product() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("slo-definitions");
        let (shipped, _) = load(&read(&folder).unwrap().files).unwrap();
        for (name, slo) in &catalog().slos {
            let theirs = &shipped.slos[name];
            assert_eq!(questions(slo), questions(theirs), "{name}");
            assert_eq!(slo.customer, theirs.customer, "{name}");
            assert_eq!(slo.objective, theirs.objective, "{name}");
        }
    }
}
