//! People whom a provider of OpenID Connect knows, and the roles that their groups have here.

use std::{fmt, str::FromStr};

use super::{AccessRole, UnknownRole};

/// Somebody whom a provider has authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticatedUser {
    /// Never changes and is never given to somebody else, as far as the provider keeps the standard.
    pub subject: String,
    /// What people call them, as the audit log names them.
    pub name: String,
    pub groups: Vec<String>,
    /// The proof of the provider, by which it recognises the session when it ends.
    pub id_token: String,
}

/// A group of the provider and the role of its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRole {
    pub group: String,
    pub role: AccessRole,
}

/// Why a text is no group with a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGroupRole {
    #[error("write `GROUP=ROLE`, such as `sre=admin`")]
    Form,
    #[error(transparent)]
    Role(#[from] UnknownRole),
}

/// Which role people have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleMapping {
    pub groups: Vec<GroupRole>,
    /// The role of those in none of the groups; `None` if they may not log in.
    pub default_role: Option<AccessRole>,
}

impl RoleMapping {
    /// The highest role of these groups; `None` if there is none.
    pub fn role_of(&self, groups: &[String]) -> Option<AccessRole> {
        let of_groups = self.groups.iter();
        let of_groups = of_groups.filter(|one| groups.contains(&one.group));
        of_groups.map(|one| one.role).chain(self.default_role).max()
    }
}

impl FromStr for GroupRole {
    type Err = InvalidGroupRole;

    /// The last `=` divides, because names of a directory have some of their own.
    fn from_str(text: &str) -> Result<Self, InvalidGroupRole> {
        let (group, role) = text.rsplit_once('=').ok_or(InvalidGroupRole::Form)?;
        let group = group.trim();
        if group.is_empty() {
            return Err(InvalidGroupRole::Form);
        }
        Ok(Self {
            group: group.to_owned(),
            role: role.parse()?,
        })
    }
}

impl fmt::Display for GroupRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.group, self.role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_has_the_highest_role_of_their_groups() {
        let groups = ["dev=viewer", "cn=sre,dc=example=admin"].map(|text| text.parse().unwrap());
        let closed = RoleMapping {
            groups: groups.to_vec(),
            default_role: None,
        };
        let role = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            closed.role_of(&names)
        };
        assert_eq!(role(&["dev"]), Some(AccessRole::Viewer));
        let both = role(&["dev", "cn=sre,dc=example"]);
        assert_eq!(both, Some(AccessRole::Admin));
        assert_eq!(role(&["sales", "Dev"]), None);
        let open = RoleMapping {
            default_role: Some(AccessRole::Viewer),
            ..closed
        };
        assert_eq!(open.role_of(&[]), Some(AccessRole::Viewer));
    }

    #[test]
    fn a_group_without_a_role_is_explained() {
        let text = |text: &str| text.parse::<GroupRole>().unwrap_err().to_string();
        assert_eq!(text("sre"), "write `GROUP=ROLE`, such as `sre=admin`");
        assert_eq!(text(" =admin"), "write `GROUP=ROLE`, such as `sre=admin`");
        assert_eq!(
            text("sre=owner"),
            "`owner` is not a role: write viewer, editor or admin"
        );
    }
}
