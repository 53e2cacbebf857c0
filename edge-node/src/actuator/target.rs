//! What a target is called on the command line: `directory:PATH` and its flavours.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Who reads the folder of a directory target; this decides how objects are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// A folder that nobody in particular reads: a file that is not wanted is deleted.
    Plain,
    /// K3s' auto-deploy folder, where deleting a file leaves its objects behind: it is emptied first, deleted later.
    K3s,
    /// One stack folder of k0s, which prunes what a deleted file held.
    K0s,
}

/// A target as named by the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetSpec {
    /// A folder that is kept equal to the desired objects, one file each.
    Directory {
        /// Who reads it.
        flavour: Flavour,
        /// The folder.
        path: PathBuf,
    },
}

impl TargetSpec {
    /// Reads `directory:PATH`, `directory+k3s:PATH` or `directory+k0s:PATH`.
    ///
    /// ```
    /// use edge_node::actuator::TargetSpec;
    ///
    /// assert!(TargetSpec::parse("directory+k3s:/var/lib/rancher/k3s/server/manifests").is_ok());
    /// assert!(TargetSpec::parse("directory+k0s:/var/lib/k0s/manifests").is_err());
    /// ```
    ///
    /// # Errors
    /// [`TargetSpecError`] says what is wrong and what to write instead.
    pub fn parse(text: &str) -> Result<Self, TargetSpecError> {
        let Some((kind, path)) = text.split_once(':') else {
            return Err(TargetSpecError::NoKind { text: text.to_owned() });
        };
        let flavour = match kind {
            "directory" => Flavour::Plain,
            "directory+k3s" => Flavour::K3s,
            "directory+k0s" => Flavour::K0s,
            _ => return Err(TargetSpecError::UnknownKind { kind: kind.to_owned() }),
        };
        if path.is_empty() || path.contains('\0') {
            return Err(TargetSpecError::NoPath { kind: kind.to_owned() });
        }
        // Without the slash at the end that shells complete, which error messages would double.
        let path: PathBuf = Path::new(path).components().collect();
        if flavour == Flavour::K0s && path.file_name() == Some("manifests".as_ref()) {
            return Err(TargetSpecError::NoStack { path });
        }
        Ok(Self::Directory { flavour, path })
    }

    /// The folder of a directory target.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Directory { path, .. } => path,
        }
    }
}

impl FromStr for TargetSpec {
    type Err = TargetSpecError;

    fn from_str(text: &str) -> Result<Self, TargetSpecError> {
        Self::parse(text)
    }
}

impl fmt::Display for TargetSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { flavour, path } => {
                let kind = match flavour {
                    Flavour::Plain => "directory",
                    Flavour::K3s => "directory+k3s",
                    Flavour::K0s => "directory+k0s",
                };
                write!(f, "{kind}:{}", path.display())
            }
        }
    }
}

/// Why a text names no target. The operator's mistake; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetSpecError {
    /// No `:`; most likely a bare path.
    #[error("`{text}` does not say what kind of target it is; write `directory:{text}` for a folder")]
    NoKind {
        /// The whole text.
        text: String,
    },
    /// A word before the `:` that stands for nothing.
    #[error("there is no target of the kind `{kind}`; use `directory`, `directory+k3s` or `directory+k0s`")]
    UnknownKind {
        /// The word.
        kind: String,
    },
    /// Nothing usable after the `:`.
    #[error("`{kind}:` lacks a path; write `{kind}:/path/to/folder`")]
    NoPath {
        /// The word before the `:`.
        kind: String,
    },
    /// k0s ignores files that lie directly in its manifests folder.
    #[error("k0s reads only the folders below {path}; name one of your own, such as `directory+k0s:{path}/archipel`",
        path = path.display())]
    NoStack {
        /// The path as given.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_survives_its_text_form() {
        for text in ["directory:/srv/x", "directory+k3s:relative", "directory+k0s:/a/manifests/archipel"] {
            assert_eq!(TargetSpec::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_colon_in_the_path_belongs_to_the_path() {
        assert_eq!(TargetSpec::parse("directory:/a:b").unwrap().path(), Path::new("/a:b"));
    }

    #[test]
    fn a_bad_target_says_what_to_write() {
        let message = |text: &str| TargetSpec::parse(text).unwrap_err().to_string();
        assert!(message("/srv/x").contains("write `directory:/srv/x`"));
        assert!(message("folder:/srv/x").contains("`directory+k3s`"));
        assert!(message("directory:").contains("`directory:/path/to/folder`"));
        assert!(message("directory+k0s:/var/lib/k0s/manifests/").contains("manifests/archipel"));
    }
}
