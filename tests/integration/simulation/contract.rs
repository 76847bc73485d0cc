//! The contract: once as the definition that the product is given, once as plain values for the
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
    pub(super) legs: Option<Legs>,
    pub(super) sampling: Sampling,
    pub(super) grouping: Grouping,
    pub(super) opening: Opening,
}

/// What makes spans evidence of the same workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// The attribute `order.id`, on the span or on its links.
    Order,
    Trace,
    /// Where the links of a span and its parents lead to.
    Links,
    /// A message that was published with others.
    Message,
    /// Every span named `finish` is an event.
    Span,
}

/// What a workflow is that was cancelled in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancelled {
    Excluded,
    Good,
    Bad,
}

/// How many legs must succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Legs {
    All,
    Any,
    AtLeast(usize),
}

/// What becomes of spans on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sampling {
    None,
    /// Half of the spans that start workflows are kept, a quarter of those that end them.
    HalfAndQuarter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grouping {
    None,
    /// By the attribute `kind`.
    Kind,
}

/// Whether other spans than the start say that the work exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    None,
    /// Those named `step`.
    Steps,
}

/// What is so unless a contract says otherwise.
const USUAL: Contract = Contract {
    name: "",
    identity: Identity::Trace,
    within: 60,
    grace: 120,
    cancelled: Cancelled::Excluded,
    legs: None,
    sampling: Sampling::None,
    grouping: Grouping::None,
    opening: Opening::None,
};

pub(super) const ALL: [Contract; 10] = [
    Contract {
        name: "orders",
        identity: Identity::Order,
        grouping: Grouping::Kind,
        ..USUAL
    },
    Contract {
        name: "exports",
        opening: Opening::Steps,
        grace: 30,
        cancelled: Cancelled::Good,
        ..USUAL
    },
    Contract {
        name: "imports",
        within: 300,
        cancelled: Cancelled::Bad,
        ..USUAL
    },
    Contract {
        name: "fan-out",
        legs: Some(Legs::All),
        ..USUAL
    },
    Contract {
        name: "race",
        legs: Some(Legs::Any),
        grouping: Grouping::Kind,
        ..USUAL
    },
    Contract {
        name: "quorum",
        identity: Identity::Order,
        legs: Some(Legs::AtLeast(2)),
        ..USUAL
    },
    Contract {
        name: "chain",
        identity: Identity::Links,
        grouping: Grouping::Kind,
        ..USUAL
    },
    Contract {
        name: "batch",
        identity: Identity::Message,
        ..USUAL
    },
    Contract {
        name: "sampled",
        sampling: Sampling::HalfAndQuarter,
        grouping: Grouping::Kind,
        ..USUAL
    },
    Contract {
        name: "attempt",
        identity: Identity::Span,
        ..USUAL
    },
];

impl Contract {
    /// What the product is told.
    pub(super) fn definition(&self) -> String {
        let (name, grace) = (self.name, self.grace);
        let group_by = match self.grouping {
            Grouping::None => "",
            Grouping::Kind => "groupBy: [span.kind]",
        };
        let indicator = if self.identity == Identity::Span {
            self.span_indicator()
        } else {
            self.workflow_indicator()
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
{indicator}
  notify: {{}}
"
        )
    }

    fn span_indicator(&self) -> String {
        let (name, within) = (self.name, self.within);
        format!(
            "    span:
      match: '{{ name = \"{name} finish\" }}'
      good: '{{ status != error && workflow:duration <= {within}s }}'"
        )
    }

    fn workflow_indicator(&self) -> String {
        let (name, within) = (self.name, self.within);
        let correlate = match self.identity {
            Identity::Order => "[span.order.id]",
            Identity::Trace | Identity::Span => "[trace]",
            Identity::Links => "[trace, links]",
            Identity::Message => "[{ message: span.messaging.message.id }]",
        };
        let cancelled = match self.cancelled {
            Cancelled::Excluded => "exclude",
            Cancelled::Good => "good",
            Cancelled::Bad => "bad",
        };
        let complete = self.legs.map(|legs| match legs {
            Legs::All => "all".to_owned(),
            Legs::Any => "any".to_owned(),
            Legs::AtLeast(legs) => format!("{{ atLeast: {legs} }}"),
        });
        let legs = complete.map_or_else(String::new, |complete| {
            format!("legs: {{ expect: span.legs, by: span.leg, complete: {complete} }}")
        });
        let opens = match self.opening {
            Opening::None => String::new(),
            Opening::Steps => format!("opens: '{{ name = \"{name} step\" }}'"),
        };
        let weight = match self.sampling {
            Sampling::None => "",
            Sampling::HalfAndQuarter => "endThreshold: c",
        };
        format!(
            "    workflow:
      start: '{{ name = \"{name} start\" }}'
      {opens}
      finish: '{{ name = \"{name} finish\" && status != error }}'
      fail: '{{ name = \"{name} dead letter\" }}'
      cancel: '{{ name = \"{name} cancel\" }}'
      cancelled: {cancelled}
      pause: '{{ name = \"{name} pause\" }}'
      within: {within}s
      correlate: {correlate}
      {legs}
      {weight}"
        )
    }
}
