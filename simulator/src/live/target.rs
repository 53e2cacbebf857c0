//! What agents wrote to their target folders, and how it differs.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// The files of a target folder: path below the folder, and content.
pub type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Reads every file below `folder`. Names that begin with `.` are the agent's own and are left out; a folder that does
/// not exist has no files, and a file that goes away while this reads is left out.
///
/// # Errors
/// The operating system's, when something else cannot be read.
pub fn read(folder: &Path) -> io::Result<Files> {
    let mut files = Files::new();
    let mut open = vec![folder.to_owned()];
    while let Some(current) = open.pop() {
        let Some(entries) = unless_gone(std::fs::read_dir(&current))? else { continue };
        for entry in entries {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if let (Some(content), Ok(name)) = (unless_gone(std::fs::read(&path))?, path.strip_prefix(folder)) {
                files.insert(name.to_owned(), content);
            }
        }
    }
    Ok(files)
}

fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The file that contains `text`.
#[must_use]
pub fn file_with<'a>(files: &'a Files, text: &str) -> Option<(&'a Path, &'a [u8])> {
    files
        .iter()
        .find(|(_, content)| contains(content, text))
        .map(|(path, content)| (path.as_path(), content.as_slice()))
}

/// Whether `content` contains `text`.
#[must_use]
pub fn contains(content: &[u8], text: &str) -> bool {
    content.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The objects, as kind and name, that no file contains.
pub fn missing<'a>(files: &Files, objects: &'a BTreeSet<(String, String)>) -> Vec<&'a (String, String)> {
    let present = |(kind, name): &(String, String)| {
        files.values().any(|content| contains(content, kind) && contains(content, name))
    };
    objects.iter().filter(|object| !present(object)).collect()
}

/// How two targets differ, one line a file; empty when they are the same byte for byte.
#[must_use]
pub fn differences(left: (&str, &Files), right: (&str, &Files)) -> Vec<String> {
    let names: BTreeSet<_> = left.1.keys().chain(right.1.keys()).collect();
    names
        .into_iter()
        .filter_map(|name| match (left.1.get(name), right.1.get(name)) {
            (Some(one), Some(other)) if one == other => None,
            (Some(_), Some(_)) => Some(format!("{}: differs between {} and {}", name.display(), left.0, right.0)),
            (Some(_), None) => Some(format!("{}: only {} has it, {} does not", name.display(), left.0, right.0)),
            (None, _) => Some(format!("{}: only {} has it, {} does not", name.display(), right.0, left.0)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_targets_files_are_read_without_the_agents_own() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("shop/a.yaml", "kind: Service\nname: a");
        write(".state/b", "x");
        write("shop/.a.yaml.new", "x");
        let files = read(folder.path()).unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), [Path::new("shop/a.yaml")]);
        assert!(file_with(&files, "name: a").is_some());
        let object = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
        let objects = BTreeSet::from([object("Service", "a"), object("Deployment", "a")]);
        assert_eq!(missing(&files, &objects), [&object("Deployment", "a")]);
    }

    #[test]
    fn a_folder_that_does_not_exist_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(&folder.path().join("nothing")).unwrap().is_empty());
    }

    #[test]
    fn every_difference_is_named() {
        let files = |list: &[(&str, &str)]| -> Files {
            list.iter().map(|(name, text)| (PathBuf::from(name), text.as_bytes().to_vec())).collect()
        };
        let left = files(&[("same", "1"), ("other", "1"), ("left", "1")]);
        let right = files(&[("same", "1"), ("other", "2"), ("right", "1")]);
        let lines = differences(("a", &left), ("b", &right));
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(differences(("a", &left), ("b", &left)).is_empty());
    }
}
