//! The sections of the page, in an order that depends on the state.

use crate::domain::alerting::status::SloState;

/// A section; its template has the same name in `templates/slo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SloCard {
    Budget,
    Rules,
    Burn,
    Reasons,
    Stages,
    Worst,
    Common,
    Customers,
    Flight,
    Log,
    Flow,
    Definition,
}

impl SloCard {
    /// Returns the order. While an alert fires or is about to, stages, the worst workflows and
    /// customers come before burn rates. Without data, received spans and the definition come
    /// first.
    pub(super) const fn in_order(state: Option<SloState>) -> [Self; 12] {
        use SloCard::{
            Budget, Burn, Common, Customers, Definition, Flight, Flow, Log, Reasons, Rules, Stages,
            Worst,
        };
        match state {
            Some(SloState::Paging | SloState::Ticket | SloState::Rising | SloState::Recovering) => {
                [
                    Stages, Worst, Customers, Common, Reasons, Flight, Rules, Burn, Budget, Log,
                    Flow, Definition,
                ]
            }
            None | Some(SloState::NoData) => [
                Flow, Definition, Log, Flight, Rules, Budget, Burn, Reasons, Stages, Worst, Common,
                Customers,
            ],
            Some(SloState::TooFew | SloState::Ok) => [
                Budget, Rules, Burn, Reasons, Stages, Worst, Common, Customers, Flight, Log, Flow,
                Definition,
            ],
        }
    }

    /// Returns the anchor.
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Rules => "rules",
            Self::Burn => "burn",
            Self::Reasons => "reasons",
            Self::Stages => "stages",
            Self::Worst => "worst",
            Self::Common => "common",
            Self::Customers => "customers",
            Self::Flight => "flight",
            Self::Log => "log",
            Self::Flow => "flow",
            Self::Definition => "definition",
        }
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Budget => "Budget",
            Self::Rules => "Alert rules",
            Self::Burn => "Burn rate",
            Self::Reasons => "Reasons",
            Self::Stages => "Where the time goes",
            Self::Worst => "Worst",
            Self::Common => "In common",
            Self::Customers => "Customers",
            Self::Flight => "In flight",
            Self::Log => "History",
            Self::Flow => "Numbers",
            Self::Definition => "Definition",
        }
    }
}
