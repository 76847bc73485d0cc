//! Customers' names: who sees them (`--customer-names-role`), and what others see instead.
//!
//! Others see a pseudonym and not a blank. So they can still tell two rows apart, follow one customer
//! from page to page, and ask somebody who sees the name about it. It is the pseudonym that messages
//! with `customerDetails: hashed` have. Whatever can hold a name passes [`WebState::shown`].

use std::sync::Arc;

use super::error::AccessError;
use crate::{
    domain::{
        access::{AccessRole, Permissions, SloScope, may_see},
        alerting::{
            silence::{Matcher, Silence},
            snapshot::AlertSnapshot,
        },
        counting::differences::Difference,
        model::{group::Group, ids::Name, text::label_name},
        notify::{Notification, delivery::Attempt, signed_links::signing::SigningKey},
        slo::{Catalog, Correlator, Indicator, Slo},
    },
    store::{
        AffectedCustomers, AlertTransition, DeliveryRecord, EpisodeRecord, EventTotals,
        GroupRecord, IncidentDelivery, StoredWorkflow, WorkflowRecord,
    },
    web::state::WebState,
};

/// The label of alerts that has the values of their group.
const GROUP: &str = "group";

/// The SLOs of which the sender of a request sees customers by name.
#[derive(Clone, Debug)]
pub struct CustomerNames {
    /// The least role that sees them.
    role: AccessRole,
    scopes: Arc<[SloScope]>,
}

/// A record of one SLO that may hold names of customers.
pub(in crate::web) trait NamesCustomers {
    /// Replaces all names.
    fn hide(&mut self, pseudonyms: &Pseudonyms<'_>);
}

/// Replaces names of customers of one SLO.
pub(in crate::web) struct Pseudonyms<'a> {
    key: &'a SigningKey,
    catalog: Arc<Catalog>,
    /// `None` if it is not declared any more.
    slo: Option<Arc<Slo>>,
}

impl CustomerNames {
    /// Returns the names that are seen while the caller is unknown: all or none.
    pub fn of_role(role: AccessRole) -> Self {
        let scopes = match role {
            AccessRole::Viewer => vec![SloScope::All],
            AccessRole::Editor | AccessRole::Admin => Vec::new(),
        };
        Self {
            role,
            scopes: scopes.into(),
        }
    }

    /// Returns the names that a caller with these permissions sees.
    pub(super) fn seen_with(&self, permissions: &Permissions) -> Self {
        match self.role {
            AccessRole::Viewer => self.clone(),
            role => Self {
                role,
                scopes: permissions.scopes(role).into(),
            },
        }
    }

    fn are_all_seen(&self) -> bool {
        self.scopes.contains(&SloScope::All)
    }
}

impl WebState {
    /// Returns a record of `slo` as the caller may see it: with names of customers, or with
    /// pseudonyms.
    pub(in crate::web) fn shown<T: NamesCustomers>(&self, slo: &Name, mut record: T) -> T {
        if !self.names_customers(slo) {
            record.hide(&self.pseudonyms(Some(slo)));
        }
        record
    }

    /// Returns whether the caller sees the customers of `slo` by name.
    pub(in crate::web) fn names_customers(&self, slo: &Name) -> bool {
        let scopes = &self.customers.scopes;
        self.customers.are_all_seen()
            || self
                .catalog
                .borrow()
                .declared(slo)
                .is_some_and(|slo| may_see(scopes, &slo.labels))
    }

    /// Rejects callers who see the names of no customers, where hiding them leaves nothing.
    pub(in crate::web) fn check_customers(&self) -> Result<(), AccessError> {
        if self.customers.scopes.is_empty() {
            let needed = self.customers.role;
            return Err(AccessError::CustomerNames { needed });
        }
        Ok(())
    }

    /// Returns a silence as the caller may see it. It may concern several SLOs, so only those who see
    /// the names of all see the values that it selects.
    pub(in crate::web) fn shown_silence(&self, mut silence: Silence) -> Silence {
        if !self.customers.are_all_seen() {
            let pseudonyms = self.pseudonyms(None);
            let matchers = silence.terms.matchers.iter_mut();
            let hidden = matchers.filter(|matcher| pseudonyms.hide_label(matcher.name()));
            for matcher in hidden {
                *matcher = pseudonyms.matcher(matcher);
            }
        }
        silence
    }

    fn pseudonyms(&self, slo: Option<&Name>) -> Pseudonyms<'_> {
        let restriction = self.restriction.as_ref();
        let seen = || Arc::clone(&self.catalog.borrow());
        let catalog = restriction.map_or_else(seen, |restriction| Arc::clone(&restriction.all));
        Pseudonyms {
            key: &self.signing_key,
            slo: slo.and_then(|slo| catalog.declared(slo).cloned()),
            catalog,
        }
    }
}

impl Pseudonyms<'_> {
    /// Replaces one name. A name that is a pseudonym already, because of `customerDetails`, gets
    /// another one: a customer may be called what looks like one.
    fn replace(&self, name: &mut String) {
        *name = self.key.pseudonym(name);
    }

    fn replace_all<'n>(&self, names: impl IntoIterator<Item = &'n mut String>) {
        for name in names {
            self.replace(name);
        }
    }

    /// Returns whether values of the attribute `key`, without its scope, are names of customers of any
    /// SLO.
    fn name_customers(&self, key: &str) -> bool {
        let slos = self.catalog.slos.values();
        let mut customers = slos.filter_map(|slo| slo.customer.as_ref());
        customers.any(|customer| customer.key == key)
    }

    /// Returns whether values of an attribute such as `span.customer.id` are hidden. Which attribute
    /// named customers of a former SLO is unknown.
    fn hide_values(&self, attribute: &str) -> bool {
        let key = attribute.split_once('.').map_or(attribute, |(_, key)| key);
        self.slo.is_none() || self.name_customers(key)
    }

    /// Returns whether the names of workflows are those of customers, because they belong together by
    /// the attribute that names the customer.
    fn hide_labels(&self) -> bool {
        let Some(slo) = &self.slo else {
            return true;
        };
        let Indicator::Workflow(workflow) = &slo.indicator else {
            return false;
        };
        let names = |key: &str| self.name_customers(key);
        workflow.correlate.iter().any(|by| match by {
            Correlator::Attribute { attribute, run } => {
                names(&attribute.key) || run.as_ref().is_some_and(|run| names(&run.key))
            }
            Correlator::Message { id, .. } => names(&id.key),
            _ => false,
        })
    }

    /// Returns whether the values of a label of alerts are hidden, in matchers.
    fn hide_label(&self, name: &str) -> bool {
        let slos = self.catalog.slos.values();
        let mut attributes = slos
            .filter_map(|slo| slo.group_by.as_ref())
            .flat_map(|by| &by.attributes);
        attributes.any(|attribute| {
            let key = attribute.key.as_str();
            let is_meant = name == GROUP || name == key || name == label_name(key);
            is_meant && self.name_customers(key)
        })
    }

    fn matcher(&self, matcher: &Matcher) -> Matcher {
        let value = self.key.pseudonym(matcher.value());
        let text = Matcher::text(matcher.name(), matcher.operator(), &value);
        text.parse()
            .unwrap_or_else(|_| Matcher::equal(matcher.name(), &value))
    }
}

impl<T: NamesCustomers> NamesCustomers for Option<T> {
    fn hide(&mut self, pseudonyms: &Pseudonyms<'_>) {
        if let Some(one) = self {
            one.hide(pseudonyms);
        }
    }
}

impl<T: NamesCustomers> NamesCustomers for Vec<T> {
    fn hide(&mut self, pseudonyms: &Pseudonyms<'_>) {
        for one in self {
            one.hide(pseudonyms);
        }
    }
}

impl NamesCustomers for AffectedCustomers {
    fn hide(&mut self, pseudonyms: &Pseudonyms<'_>) {
        for one in &mut self.worst {
            pseudonyms.replace(&mut one.customer);
        }
    }
}

impl NamesCustomers for Group {
    fn hide(&mut self, pseudonyms: &Pseudonyms<'_>) {
        let values = self.values.iter_mut().flatten();
        for (attribute, value) in self.by.iter().zip(values) {
            if pseudonyms.hide_values(attribute) {
                pseudonyms.replace_all(value);
            }
        }
    }
}

impl NamesCustomers for Difference {
    fn hide(&mut self, pseudonyms: &Pseudonyms<'_>) {
        if pseudonyms.hide_values(&self.attribute) {
            pseudonyms.replace(&mut self.value);
        }
    }
}

impl NamesCustomers for WorkflowRecord {
    fn hide(&mut self, pseudonyms: &Pseudonyms<'_>) {
        let label = pseudonyms.hide_labels().then_some(&mut self.label);
        pseudonyms.replace_all(self.customer.iter_mut().chain(label));
    }
}

impl NamesCustomers for StoredWorkflow {
    fn hide(&mut self, pseudonyms: &Pseudonyms<'_>) {
        let workflow = &mut self.judged.workflow;
        let label = pseudonyms.hide_labels().then_some(&mut workflow.label);
        pseudonyms.replace_all(workflow.customer.iter_mut().chain(label));
    }
}

impl NamesCustomers for GroupRecord {
    fn hide(&mut self, pseudonyms: &Pseudonyms<'_>) {
        self.group.hide(pseudonyms);
    }
}

impl NamesCustomers for EventTotals {
    fn hide(&mut self, pseudonyms: &Pseudonyms<'_>) {
        self.group.hide(pseudonyms);
    }
}

impl NamesCustomers for AlertSnapshot {
    fn hide(&mut self, pseudonyms: &Pseudonyms<'_>) {
        self.group.hide(pseudonyms);
        self.differences.hide(pseudonyms);
        let ended = self.episode_summary.as_mut();
        if let Some(before) = ended.and_then(|ended| ended.before.as_mut()) {
            before.difference.hide(pseudonyms);
        }
        for top in &mut self.context.top_customers {
            pseudonyms.replace(&mut top.customer);
        }
        let are_labels_hidden = pseudonyms.hide_labels();
        for worst in &mut self.worst {
            pseudonyms.replace_all(&mut worst.customer);
            if are_labels_hidden {
                pseudonyms.replace(&mut worst.label);
                // The addresses of trace viewers may have the label.
                worst.links.clear();
            }
        }
    }
}

impl NamesCustomers for AlertTransition {
    fn hide(&mut self, pseudonyms: &Pseudonyms<'_>) {
        self.facts.hide(pseudonyms);
    }
}

impl NamesCustomers for EpisodeRecord {
    fn hide(&mut self, pseudonyms: &Pseudonyms<'_>) {
        self.facts.hide(pseudonyms);
    }
}

impl NamesCustomers for DeliveryRecord {
    fn hide(&mut self, pseudonyms: &Pseudonyms<'_>) {
        if let Some(Notification::Alert(facts)) = &mut self.content {
            facts.hide(pseudonyms);
        }
    }
}

/// A target may repeat what it was sent.
impl NamesCustomers for Attempt {
    fn hide(&mut self, _: &Pseudonyms<'_>) {
        self.excerpt = None;
    }
}

impl NamesCustomers for IncidentDelivery {
    fn hide(&mut self, _: &Pseudonyms<'_>) {
        let attempts = self.attempt.iter_mut();
        attempts.for_each(|attempt| attempt.excerpt = None);
    }
}
