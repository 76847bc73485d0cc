//! People whom a provider of OpenID Connect knows, and the roles that their groups have here.

use std::{fmt, str::FromStr};

use super::{AccessRole, InvalidPermission, Permission, Permissions};

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

/// A group of the provider and what its members may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRole {
    pub group: String,
    pub permission: Permission,
}

/// Why a text is no group with a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGroupRole {
    #[error("write `GROUP=ROLE`, such as `sre=admin`")]
    Form,
    #[error(transparent)]
    Permission(#[from] InvalidPermission),
}

/// Which roles people have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleMapping {
    pub groups: Vec<GroupRole>,
    /// The role of those in none of the groups; `None` if they may not log in.
    pub default_role: Option<AccessRole>,
}

impl RoleMapping {
    /// What members of these groups may do; `None` if nothing.
    pub fn permissions_of(&self, groups: &[String]) -> Option<Permissions> {
        let of_groups = self.groups.iter();
        let of_groups = of_groups.filter(|one| groups.contains(&one.group));
        let of_groups = Permissions::new(of_groups.map(|one| one.permission.clone()));
        of_groups.or_else(|| self.default_role.map(Permissions::from))
    }
}

impl FromStr for GroupRole {
    type Err = InvalidGroupRole;

    /// The last `=` divides, because names of a directory have some of their own.
    fn from_str(text: &str) -> Result<Self, InvalidGroupRole> {
        let (group, permission) = text.rsplit_once('=').ok_or(InvalidGroupRole::Form)?;
        let group = group.trim();
        if group.is_empty() {
            return Err(InvalidGroupRole::Form);
        }
        Ok(Self {
            group: group.to_owned(),
            permission: permission.parse()?,
        })
    }
}

impl fmt::Display for GroupRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.group, self.permission)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_has_the_roles_of_their_groups() {
        let groups = [
            "dev=viewer",
            "cn=sre,dc=example=admin",
            "pay=editor@team/payments",
        ];
        let closed = RoleMapping {
            groups: groups.map(|text| text.parse().unwrap()).to_vec(),
            default_role: None,
        };
        let permissions = |mapping: &RoleMapping, names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            mapping.permissions_of(&names).map(|all| all.to_string())
        };
        let of = |names| permissions(&closed, names);
        assert_eq!(of(&["dev"]).as_deref(), Some("viewer"));
        let both = of(&["dev", "cn=sre,dc=example"]);
        assert_eq!(both.as_deref(), Some("viewer, admin"));
        let payments = of(&["dev", "pay"]);
        assert_eq!(payments.as_deref(), Some("viewer, editor@team/payments"));
        assert_eq!(of(&["sales", "Dev"]), None);
        let open = RoleMapping {
            default_role: Some(AccessRole::Viewer),
            ..closed.clone()
        };
        assert_eq!(permissions(&open, &[]).as_deref(), Some("viewer"));
        let restricted = permissions(&open, &["pay"]);
        assert_eq!(restricted.as_deref(), Some("editor@team/payments"));
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
