//! Where a live run's layers come from: a folder, or the fleet that is built into this binary.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sync_core::id::Name;

/// The example fleet (`docs/examples/fleet`), so that an installed binary needs no files.
const EXAMPLE: &[(&str, &str)] = &[
    ("fleet.json", include_str!("../../../docs/examples/fleet/fleet.json")),
    ("layers/base/catalog.yaml", include_str!("../../../docs/examples/fleet/layers/base/catalog.yaml")),
    ("layers/base/checkout.yaml", include_str!("../../../docs/examples/fleet/layers/base/checkout.yaml")),
    ("layers/base/climate.yaml", include_str!("../../../docs/examples/fleet/layers/base/climate.yaml")),
    ("layers/base/loyalty.yaml", include_str!("../../../docs/examples/fleet/layers/base/loyalty.yaml")),
    ("layers/base/namespace.yaml", include_str!("../../../docs/examples/fleet/layers/base/namespace.yaml")),
    ("layers/base/payments.yaml", include_str!("../../../docs/examples/fleet/layers/base/payments.yaml")),
    ("layers/base/prices.yaml", include_str!("../../../docs/examples/fleet/layers/base/prices.yaml")),
    ("layers/base/promotions.yaml", include_str!("../../../docs/examples/fleet/layers/base/promotions.yaml")),
    ("layers/base/receipts.yaml", include_str!("../../../docs/examples/fleet/layers/base/receipts.yaml")),
    ("layers/base/scanners.yaml", include_str!("../../../docs/examples/fleet/layers/base/scanners.yaml")),
    ("layers/base/shelf-labels.yaml", include_str!("../../../docs/examples/fleet/layers/base/shelf-labels.yaml")),
    ("layers/base/signage.yaml", include_str!("../../../docs/examples/fleet/layers/base/signage.yaml")),
    ("layers/base/stock.yaml", include_str!("../../../docs/examples/fleet/layers/base/stock.yaml")),
    ("layers/base/tills.yaml", include_str!("../../../docs/examples/fleet/layers/base/tills.yaml")),
    ("layers/north/checkout.yaml", include_str!("../../../docs/examples/fleet/layers/north/checkout.yaml")),
    ("layers/north/climate.yaml", include_str!("../../../docs/examples/fleet/layers/north/climate.yaml")),
    ("layers/north/payments.yaml", include_str!("../../../docs/examples/fleet/layers/north/payments.yaml")),
    ("layers/north/prices.yaml", include_str!("../../../docs/examples/fleet/layers/north/prices.yaml")),
    ("layers/south/catalog.yaml", include_str!("../../../docs/examples/fleet/layers/south/catalog.yaml")),
    ("layers/south/checkout.yaml", include_str!("../../../docs/examples/fleet/layers/south/checkout.yaml")),
    ("layers/south/signage.yaml", include_str!("../../../docs/examples/fleet/layers/south/signage.yaml")),
    ("layers/south/tills.yaml", include_str!("../../../docs/examples/fleet/layers/south/tills.yaml")),
];

/// Why a source folder cannot be used. Nothing was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A file or folder cannot be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// `fleet.json` is not what it should be.
    #[error(
        "{}: {problem}; write {{\"groups\": [{{\"selector\": \"region=north\", \"layers\": [\"base\", \"north\"]}}]}}",
        path.display()
    )]
    Fleet {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// The nodes with one label, and the layers they get, in order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// A label, `key=value`. The value is a name: nodes are called after it.
    pub selector: String,
    /// Names of folders below `layers`; later ones are merged over earlier ones.
    pub layers: Vec<Name>,
}

impl Group {
    /// The label's value.
    #[must_use]
    pub fn label_value(&self) -> &str {
        self.selector.split_once('=').map_or("", |(_, value)| value)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FleetFile {
    groups: Vec<Group>,
}

/// A source folder that was read and checked.
#[derive(Debug, Clone)]
pub struct Source {
    folder: PathBuf,
    /// The groups, in the file's order; at least one.
    pub groups: Vec<Group>,
}

impl Source {
    /// Reads `folder/fleet.json` and checks that every layer it names exists.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn open(folder: &Path) -> Result<Self, SourceError> {
        let path = folder.join("fleet.json");
        let text = std::fs::read_to_string(&path).map_err(|source| SourceError::File {
            what: "read",
            path: path.clone(),
            source,
        })?;
        let wrong = |problem: String| SourceError::Fleet { path: path.clone(), problem };
        let fleet: FleetFile = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if fleet.groups.is_empty() {
            return Err(wrong("no groups".to_owned()));
        }
        let mut values = BTreeSet::new();
        for group in &fleet.groups {
            let value = Name::new(group.label_value())
                .map_err(|error| wrong(format!("selector `{}`: {error}", group.selector)))?;
            if !values.insert(value) {
                return Err(wrong(format!("selector `{}` gives a label value that another group has", group.selector)));
            }
            if let Some(layer) = group.layers.iter().find(|layer| !layer_folder(folder, layer).is_dir()) {
                return Err(wrong(format!("there is no folder layers/{layer}")));
            }
        }
        Ok(Self { folder: folder.to_owned(), groups: fleet.groups })
    }

    /// Writes the built-in fleet to `folder` and opens it.
    ///
    /// # Errors
    /// [`SourceError::File`] when a file cannot be written.
    pub fn write_example(folder: &Path) -> Result<Self, SourceError> {
        for (name, text) in EXAMPLE {
            let path = folder.join(name);
            let written = path.parent().map_or(Ok(()), std::fs::create_dir_all);
            written.and_then(|()| std::fs::write(&path, text)).map_err(|source| SourceError::File {
                what: "write",
                path: path.clone(),
                source,
            })?;
        }
        Self::open(folder)
    }

    /// The names of all layers that a group uses, each once.
    #[must_use]
    pub fn layers(&self) -> BTreeSet<&Name> {
        self.groups.iter().flat_map(|group| &group.layers).collect()
    }

    /// The folder of a layer.
    #[must_use]
    pub fn layer_folder(&self, layer: &Name) -> PathBuf {
        layer_folder(&self.folder, layer)
    }

    /// Kind and name of every object of a layer, as its YAML files say.
    ///
    /// Only block style is understood; the hub refuses what is no YAML, so a miss here only weakens a check.
    ///
    /// # Errors
    /// [`SourceError::File`] when a file cannot be read.
    pub fn objects(&self, layer: &Name) -> Result<BTreeSet<(String, String)>, SourceError> {
        let folder = self.layer_folder(layer);
        let failed = |path: &Path, source| SourceError::File { what: "read", path: path.to_owned(), source };
        let mut objects = BTreeSet::new();
        for entry in std::fs::read_dir(&folder).map_err(|error| failed(&folder, error))? {
            let path = entry.map_err(|error| failed(&folder, error))?.path();
            if path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
                let text = std::fs::read_to_string(&path).map_err(|error| failed(&path, error))?;
                objects.extend(text.split("\n---").filter_map(kind_and_name));
            }
        }
        Ok(objects)
    }
}

fn layer_folder(folder: &Path, layer: &Name) -> PathBuf {
    folder.join("layers").join(layer.as_str())
}

fn kind_and_name(object: &str) -> Option<(String, String)> {
    let plain = |value: &str| value.trim().trim_matches(['"', '\'']).to_owned();
    let kind = object.lines().find_map(|line| line.strip_prefix("kind:")).map(plain)?;
    let metadata = object.lines().skip_while(|line| line.trim_end() != "metadata:").skip(1);
    let name = metadata.take_while(|line| line.starts_with(' ')).find_map(|line| line.strip_prefix("  name:"))?;
    Some((kind, plain(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_fleet_is_the_one_in_the_documentation() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/fleet");
        let mut files = BTreeSet::new();
        for entry in std::fs::read_dir(root.join("layers")).unwrap() {
            let layer = entry.unwrap();
            for file in std::fs::read_dir(layer.path()).unwrap() {
                let file = file.unwrap().file_name().into_string().unwrap();
                files.insert(format!("layers/{}/{file}", layer.file_name().to_str().unwrap()));
            }
        }
        files.insert("fleet.json".to_owned());
        assert_eq!(EXAMPLE.iter().map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>(), files);
    }

    #[test]
    fn the_built_in_fleet_opens() {
        let folder = tempfile::tempdir().unwrap();
        let source = Source::write_example(folder.path()).unwrap();
        assert_eq!(source.groups.len(), 2);
        assert_eq!(source.groups.first().unwrap().label_value(), "north");
        let base = Name::new("base").unwrap();
        let objects = source.objects(&base).unwrap();
        assert!(objects.len() >= 24, "{objects:?}");
        assert!(objects.contains(&("Deployment".to_owned(), "checkout".to_owned())));
    }

    #[test]
    fn a_fleet_that_names_no_layer_folder_is_explained() {
        let folder = tempfile::tempdir().unwrap();
        let write = |text| std::fs::write(folder.path().join("fleet.json"), text).unwrap();
        for (text, problem) in [
            (r#"{"groups":[]}"#, "no groups"),
            (r#"{"groups":[{"selector":"region=a","layers":["base"]}]}"#, "layers/base"),
            (r#"{"groups":[{"selector":"region","layers":[]}]}"#, "selector `region`"),
            (r#"{"groups":[{"selector":"r=a","layers":[]},{"selector":"s=a","layers":[]}]}"#, "another group"),
        ] {
            write(text);
            let error = Source::open(folder.path()).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
