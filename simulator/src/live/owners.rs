//! Whose process sends from a port of this machine, as Linux tells in `/proc`.
//!
//! All members dial the same address of a hub, because a fleet has one list of addresses, so a front has to find out who
//! is there. An agent's sockets are its own business; the system knows them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::plan::Name;

/// Processes by their ids. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Owners(Arc<Mutex<BTreeMap<u32, Name>>>);

impl Owners {
    /// A process of this member runs.
    pub(super) fn add(&self, process: Option<u32>, member: &Name) {
        if let Some(process) = process {
            self.processes().insert(process, member.clone());
        }
    }

    /// It does not any more.
    pub(super) fn remove(&self, process: Option<u32>) {
        if let Some(process) = process {
            self.processes().remove(&process);
        }
    }

    /// Whose UDP socket has this port; `None` when it is nobody's here, or closed again.
    pub(super) fn of_port(&self, port: u16) -> Option<Name> {
        let table = std::fs::read_to_string("/proc/net/udp").ok()?;
        let inode = inode(&table, port)?;
        let processes = self.processes().clone();
        let owner = processes.into_iter().find(|(process, _)| holds(*process, inode));
        owner.map(|(_, member)| member)
    }

    /// Plain data: a panic elsewhere leaves nothing half-written.
    fn processes(&self) -> MutexGuard<'_, BTreeMap<u32, Name>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this system says who has a socket.
pub(super) fn can_be_told() -> bool {
    Path::new("/proc/net/udp").exists()
}

/// The inode of the socket that has this port and can be heard on the loopback interface, in a table of `proc(5)`.
fn inode(table: &str, port: u16) -> Option<u64> {
    let socket = |line: &str| -> Option<u64> {
        let mut fields = line.split_ascii_whitespace();
        let (address, local_port) = fields.nth(1)?.split_once(':')?;
        // Addresses are in the machine's byte order: the first byte, 127, is written last.
        let is_here = address == "00000000" || address.ends_with("7F");
        if !is_here || u16::from_str_radix(local_port, 16).ok()? != port {
            return None;
        }
        fields.nth(7)?.parse().ok()
    };
    table.lines().skip(1).find_map(socket)
}

fn holds(process: u32, inode: u64) -> bool {
    let wanted = format!("socket:[{inode}]");
    let Ok(files) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    let leads = |path: &Path| std::fs::read_link(path).is_ok_and(|to| to.as_os_str() == wanted.as_str());
    files.flatten().any(|file| leads(&file.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref\n  \
        102: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 4711 2 0 0\n  \
        103: 0200A8C0:1F91 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 4712 2 0 0\n  \
        104: 00000000:1F92 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 4713 2 0 0\n";

    #[test]
    fn a_socket_is_found_by_its_port_if_the_loopback_reaches_it() {
        assert_eq!(inode(TABLE, 0x1f90), Some(4711));
        assert_eq!(inode(TABLE, 0x1f91), None);
        assert_eq!(inode(TABLE, 0x1f92), Some(4713));
        assert_eq!(inode("", 0x1f90), None);
    }

    #[test]
    fn the_owner_of_a_socket_is_whoever_has_it_open() {
        if !can_be_told() {
            println!("skipped: this system does not say who has a socket");
            return;
        }
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let owners = Owners::default();
        assert_eq!(owners.of_port(port), None);
        owners.add(Some(std::process::id()), &Name::from("me"));
        assert_eq!(owners.of_port(port), Some(Name::from("me")));
        drop(socket);
        assert_eq!(owners.of_port(port), None);
    }
}
