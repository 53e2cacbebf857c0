//! Bundles that an enrolled peer makes by hand, of whatever frames it likes.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::Cursor;

use sync_core::id::NodeId;
use sync_core::identity::Identity;
use sync_core::replica::Now;
use sync_core::replica::bundle::{ImportError, Imported};
use sync_core::store::chain_origin;
use sync_core::wire::bundle::{BundleHeader, BundleReader, BundleWriter};
use sync_core::wire::{Hello, Message, Position};

use crate::door::Door;

/// A bundle from the beginning of the exporter's feed, correctly signed.
pub(crate) fn bundle_of(exporter: &Identity, recipient: NodeId, hello: &Hello, frames: &[Vec<u8>]) -> Vec<u8> {
    let origin = chain_origin(hello.store, hello.incarnation.number, recipient);
    let certificate = exporter.chain()[0].to_vec();
    let header = BundleHeader { recipient, from: Position { number: 0, chain: origin }, certificate };
    let mut file = Vec::new();
    let mut writer = BundleWriter::begin(&mut file, &header).unwrap();
    for frame in frames {
        writer.frame(frame).unwrap();
    }
    writer.finish(exporter.key()).unwrap();
    file
}

/// The frames in a bundle.
pub(crate) fn frames_of(file: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = BundleReader::open(Cursor::new(file)).unwrap();
    std::iter::from_fn(|| reader.frame().unwrap()).collect()
}

impl Door {
    /// A bundle of the node's for the hub, with its hello and these frames.
    pub(crate) fn bundle(&self, frames: &[Vec<u8>]) -> Vec<u8> {
        let hello = Message::Hello(self.hello()).encode(self.node.id());
        let frames: Vec<_> = [hello].into_iter().chain(frames.iter().cloned()).collect();
        bundle_of(&self.node, self.hub.identity().id(), &self.hello(), &frames)
    }

    pub(crate) fn import(&mut self, file: &[u8]) -> Result<Imported, ImportError> {
        self.hub.import_bundle(Now::default(), Cursor::new(file))
    }
}
