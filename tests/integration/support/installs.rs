//! What `tests/clients` needs to run: each client's pinned packages, installed once.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::NamedTempFile;

/// Where the sources of a client are.
pub(crate) fn sources(client: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(client)
}

/// A virtual environment with what the client requires; its interpreter.
pub(crate) fn python(client: &str) -> PathBuf {
    let requirements = sources(client).join("requirements.txt");
    let home = install(client, &requirements, |home| {
        let mut environment = Command::new("python3");
        environment.args(["-m", "venv", "--clear"]).arg(home);
        run(environment, "python3 with venv");
        let mut packages = Command::new(home.join("bin/python"));
        packages.args(["-m", "pip", "install", "--quiet", "--requirement"]);
        packages.arg(&requirements);
        run(packages, "python3 with pip");
    });
    home.join("bin/python")
}

/// A folder with the client's scripts, which find their packages beside them.
pub(crate) fn node(client: &str) -> PathBuf {
    let sources = sources(client);
    let home = install(client, &sources.join("package-lock.json"), |home| {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(sources.join(file), home.join(file)).unwrap();
        }
        let mut packages = Command::new("npm");
        packages.args([
            "ci",
            "--ignore-scripts",
            "--omit=peer",
            "--no-audit",
            "--no-fund",
            "--prefix",
        ]);
        packages.arg(home);
        run(packages, "node with npm");
    });
    for file in fs::read_dir(&sources).unwrap() {
        let file = file.unwrap();
        let path = file.path();
        if path
            .extension()
            .is_some_and(|kind| kind == "js" || kind == "ts")
        {
            // In one step: another test may be reading it.
            let copy = NamedTempFile::new_in(&home).unwrap();
            fs::copy(path, copy.path()).unwrap();
            copy.persist(home.join(file.file_name())).unwrap();
        }
    }
    home
}

/// A folder that is made once for what `list` lists, whoever else makes it at the same time.
fn install(client: &str, list: &Path, make: impl FnOnce(&Path)) -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("clients")
        .join(client);
    fs::create_dir_all(&home).unwrap();
    let lock = File::create(home.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let wanted = fs::read(list).unwrap();
    let marker = home.with_extension("made");
    if fs::read(&marker).ok().as_ref() != Some(&wanted) {
        make(&home);
        fs::write(marker, wanted).unwrap();
    }
    home
}

fn run(mut command: Command, tool: &str) {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{tool} is missing ({error}): `.dev/setup tests` installs it")
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "`{command:?}` failed; `.dev/setup tests` installs {tool}: {said}"
    );
}
