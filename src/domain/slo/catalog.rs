//! All that was declared, as one value.

use std::{collections::BTreeMap, sync::Arc};

use super::{GroupBy, Indicator, Slo, Target};
use crate::domain::model::ids::{Name, SloId};

/// Everything declared, valid as a whole.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// By name.
    pub slos: BTreeMap<Name, Arc<Slo>>,
    pub targets: BTreeMap<Name, Arc<Target>>,
}

impl Catalog {
    /// How the SLOs group their events, of those that do and have an id.
    pub fn groupings(&self, ids: &BTreeMap<Name, SloId>) -> BTreeMap<SloId, &GroupBy> {
        self.slos
            .iter()
            .filter_map(|(name, slo)| Some((*ids.get(name)?, slo.group_by.as_ref()?)))
            .collect()
    }
    /// What finishes the workflows of SLOs of workflows that have an id.
    pub fn finishes(&self, ids: &BTreeMap<Name, SloId>) -> BTreeMap<SloId, String> {
        let finish = |(name, slo): (&Name, &Arc<Slo>)| match &slo.indicator {
            Indicator::Workflow(workflow) => {
                Some((*ids.get(name)?, workflow.finish.text().to_owned()))
            }
            Indicator::Span(_) => None,
        };
        self.slos.iter().filter_map(finish).collect()
    }
}
