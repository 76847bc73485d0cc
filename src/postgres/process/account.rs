//! The account that the server runs as: the current one, or as root another one, because Postgres
//! refuses root.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;

use nix::unistd::{Gid, Uid, User, getegid, geteuid};

use crate::postgres::StartError;

/// Tried in this order if the current user is root.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    pub(crate) name: String,
}

impl Account {
    /// Returns the account for the cluster in `data`, which need not exist yet. If it does, its
    /// owner keeps running it, even if `postgres` has been added to the machine since.
    pub(crate) fn choose(data: &Path) -> Result<Self, StartError> {
        let owner = fs::metadata(data).ok().map(|found| found.uid());
        if !geteuid().is_root() {
            return Self::ours(data, owner);
        }
        if let Some(uid) = owner.filter(|uid| *uid != 0) {
            let known = User::from_uid(Uid::from_raw(uid)).ok().flatten();
            return known.map(Self::from).ok_or_else(|| StartError::WrongOwner {
                folder: data.to_path_buf(),
                owner: uid,
            });
        }
        UNPRIVILEGED
            .iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(Self::from)
            .ok_or(StartError::NoAccount)
    }

    fn ours(data: &Path, owner: Option<u32>) -> Result<Self, StartError> {
        let uid = geteuid();
        match owner {
            Some(owner) if owner != uid.as_raw() => Err(StartError::WrongOwner {
                folder: data.to_path_buf(),
                owner,
            }),
            _ => Ok(Self {
                uid,
                gid: getegid(),
                name: uid.to_string(),
            }),
        }
    }

    pub(crate) fn differs_from_ours(&self) -> bool {
        self.uid != geteuid()
    }

    /// Makes the account the owner of `path`.
    pub(crate) fn own(&self, path: &Path) -> Result<(), StartError> {
        if !self.differs_from_ours() {
            return Ok(());
        }
        chown(path, Some(self.uid.as_raw()), Some(self.gid.as_raw())).map_err(StartError::io(
            "give the account of the database server",
            path,
        ))
    }

    /// Checks that the account can reach `folder`, and names the first folder on the way that it
    /// cannot enter. Postgres itself would only report that its data directory does not exist.
    pub(crate) fn check_can_enter(&self, folder: &Path) -> Result<(), StartError> {
        if !self.differs_from_ours() {
            return Ok(());
        }
        let mut way: Vec<&Path> = folder.ancestors().collect();
        way.reverse();
        for step in way {
            let found = fs::metadata(step).map_err(StartError::io("look at", step))?;
            if !self.may_enter(found.mode(), found.uid(), found.gid()) {
                return Err(StartError::NotEnterable {
                    account: self.name.clone(),
                    folder: step.to_path_buf(),
                });
            }
        }
        Ok(())
    }

    /// Returns whether the account may enter. The `x` bit that counts is that of the first class it
    /// belongs to. The account has no supplementary groups: they are dropped with root.
    fn may_enter(&self, mode: u32, owner: u32, group: u32) -> bool {
        let bit = if owner == self.uid.as_raw() {
            0o100
        } else if group == self.gid.as_raw() {
            0o010
        } else {
            0o001
        };
        mode & bit != 0
    }
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self {
            uid: user.uid,
            gid: user.gid,
            name: user.name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account {
            uid: Uid::from_raw(100),
            gid: Gid::from_raw(200),
            name: "postgres".to_owned(),
        }
    }

    #[test]
    fn a_stranger_enters_where_everybody_may() {
        assert!(account().may_enter(0o711, 0, 0));
        assert!(!account().may_enter(0o770, 0, 0));
        assert!(!account().may_enter(0o746, 0, 0), "to read is not to enter");
    }

    #[test]
    fn a_member_of_the_group_enters_by_the_groups_bit_alone() {
        assert!(account().may_enter(0o710, 0, 200));
        assert!(!account().may_enter(0o701, 0, 200));
    }

    #[test]
    fn the_owner_enters_by_the_owners_bit_alone() {
        assert!(account().may_enter(0o100, 100, 0));
        assert!(!account().may_enter(0o011, 100, 200));
    }
}
