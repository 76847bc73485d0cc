//! All that was declared, as one value.

use std::{collections::BTreeMap, sync::Arc};

use super::{Slo, Target};
use crate::domain::names::Name;

/// Everything declared, valid as a whole.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// By name.
    pub slos: BTreeMap<Name, Arc<Slo>>,
    pub targets: BTreeMap<Name, Arc<Target>>,
}
