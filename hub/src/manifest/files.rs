//! Finds and reads manifest files, within bounds.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::ManifestError;
use crate::limits::{
    MANIFEST_FILE_BYTES_MAX, MANIFEST_FILES_MAX, MANIFEST_FOLDER_BYTES_MAX, MANIFEST_FOLDER_DEPTH_MAX,
};

/// One file's name, as the user would type it, and its bytes.
#[derive(Debug)]
pub(super) struct ManifestFile {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// Reads a file, or every `.yaml`, `.yml` and `.json` file below a folder, in the order of their paths. Names that start
/// with a dot are skipped.
pub(super) fn read_path(path: &Path) -> Result<Vec<ManifestFile>, ManifestError> {
    let metadata = std::fs::metadata(path).map_err(|source| ManifestError::Read { path: path.to_owned(), source })?;
    if !metadata.is_dir() {
        refuse_kustomization(path)?;
        return Ok(vec![read_file(path)?]);
    }
    let mut walk = Walk { root: path, files: Vec::new(), entries_left: MANIFEST_FILES_MAX.saturating_mul(16) };
    walk.folder(path, 0)?;
    if walk.files.is_empty() {
        return Err(ManifestError::NoFiles { path: path.to_owned() });
    }
    let mut total = 0;
    let mut files = Vec::new();
    for file in &walk.files {
        let file = read_file(file)?;
        total += file.bytes.len();
        if total > MANIFEST_FOLDER_BYTES_MAX {
            return Err(ManifestError::FolderTooLarge { path: path.to_owned() });
        }
        files.push(file);
    }
    Ok(files)
}

/// Reads everything from `input`.
pub(super) fn read_stream(name: &str, input: impl Read) -> Result<ManifestFile, ManifestError> {
    let mut bytes = Vec::new();
    let bound = u64::try_from(MANIFEST_FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    input
        .take(bound)
        .read_to_end(&mut bytes)
        .map_err(|source| ManifestError::Read { path: PathBuf::from(name), source })?;
    if bytes.len() > MANIFEST_FILE_BYTES_MAX {
        return Err(ManifestError::FileTooLarge { name: name.to_owned() });
    }
    Ok(ManifestFile { name: name.to_owned(), bytes })
}

fn read_file(path: &Path) -> Result<ManifestFile, ManifestError> {
    let file = File::open(path).map_err(|source| ManifestError::Read { path: path.to_owned(), source })?;
    read_stream(&path.display().to_string(), file)
}

fn refuse_kustomization(file: &Path) -> Result<(), ManifestError> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if matches!(name, "kustomization.yaml" | "kustomization.yml" | "Kustomization") {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return Err(ManifestError::Kustomization { file: file.to_owned(), folder: folder.to_owned() });
    }
    Ok(())
}

struct Walk<'a> {
    root: &'a Path,
    files: Vec<PathBuf>,
    entries_left: usize,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, depth: usize) -> Result<(), ManifestError> {
        if depth > MANIFEST_FOLDER_DEPTH_MAX {
            return Err(ManifestError::FolderTooDeep { path: folder.to_owned() });
        }
        let unreadable = |source| ManifestError::Read { path: folder.to_owned(), source };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            self.entries_left = self
                .entries_left
                .checked_sub(1)
                .ok_or_else(|| ManifestError::TooManyFiles { path: self.root.to_owned() })?;
            let entry = entry.map_err(unreadable)?;
            if !entry.file_name().to_string_lossy().starts_with('.') {
                paths.push(entry.path());
            }
        }
        paths.sort();
        // Before its subfolders: the outermost kustomization is the one to render.
        paths.iter().try_for_each(|path| refuse_kustomization(path))?;
        for path in paths {
            let metadata =
                std::fs::metadata(&path).map_err(|source| ManifestError::Read { path: path.clone(), source })?;
            if metadata.is_dir() {
                self.folder(&path, depth + 1)?;
                continue;
            }
            let extension = path.extension().and_then(|extension| extension.to_str());
            if metadata.is_file() && matches!(extension, Some("yaml" | "yml" | "json")) {
                if self.files.len() >= MANIFEST_FILES_MAX {
                    return Err(ManifestError::TooManyFiles { path: self.root.to_owned() });
                }
                self.files.push(path);
            }
        }
        Ok(())
    }
}
