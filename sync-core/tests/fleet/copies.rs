//! Machines that are set back to a copy of their folder, run twice, or come back with nothing.

use std::fs;
use std::path::Path;

use sync_core::replica::Replica;
use sync_core::store::Store;
use tempfile::TempDir;

use super::{Fleet, Member, Seat, memory_folder};

impl Fleet {
    /// A copy of the folder, as a snapshot of the machine would hold it.
    pub(crate) fn backup(&mut self, member: Member) -> TempDir {
        let copy = memory_folder();
        copy_files(self.folder(member), copy.path());
        copy
    }

    /// The machine is set back to the copy.
    pub(crate) fn restore(&mut self, member: Member, copy: &TempDir) {
        self.stop(member);
        let folder = memory_folder();
        copy_files(copy.path(), folder.path());
        self.seats[member.0].folder = folder;
        self.start(member);
    }

    /// A second machine that runs on the copy.
    pub(crate) fn twin(&mut self, member: Member, copy: &TempDir) -> Member {
        let folder = memory_folder();
        copy_files(copy.path(), folder.path());
        let seat = &self.seats[member.0];
        let (peer, id, pem) = (seat.peer.clone(), seat.id, seat.pem.clone());
        self.seats.push(Seat { folder, replica: None, peer, id, pem, loaded: 0 });
        let twin = Member(self.seats.len() - 1);
        self.start(twin);
        twin
    }

    /// The machine comes back with its identity and nothing else.
    pub(crate) fn wipe(&mut self, member: Member) {
        self.stop(member);
        let folder = memory_folder();
        let mut store = Store::open(folder.path()).unwrap();
        let identity = self.identity(member);
        Replica::init(&mut store, &identity, &mut self.entropy).unwrap();
        drop(store);
        self.seats[member.0].folder = folder;
        self.start(member);
    }
}

fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
