//! Documents of OpenSLO v1 in the definitions folder, converted as by `throughline convert`.

use super::{
    super::{DefinitionFile, openslo},
    alerting::apply,
    document::{DocumentKind, Sheet, SheetDocument},
};

/// Opens all files. Documents of OpenSLO may refer to each other across files.
pub(crate) fn open<'a>(files: impl Iterator<Item = &'a DefinitionFile>) -> Vec<Sheet<'a>> {
    let mut sheets: Vec<Sheet<'a>> = files.map(Sheet::open).collect();
    let converted = converted(&sheets);
    for (sheet, documents) in sheets.iter_mut().zip(converted) {
        sheet.add(documents);
    }
    sheets
}

/// Converts the OpenSLO documents of each sheet.
fn converted(sheets: &[Sheet<'_>]) -> Vec<Vec<SheetDocument>> {
    let theirs = sheets.iter().flat_map(|sheet| {
        let nodes = sheet.openslo.iter();
        nodes.filter_map(|(_, node)| openslo::document(&sheet.findings, node))
    });
    let policies = sheets.iter().flat_map(|sheet| {
        let ours = sheet.documents();
        let policies = ours.filter(|(kind, ..)| *kind == DocumentKind::AlertPolicy);
        policies.filter_map(|(_, name, _)| name)
    });
    let policies = policies.chain([apply::STANDARD]).collect();
    let all = openslo::convert(theirs.collect(), policies);
    let of_sheet = |sheet: &Sheet<'_>| {
        let own = all
            .iter()
            .filter(|one| std::ptr::eq(one.origin.findings, &raw const sheet.findings));
        own.filter_map(|one| sheet.converted(one)).collect()
    };
    sheets.iter().map(of_sheet).collect()
}
