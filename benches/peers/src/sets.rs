//! negentropy over (document, frontier) pairs, one item each.

use negentropy::{Id, Negentropy, NegentropyStorageVector};

use crate::{Cost, thread_cpu};

/// A number whose bits follow from another one's (`SplitMix64`): ids that are spread as hashes are.
fn spread(number: u64) -> u64 {
    let mut bits = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

fn items(documents: usize, changed: usize) -> Result<NegentropyStorageVector, String> {
    let mut storage = NegentropyStorageVector::with_capacity(documents);
    for number in 0..documents as u64 {
        // Changed documents are spread over the set.
        let is_changed = (number * 97 % documents as u64) < changed as u64;
        let mut id = [0; 32];
        for (index, part) in id.chunks_mut(8).enumerate() {
            let seed = number * 8 + index as u64 + if is_changed { 1 << 40 } else { 0 };
            part.copy_from_slice(&spread(seed).to_be_bytes());
        }
        storage.insert(0, Id::from_byte_array(id)).map_err(|error| error.to_string())?;
    }
    storage.seal().map_err(|error| error.to_string())?;
    Ok(storage)
}

/// Two sets of so many items, of which some differ, until the dialer knows which.
pub(crate) fn reconcile(documents: usize, differing: usize) -> Result<Cost, String> {
    let fail = |error: negentropy::Error| error.to_string();
    let (ours, theirs) = (items(documents, differing)?, items(documents, 0)?);
    let mut dialer = Negentropy::borrowed(&ours, 0).map_err(fail)?;
    let mut hub = Negentropy::borrowed(&theirs, 0).map_err(fail)?;
    let (mut have, mut need) = (Vec::new(), Vec::new());
    let mut cost =
        Cost { engine: "negentropy (the set of documents)".to_owned(), bytes: 0, flights: 0, hub: Default::default() };
    let mut next = Some(dialer.initiate().map_err(fail)?);
    while let Some(query) = next {
        let began = thread_cpu();
        let answer = hub.reconcile(&query).map_err(fail)?;
        cost.hub += thread_cpu().saturating_sub(began);
        cost.bytes += (query.len() + answer.len()) as u64;
        cost.flights += 2;
        next = dialer.reconcile_with_ids(&answer, &mut have, &mut need).map_err(fail)?;
    }
    if have.len() != differing || need.len() != differing {
        return Err(format!("{differing} differ; {} and {} were found", have.len(), need.len()));
    }
    Ok(cost)
}
