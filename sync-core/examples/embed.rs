//! Two replicas in one process: each writes while apart, both hold both writes after one exchange.

use std::error::Error;

use serde_json::json;
use sync_core::document::DocumentKey;
use sync_core::env::no_witness;
use sync_core::id::Name;
use sync_core::identity::{CertificateAuthority, Role, SigningKey};
use sync_core::replica::{Now, Replica, in_process};
use sync_core::store::Store;
use sync_core::transport::SystemEntropy;

fn main() -> Result<(), Box<dyn Error>> {
    let mut entropy = SystemEntropy::default();
    let fleet = CertificateAuthority::create(&mut entropy, Name::new("harbour")?)?;
    let mut join = || -> Result<Replica, Box<dyn Error>> {
        let key = SigningKey::generate(&mut entropy);
        let identity = fleet.identity(&mut entropy, key, Role::Hub)?;
        let mut store = Store::open_in_memory()?; // or Store::open(folder)
        Replica::init(&mut store, &identity, &mut entropy)?;
        Ok(Replica::open(store, &mut entropy, no_witness())?)
    };
    let (mut ship, mut shore) = (join()?, join()?);

    let cargo = DocumentKey::layer(&Name::new("cargo")?);
    let state = |value: serde_json::Value| value.as_object().cloned().unwrap_or_default();
    ship.write(Now::default(), &cargo, &state(json!({ "objects": { "crates": 40 } })))?;
    shore.write(Now::default(), &cargo, &state(json!({ "objects": { "barrels": 7 } })))?;

    let exchanged = in_process::sync(Now::default(), &mut ship, &mut shore)?;
    println!("{} bytes in {} frames", exchanged.bytes, exchanged.frames);
    for replica in [&mut ship, &mut shore] {
        let view = replica.read(&cargo)?.ok_or("nothing came")?;
        println!("{}", json!(view.state)); // {"objects":{"barrels":7,"crates":40}}
    }
    Ok(())
}
