//! What somebody keeps in files: the layers as they are, and as they were at each of the last releases.

use std::collections::{BTreeMap, VecDeque};

use super::LayerContent;
use crate::plan::Name;
use crate::scenario::Layer;

/// How many releases are remembered, the present one included: nobody goes back further.
pub const RELEASES_KEPT: u32 = 16;

/// The files of one fleet, whichever of its hubs they are applied at.
#[derive(Debug, Clone)]
pub struct Files {
    layers: BTreeMap<Name, LayerContent>,
    /// What was released, the newest last.
    released: VecDeque<BTreeMap<Name, LayerContent>>,
}

/// How many objects an edit changes, adds and removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit {
    /// Changed.
    pub change: u32,
    /// Added.
    pub add: u32,
    /// Removed.
    pub remove: u32,
}

impl Files {
    /// The layers as they are at the start, when all are released.
    #[must_use]
    pub fn new(layers: &[Layer], seed: u64) -> Self {
        let content = |layer: &Layer| (Name::from(layer.name.as_str()), LayerContent::new(layer, seed));
        let layers: BTreeMap<Name, LayerContent> = layers.iter().map(content).collect();
        Self { released: VecDeque::from([layers.clone()]), layers }
    }

    /// Every layer, by name.
    pub fn layers(&self) -> impl Iterator<Item = &LayerContent> {
        self.layers.values()
    }

    /// One of them.
    #[must_use]
    pub fn layer(&self, name: &str) -> Option<&LayerContent> {
        self.layers.get(name)
    }

    /// Somebody edits a layer. `draw` decides which objects and how.
    pub fn edit(&mut self, layer: &str, edit: Edit, draw: u32) {
        if let Some(content) = self.layers.get_mut(layer) {
            content.edit(edit.change, draw);
            content.add(edit.add, draw);
            content.remove(edit.remove, draw);
        }
    }

    /// A layer was released as it stands, or all of them.
    pub fn note_release(&mut self, layer: Option<&str>) {
        let mut released = self.released.back().cloned().unwrap_or_default();
        let of_it = |(name, _): &(&Name, &LayerContent)| layer.is_none_or(|layer| ***name == *layer);
        released.extend(self.layers.iter().filter(of_it).map(|(name, content)| (name.clone(), content.clone())));
        self.released.push_back(released);
        if self.released.len() > RELEASES_KEPT as usize {
            self.released.pop_front();
        }
    }

    /// Takes the files as they were so many releases ago, and says which layers are others than before. `None`: there were not
    /// so many releases.
    pub fn go_back(&mut self, releases: u32) -> Option<Vec<Name>> {
        let place = self.released.len().checked_sub(1)?.checked_sub(releases as usize)?;
        let before = std::mem::replace(&mut self.layers, self.released.get(place)?.clone());
        let mut changed = Vec::new();
        for (name, content) in &mut self.layers {
            let was = before.get(name);
            if was.map(|was| &was.objects) != Some(&content.objects) {
                changed.push(name.clone());
            }
            // A name that was used since is not used for something else.
            content.next = content.next.max(was.map_or(0, |was| was.next));
        }
        Some(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Size;

    #[test]
    fn going_back_takes_the_files_of_an_older_release_and_is_one_more() {
        let layer = |name: &str| Layer { name: name.to_owned(), objects: 3, size: Size(3_000) };
        let mut files = Files::new(&[layer("a"), layer("b")], 1);
        let keyed = |files: &Files, name: &str| files.layer(name).unwrap().keyed();
        let first = keyed(&files, "a");
        assert_eq!(files.go_back(1), None);
        files.edit("a", Edit { change: 1, add: 2, remove: 1 }, 5);
        files.edit("b", Edit { change: 1, add: 0, remove: 0 }, 6);
        files.note_release(Some("a"));
        let second = keyed(&files, "a");
        assert_ne!(first, second);
        // What was edited and not released goes too.
        assert_eq!(files.go_back(1).unwrap(), [Name::from("a"), Name::from("b")]);
        assert_eq!(keyed(&files, "a"), first);
        files.note_release(None);
        assert_eq!(files.go_back(1).unwrap(), [Name::from("a")]);
        assert_eq!(keyed(&files, "a"), second);
    }
}
