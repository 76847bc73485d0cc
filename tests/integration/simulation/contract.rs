//! What is promised: once as the definition that the product is told, once as plain values for the
//! oracle.

/// One SLO. Its spans are named after it and the role that they play: `orders start`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contract {
    pub(super) name: &'static str,
    pub(super) identity: Identity,
    /// Whole seconds, as all times of a contract.
    pub(super) within: i64,
    pub(super) grace: i64,
    pub(super) cancelled: Cancelled,
    pub(super) is_grouped: bool,
}

/// What makes spans evidence of the same workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// The attribute `order.id`.
    Order,
    Trace,
}

/// What a workflow is that was cancelled in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancelled {
    Excluded,
    Good,
    Bad,
}

/// As short as all that they have in common.
const USUAL: Contract = Contract {
    name: "",
    identity: Identity::Trace,
    within: 60,
    grace: 120,
    cancelled: Cancelled::Excluded,
    is_grouped: false,
};

pub(super) const ALL: [Contract; 4] = [
    Contract {
        name: "orders",
        identity: Identity::Order,
        is_grouped: true,
        ..USUAL
    },
    Contract {
        name: "jobs",
        grace: 30,
        ..USUAL
    },
    Contract {
        name: "exports",
        cancelled: Cancelled::Good,
        ..USUAL
    },
    Contract {
        name: "imports",
        cancelled: Cancelled::Bad,
        within: 300,
        ..USUAL
    },
];

impl Contract {
    /// What the product is told.
    pub(super) fn definition(&self) -> String {
        let Self {
            name,
            within,
            grace,
            ..
        } = self;
        let correlate = match self.identity {
            Identity::Order => "[span.order.id]",
            Identity::Trace => "[trace]",
        };
        let cancelled = match self.cancelled {
            Cancelled::Excluded => "exclude",
            Cancelled::Good => "good",
            Cancelled::Bad => "bad",
        };
        let group_by = if self.is_grouped {
            "groupBy: [span.kind]"
        } else {
            ""
        };
        format!(
            "---
apiVersion: throughline/v1
kind: SLO
metadata: {{ name: {name} }}
spec:
  objective: 99%
  window: 30d
  grace: {grace}s
  customer: span.customer
  {group_by}
  indicator:
    workflow:
      start: '{{ name = \"{name} start\" }}'
      finish: '{{ name = \"{name} finish\" && status != error }}'
      fail: '{{ name = \"{name} dead letter\" }}'
      cancel: '{{ name = \"{name} cancel\" }}'
      cancelled: {cancelled}
      pause: '{{ name = \"{name} pause\" }}'
      within: {within}s
      correlate: {correlate}
  notify: {{}}
"
        )
    }
}
