//! Permissions: a role, and the SLOs that it is for.
//!
//! SLOs belong to a team by their label `team`, and to a namespace. A user whose roles are only for
//! some teams or namespaces sees and changes only their SLOs.

use std::{collections::BTreeMap, fmt, str::FromStr};

use super::{AccessRole, UnknownRole};
use crate::domain::slo::Slo;

/// The SLOs that a role is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SloScope {
    All,
    /// SLOs with this label `team`.
    Team(String),
    /// SLOs in this namespace.
    Namespace(String),
}

/// One role, as `editor` or `editor@team/payments`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    pub role: AccessRole,
    pub scope: SloScope,
}

/// All permissions of a user; there is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    first: Permission,
    others: Vec<Permission>,
}

/// The error for a text that is not a permission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPermission {
    #[error(transparent)]
    Role(#[from] UnknownRole),
    #[error(
        "`{0}` names no team or namespace: write `editor@team/payments` or `editor@namespace/shop`"
    )]
    Scope(String),
}

/// Returns whether a user with roles for these scopes may see an SLO with these labels.
pub fn may_see(scopes: &[SloScope], labels: &BTreeMap<String, String>) -> bool {
    scopes.iter().any(|scope| match scope.label() {
        None => true,
        Some((name, value)) => labels.get(name).is_some_and(|found| found == value),
    })
}

impl SloScope {
    /// Returns the label that its SLOs have; `None` if it is for all.
    pub fn label(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::All => None,
            Self::Team(team) => Some((Slo::TEAM, team)),
            Self::Namespace(namespace) => Some((Slo::NAMESPACE, namespace)),
        }
    }
}

impl Permission {
    pub const fn of_all(role: AccessRole) -> Self {
        Self {
            role,
            scope: SloScope::All,
        }
    }
}

impl Permissions {
    /// Returns `None` if there are none.
    pub fn new(all: impl IntoIterator<Item = Permission>) -> Option<Self> {
        let mut all = all.into_iter();
        Some(Self {
            first: all.next()?,
            others: all.collect(),
        })
    }

    /// A role for the SLOs of these teams and namespaces, or for all SLOs if there are none.
    pub fn within(
        role: AccessRole,
        teams: impl IntoIterator<Item = String>,
        namespaces: impl IntoIterator<Item = String>,
    ) -> Self {
        let teams = teams.into_iter().map(SloScope::Team);
        let namespaces = namespaces.into_iter().map(SloScope::Namespace);
        let scopes = teams.chain(namespaces);
        Self::new(scopes.map(|scope| Permission { role, scope })).unwrap_or_else(|| role.into())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Permission> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Returns the highest role, for any SLOs.
    pub fn role(&self) -> AccessRole {
        let others = self.others.iter().map(|one| one.role);
        others.fold(self.first.role, AccessRole::max)
    }

    /// Returns the SLOs for which there is `role` or a higher one; empty if there is none.
    pub fn scopes(&self, role: AccessRole) -> Vec<SloScope> {
        let enough = self.iter().filter(|one| one.role >= role);
        let mut scopes: Vec<_> = enough.map(|one| one.scope.clone()).collect();
        if scopes.contains(&SloScope::All) {
            scopes = vec![SloScope::All];
        }
        scopes
    }
}

impl From<AccessRole> for Permissions {
    fn from(role: AccessRole) -> Self {
        Self {
            first: Permission::of_all(role),
            others: Vec::new(),
        }
    }
}

impl FromStr for Permission {
    type Err = InvalidPermission;

    fn from_str(text: &str) -> Result<Self, InvalidPermission> {
        let Some((role, scope)) = text.trim().split_once('@') else {
            return Ok(Self::of_all(text.parse()?));
        };
        let invalid = || InvalidPermission::Scope(text.trim().to_owned());
        let (kind, name) = scope.split_once('/').ok_or_else(invalid)?;
        let scope = match (kind, name) {
            (_, "") => return Err(invalid()),
            ("team", name) => SloScope::Team(name.to_owned()),
            ("namespace", name) => SloScope::Namespace(name.to_owned()),
            _ => return Err(invalid()),
        };
        let role = role.parse()?;
        Ok(Self { role, scope })
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            SloScope::All => write!(f, "{}", self.role),
            SloScope::Team(team) => write!(f, "{}@team/{team}", self.role),
            SloScope::Namespace(namespace) => write!(f, "{}@namespace/{namespace}", self.role),
        }
    }
}

impl FromStr for Permissions {
    type Err = InvalidPermission;

    /// Parses the format of [`Display`](fmt::Display): permissions separated by commas.
    fn from_str(text: &str) -> Result<Self, InvalidPermission> {
        let (first, others) = text.split_once(',').unwrap_or((text, ""));
        let others = others.split(',').filter(|one| !one.trim().is_empty());
        Ok(Self {
            first: first.parse()?,
            others: others.map(str::parse).collect::<Result<_, _>>()?,
        })
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        self.others.iter().try_for_each(|one| write!(f, ", {one}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permissions(text: &str) -> Permissions {
        text.parse().unwrap()
    }

    fn sees(permissions: &Permissions, role: AccessRole, labels: &[(&str, &str)]) -> bool {
        let labels = labels
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        may_see(&permissions.scopes(role), &labels.collect())
    }

    const OF_PAYMENTS: &[(&str, &str)] = &[("team", "payments"), ("namespace", "bank")];
    const OF_SHOP: &[(&str, &str)] = &[("team", "shop"), ("namespace", "store")];

    #[test]
    fn somebody_sees_the_slos_of_their_teams_and_namespaces() {
        let payments = permissions("viewer@team/payments");
        assert!(sees(&payments, AccessRole::Viewer, OF_PAYMENTS));
        assert!(!sees(&payments, AccessRole::Viewer, OF_SHOP));
        assert!(!sees(&payments, AccessRole::Viewer, &[]));
        assert!(!sees(&payments, AccessRole::Editor, OF_PAYMENTS));
        let both = permissions("viewer@team/payments, viewer@namespace/store");
        assert!(sees(&both, AccessRole::Viewer, OF_PAYMENTS));
        assert!(sees(&both, AccessRole::Viewer, OF_SHOP));
    }

    #[test]
    fn somebody_may_see_all_and_change_some() {
        let all = permissions("viewer, editor@team/payments");
        assert_eq!(all.role(), AccessRole::Editor);
        assert!(sees(&all, AccessRole::Viewer, &[]));
        assert!(sees(&all, AccessRole::Editor, OF_PAYMENTS));
        assert!(!sees(&all, AccessRole::Editor, OF_SHOP));
        assert!(!sees(&all, AccessRole::Admin, OF_PAYMENTS));
        assert_eq!(all.scopes(AccessRole::Admin), []);
    }

    #[test]
    fn permissions_are_written_as_they_are_read() {
        for text in [
            "admin",
            "viewer, editor@team/payments",
            "editor@namespace/shop",
            "viewer@team/a b@c/d",
        ] {
            assert_eq!(permissions(text).to_string(), text);
        }
        let text = |text: &str| text.parse::<Permissions>().unwrap_err().to_string();
        assert_eq!(
            text("owner@team/a"),
            "`owner` is not a role: write viewer, editor or admin"
        );
        for wrong in ["editor@payments", "editor@team/", "editor@service/a"] {
            assert_eq!(
                text(wrong),
                format!(
                    "`{wrong}` names no team or namespace: write `editor@team/payments` or \
                     `editor@namespace/shop`"
                )
            );
        }
        assert!("".parse::<Permissions>().is_err());
    }
}
