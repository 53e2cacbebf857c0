//! What `archipel-sim bench sync` measures Archipel against and no other crate here uses: samod-core and negentropy.
//!
//! `peers SECTION SIZE…` prints one JSON line a figure: `engine`, `bytes`, `round_trips`, `cpu_ns` of the accepting side.

mod cost;
mod network;
mod samod;
mod sets;

use std::process::ExitCode;

pub(crate) use cost::{Cost, thread_cpu};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let sizes: Vec<usize> = arguments.iter().skip(1).filter_map(|size| size.parse().ok()).collect();
    let costs = match (arguments.first().map(String::as_str), sizes.as_slice()) {
        (Some("idle"), &[documents, changes]) => cost::idle(documents, changes),
        (Some("restored"), &[documents, differing]) => sets::reconcile(documents, differing).map(|cost| vec![cost]),
        _ => Err("write `peers idle DOCUMENTS CHANGES` or `peers restored DOCUMENTS DIFFERING`".to_owned()),
    };
    match costs {
        Ok(costs) => {
            costs.iter().for_each(cost::print);
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_equal_set_costs_one_round_trip_and_a_difference_more() {
        let equal = sets::reconcile(500, 0).unwrap();
        let differing = sets::reconcile(500, 20).unwrap();
        assert_eq!(equal.flights, 2);
        assert!(differing.bytes > equal.bytes);
    }

    #[test]
    fn every_document_costs_samod_a_message_at_a_reconnect() {
        let few = samod::reconnect(5, 2).unwrap();
        let more = samod::reconnect(10, 2).unwrap();
        assert!(few.bytes > 5 * 32 && more.bytes > few.bytes);
        assert!(more.hub > Duration::ZERO);
    }
}
