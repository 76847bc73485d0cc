//! Finds the server's programs on this machine and chooses the version for the database.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::StartError;
use super::process::account::Account;
use super::process::spawn;

/// The queries need this version; Debian 12 has it.
pub(super) const OLDEST_MAJOR: u32 = 15;

/// The folders where packages install them. A `*` matches within one folder's name.
const USUAL_PLACES: [&str; 9] = [
    // Debian, Ubuntu
    "/usr/lib/postgresql/*/bin",
    // PostgreSQL's own packages for Red Hat
    "/usr/pgsql-*/bin",
    // Alpine
    "/usr/libexec/postgresql*",
    // from source
    "/usr/local/pgsql/bin",
    // Homebrew on Apple silicon, on Intel, on Linux
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    // Fedora, Arch
    "/usr/bin",
];

/// The programs of one installed version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    folder: PathBuf,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: u32,
    minor: u32,
}

impl Binaries {
    /// Finds every version on this machine that `account` can run.
    pub(super) fn find(search_path: &[PathBuf], account: &Account) -> Vec<Self> {
        let usual = USUAL_PLACES.iter().flat_map(|place| expand(place));
        search_path
            .iter()
            .cloned()
            .chain(usual)
            // The server is started in another folder, where a relative path would not work.
            .filter(|folder| folder.is_absolute())
            .filter(|folder| folder.join("postgres").exists() && folder.join("initdb").exists())
            .filter_map(|folder| {
                let version = ask_version(&folder.join("postgres"), account)?;
                Some(Self { folder, version })
            })
            .collect()
    }

    /// Returns the newest of `found` that can run the database in `data`, which major version
    /// `made_by` created; the first of several equal ones.
    pub(super) fn choose(
        found: Vec<Self>,
        data: &Path,
        made_by: Option<u32>,
    ) -> Result<Self, StartError> {
        let usable: Vec<Self> = found
            .into_iter()
            .filter(|one| one.version.major >= OLDEST_MAJOR)
            .collect();
        let newest = usable
            .iter()
            .filter(|one| made_by.is_none_or(|major| major == one.version.major))
            .rev()
            .max_by_key(|one| one.version);
        match (newest, made_by) {
            (Some(newest), _) => Ok(newest.clone()),
            (None, Some(needed)) if !usable.is_empty() => Err(StartError::NoFittingBinaries {
                folder: data.to_path_buf(),
                needed,
                found: majors(&usable),
            }),
            (None, _) => Err(StartError::NoBinaries {
                install: how_to_install(),
            }),
        }
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }
}

fn majors(found: &[Binaries]) -> String {
    let mut majors: Vec<u32> = found.iter().map(|one| one.version.major).collect();
    majors.sort_unstable();
    majors.dedup();
    let majors: Vec<String> = majors.iter().map(u32::to_string).collect();
    majors.join(", ")
}

fn how_to_install() -> &'static str {
    if cfg!(target_os = "macos") {
        "brew install postgresql@17"
    } else {
        "apt-get install postgresql"
    }
}

fn ask_version(postgres: &Path, account: &Account) -> Option<Version> {
    let answer = spawn::command(postgres, account).arg("--version").output();
    match answer {
        Ok(answer) if answer.status.success() => {
            parse_version(&String::from_utf8_lossy(&answer.stdout))
        }
        Ok(answer) => {
            tracing::debug!(program = %postgres.display(), status = %answer.status, "passed over");
            None
        }
        Err(error) => {
            tracing::debug!(program = %postgres.display(), %error, "passed over");
            None
        }
    }
}

/// Parses `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`; before a release, `17beta1`.
fn parse_version(text: &str) -> Option<Version> {
    let number = text.split_whitespace().nth(2)?;
    let (major, rest) = split_digits(number);
    let (minor, _) = split_digits(rest.strip_prefix('.').unwrap_or_default());
    Some(Version {
        major: major.parse().ok()?,
        minor: minor.parse().unwrap_or(0),
    })
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

/// Returns the folders that match a pattern with at most one `*`.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![PathBuf::from(pattern)];
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let inside = after.trim_start_matches('/');
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.file_name()))
        .filter(|name| starts_with(name, prefix))
        .map(|name| Path::new(parent).join(name).join(inside))
        .collect()
}

fn starts_with(name: &OsStr, prefix: &str) -> bool {
    name.as_encoded_bytes().starts_with(prefix.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(folder: &str, major: u32, minor: u32) -> Binaries {
        Binaries {
            folder: PathBuf::from(folder),
            version: Version { major, minor },
        }
    }

    fn choose(found: &[Binaries], made_by: Option<u32>) -> Result<String, String> {
        Binaries::choose(found.to_vec(), Path::new("/data"), made_by)
            .map(|chosen| chosen.folder.display().to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_new_database_takes_the_newest() {
        let found = [
            installed("/a", 16, 9),
            installed("/b", 17, 2),
            installed("/c", 15, 14),
        ];
        assert_eq!(choose(&found, None), Ok("/b".to_owned()));
    }

    #[test]
    fn a_database_goes_on_with_the_major_version_that_made_it() {
        let found = [
            installed("/a", 17, 2),
            installed("/b", 16, 3),
            installed("/c", 16, 9),
        ];
        assert_eq!(choose(&found, Some(16)), Ok("/c".to_owned()));
    }

    #[test]
    fn of_one_version_the_first_found_is_taken() {
        let found = [installed("/path", 17, 2), installed("/usual", 17, 2)];
        assert_eq!(choose(&found, None), Ok("/path".to_owned()));
    }

    #[test]
    fn a_database_of_another_major_version_is_refused_with_what_to_install() {
        let found = [installed("/a", 17, 2), installed("/b", 16, 2)];
        assert_eq!(
            choose(&found, Some(15)),
            Err("the database in `/data` was created by PostgreSQL 15, but only 16, 17 is installed: install PostgreSQL 15 beside it, or choose another data folder".to_owned())
        );
    }

    #[test]
    fn nothing_installed_is_told_in_one_line() {
        let error = choose(&[], None).unwrap_err();
        assert!(
            error.contains(&format!("`{}`", how_to_install())),
            "{error}"
        );
        assert!(!error.contains('\n'), "{error}");
    }

    #[test]
    fn versions_too_old_do_not_count() {
        let error = choose(&[installed("/a", 14, 1)], None).unwrap_err();
        assert!(error.starts_with("no PostgreSQL server of version 15 or newer"));
    }

    #[test]
    fn versions_are_read_from_what_the_server_says() {
        let version = |text| parse_version(text).map(|v| (v.major, v.minor));
        let debian = "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n";
        assert_eq!(version(debian), Some((15, 14)));
        assert_eq!(
            version("postgres (PostgreSQL) 17.2 (Homebrew)"),
            Some((17, 2))
        );
        assert_eq!(version("postgres (PostgreSQL) 18beta1"), Some((18, 0)));
        assert_eq!(version("postgres (PostgreSQL) devel"), None);
        assert_eq!(version(""), None);
    }

    #[test]
    fn a_star_stands_for_the_rest_of_a_folders_name() {
        let home = tempfile::tempdir().unwrap();
        for name in ["postgresql@16", "postgresql@17", "redis"] {
            fs::create_dir(home.path().join(name)).unwrap();
        }
        let pattern = home.path().join("postgresql*/bin");
        let mut found = expand(pattern.to_str().unwrap());
        found.sort();
        let expected = ["postgresql@16/bin", "postgresql@17/bin"].map(|bin| home.path().join(bin));
        assert_eq!(found, expected);
    }
}
