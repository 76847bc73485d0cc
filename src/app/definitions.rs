//! Reads folders of definitions; [`crate::domain::slo::definition`] parses the texts.
//!
//! A folder may be a Kubernetes `ConfigMap`: its files are symbolic links into `..data`, itself a
//! link to a hidden folder that is replaced as a whole. So links are followed and hidden names are
//! skipped: every file is found once.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    config::DefinitionsConfig,
    domain::slo::definition::{DefinitionFile, Problem},
};

/// The size limit of a file: a larger one cannot be a definition.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// The depth limit of folders, since links may form cycles.
const MAX_DEPTH: usize = 16;

/// All files of a folder that could be read, sorted by path, and one problem for each that could
/// not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    pub files: Vec<DefinitionFile>,
    pub problems: Vec<Problem>,
}

/// The reason why nothing could be read at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot read definitions from `{path}`")]
pub struct ReadError {
    path: String,
    #[source]
    source: io::Error,
}

/// Reads the folder, together with the selector of the SLOs that are judged.
pub fn read_selected(config: &DefinitionsConfig) -> Result<Definitions, ReadError> {
    let mut definitions = read(&config.folder)?;
    let selector = config.slo_selector.iter();
    definitions
        .files
        .extend(selector.map(DefinitionFile::slo_selector));
    Ok(definitions)
}

/// Reads `path`: a folder with its subfolders, or a single file of any name. Files are named by
/// their path relative to the folder.
pub fn read(path: &Path) -> Result<Definitions, ReadError> {
    let failed = |source| ReadError {
        path: path.display().to_string(),
        source,
    };
    let mut definitions = Definitions::default();
    if fs::metadata(path).map_err(failed)?.is_dir() {
        for file in list(path, &mut definitions.problems).map_err(failed)? {
            let shown = file.strip_prefix(path).unwrap_or(&file);
            definitions.add(&file, &shown.display().to_string());
        }
    } else {
        definitions.add(path, &path.display().to_string());
    }
    Ok(definitions)
}

impl Definitions {
    fn add(&mut self, path: &Path, shown: &str) {
        match read_file(path) {
            Ok(text) => self.files.push(DefinitionFile {
                path: shown.to_owned(),
                text,
            }),
            Err(message) => self.problems.push(Problem::of_file(shown, message, None)),
        }
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let cannot = |error: io::Error| format!("cannot read the file: {error}");
    let metadata = fs::metadata(path).map_err(cannot)?;
    if !metadata.is_file() {
        return Err("this is not a file".to_owned());
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(format!(
            "the file has {} bytes, more than the {MAX_FILE_BYTES} that are read: split it",
            metadata.len()
        ));
    }
    let bytes = fs::read(path).map_err(cannot)?;
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        format!("the file is not UTF-8: byte {offset} begins no character")
    })
}

/// Lists the definition files below `root`, sorted. A subfolder that cannot be read becomes a
/// problem; if `root` itself cannot be read, this is an error.
fn list(root: &Path, problems: &mut Vec<Problem>) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = match entries(&folder) {
            Ok(entries) => entries,
            Err(error) if depth == 0 => return Err(error),
            Err(error) => {
                let shown = folder.strip_prefix(root).unwrap_or(&folder);
                let message = format!("cannot read the folder: {error}");
                problems.push(Problem::of_file(
                    &shown.display().to_string(),
                    message,
                    None,
                ));
                continue;
            }
        };
        for path in entries {
            if path.is_dir() && depth < MAX_DEPTH {
                folders.push((path, depth + 1));
            } else if is_definition(&path) && !path.is_dir() {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let is_hidden = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
    };
    fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .filter(|path| !path.as_ref().is_ok_and(is_hidden))
        .collect()
}

fn is_definition(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        ["yaml", "yml", "json"]
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn paths(definitions: &Definitions) -> Vec<&str> {
        definitions
            .files
            .iter()
            .map(|file| file.path.as_str())
            .collect()
    }

    #[test]
    fn folders_are_read_whole_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("team")).unwrap();
        for name in [
            "b.yaml",
            "a.yml",
            "team/c.json",
            "D.YAML",
            "README.md",
            ".hidden.yaml",
        ] {
            fs::write(root.join(name), "x").unwrap();
        }
        let definitions = read(root).unwrap();
        assert_eq!(
            paths(&definitions),
            ["D.YAML", "a.yml", "b.yaml", "team/c.json"]
        );
        assert_eq!(definitions.problems, []);
    }

    #[test]
    fn a_mounted_config_map_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("..2026_11_22")).unwrap();
        fs::write(root.join("..2026_11_22/slo.yaml"), "x").unwrap();
        symlink("..2026_11_22", root.join("..data")).unwrap();
        symlink("..data/slo.yaml", root.join("slo.yaml")).unwrap();
        assert_eq!(paths(&read(root).unwrap()), ["slo.yaml"]);
    }

    #[test]
    fn what_cannot_be_read_does_not_hide_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::write(root.join("good.yaml"), "x").unwrap();
        fs::write(root.join("latin.yaml"), b"name: \xe9").unwrap();
        fs::write(root.join("huge.yaml"), vec![b'#'; 1024 * 1024 + 1]).unwrap();
        symlink("nowhere", root.join("dangling.yaml")).unwrap();
        let definitions = read(root).unwrap();
        assert_eq!(paths(&definitions), ["good.yaml"]);
        let messages: Vec<_> = definitions
            .problems
            .iter()
            .map(|problem| (problem.file.as_str(), problem.message.as_str()))
            .collect();
        let [(_, dangling), (_, huge), (_, latin)] = messages[..] else {
            panic!("{messages:?}");
        };
        assert!(dangling.starts_with("cannot read the file"), "{dangling}");
        assert!(huge.contains("1048577 bytes"), "{huge}");
        assert!(latin.contains("byte 6"), "{latin}");
    }

    #[test]
    fn links_in_a_circle_come_to_an_end() {
        let folder = tempfile::tempdir().unwrap();
        symlink(folder.path(), folder.path().join("again")).unwrap();
        fs::write(folder.path().join("a.yaml"), "x").unwrap();
        assert!(read(folder.path()).unwrap().files.len() <= MAX_DEPTH + 1);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let error = read(Path::new("does/not/exist")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot read definitions from `does/not/exist`"
        );
    }
}
