//! Users of an OpenID Connect provider, and the roles of their groups.

use std::{fmt, str::FromStr};

use super::{AccessRole, InvalidPermission, Permission, Permissions};

/// A user whom a provider has authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticatedUser {
    /// Never changes and is never reused for another user, if the provider keeps to the standard.
    pub subject: String,
    /// The name for people and for the audit log.
    pub name: String,
    pub groups: Vec<String>,
    /// The ID token, by which the provider recognises the session at its end.
    pub id_token: String,
}

/// A group of the provider, and the permission of its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRole {
    pub group: String,
    pub permission: Permission,
}

/// The error for a text that is not a group with a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGroupRole {
    #[error("write `GROUP=ROLE`, such as `sre=admin`")]
    Form,
    #[error(transparent)]
    Permission(#[from] InvalidPermission),
}

/// The mapping from groups to roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleMapping {
    pub groups: Vec<GroupRole>,
    /// The role of users in none of the groups; `None` if they may not log in.
    pub default_role: Option<AccessRole>,
}

impl RoleMapping {
    /// Returns the permissions of the members of these groups; `None` if there are none.
    pub fn permissions_of(&self, groups: &[String]) -> Option<Permissions> {
        let of_groups = self.groups.iter();
        let of_groups = of_groups.filter(|one| groups.contains(&one.group));
        let of_groups = Permissions::new(of_groups.map(|one| one.permission.clone()));
        of_groups.or_else(|| self.default_role.map(Permissions::from))
    }
}

impl FromStr for GroupRole {
    type Err = InvalidGroupRole;

    /// Splits at the last `=`, because names in a directory may contain one.
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
