//! Two samod-core repositories that hold the same documents meet again.

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{Automerge, ROOT};

use crate::Cost;
use crate::network::Repository;

/// Lets them meet twice: the first time one has everything, the second time nothing is left to say.
pub(crate) fn reconnect(documents: usize, changes: usize) -> Result<Cost, String> {
    let (mut hub, mut node) = (Repository::new("hub", 1)?, Repository::new("node", 2)?);
    for _ in 0..documents {
        hub.create(document(changes)?)?;
    }
    meet(&mut node, &mut hub)?;
    let held = node.documents();
    if held != documents {
        return Err(format!("after the first meeting the node holds {held} of {documents} documents"));
    }
    hub.disconnect();
    node.disconnect();
    hub.spent = Default::default();
    let (bytes, flights) = meet(&mut node, &mut hub)?;
    Ok(Cost { engine: "samod-core".to_owned(), bytes, flights, hub: hub.spent })
}

fn document(changes: usize) -> Result<Automerge, String> {
    let mut document = Automerge::new();
    for number in 0..changes {
        let mut tx = document.transaction();
        tx.put(ROOT, "number", number.to_string()).map_err(|error| error.to_string())?;
        tx.commit_with(CommitOptions::default().with_time(0));
    }
    Ok(document)
}

/// Bytes of all messages, and flights: a flight takes what a side had to say when it began.
fn meet(dialer: &mut Repository, acceptor: &mut Repository) -> Result<(u64, u64), String> {
    acceptor.listen()?;
    dialer.dial()?;
    let (mut bytes, mut flights) = (0, 0);
    loop {
        let forth = dialer.take_said();
        let back = if forth.is_empty() { acceptor.take_said() } else { Vec::new() };
        if forth.is_empty() && back.is_empty() {
            return Ok((bytes, flights));
        }
        flights += 1;
        for message in forth {
            bytes += message.len() as u64;
            acceptor.receive(message);
        }
        for message in back {
            bytes += message.len() as u64;
            dialer.receive(message);
        }
    }
}
