//! Trucks with cold storage: an actuator that drives a controller which is busy now and then, and a dispatcher who changes
//! what the storages are set to, rehearsed over links that end in tunnels.
//!
//! `cargo run --example cold_storage` runs it; `simulator/tests/guests.rs` does in every build.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use edge_node::actuator::{
    Action, Actuator, Applied, ApplyError, DesiredObject, Digest, Intent, Inventory, ObserveError, Seen, Sight,
};
use hub::service::{AdminCommand, KeyedObject};
use serde_json::{Value, json};
use simulator::random::Random;
use simulator::{Boot, Fleet, Rehearsal, Rehearsed};
use sync_core::env::Instant;
use sync_core::id::Name;

const SCENARIO: &str = r#"
name = "cold-storage"
rehearses = "Trucks keep their storages as they are told to, through tunnels, losses of power and a controller that is busy"
duration = "12h"

[[group]]
name = "truck-{n}"
count = 3
layers = ["cooling"]
links = ["lte"]

[link.lte]
calendar = ["tunnels"]
latency = "40ms"
loss = "1%"

[calendar.tunnels]
kind = "tunnels"
up = "5m..2h mean 30m"
down = "10s..20m mean 4m"

# What is in it at first is made up; the dispatcher replaces it.
[[layer]]
name = "cooling"
objects = 1

[[event]]
kind = "power-loss"
on = ["truck-*"]
rate = "2/day"
lasts = "1m..1h"
"#;

/// How often the controller refuses: one time in this many.
const BUSY_ONE_IN: u64 = 3;

/// A truck's controller, with a slot for each setting. It goes on whatever becomes of the agent.
#[derive(Debug, Default)]
struct Controller {
    slots: BTreeMap<String, Value>,
    refusals: u32,
}

/// All controllers, by truck. Clones are the same.
#[derive(Debug, Clone, Default)]
struct Controllers(Arc<Mutex<BTreeMap<String, Controller>>>);

impl Controllers {
    fn with<T>(&self, truck: &str, work: impl FnOnce(&mut Controller) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work(all.entry(truck.to_owned()).or_default())
    }
}

/// The agent's side of a controller: lives as long as the agent's process.
struct Cooling {
    truck: String,
    controllers: Controllers,
    random: Random,
}

fn digest(setting: &Value) -> Digest {
    Digest::of(setting.to_string().as_bytes())
}

impl Actuator for Cooling {
    fn intent(&self, object: &DesiredObject) -> Intent {
        Intent { place: object.key.clone(), content: digest(&object.manifest) }
    }

    fn observe(&mut self, _inventory: &Inventory, _now: Instant) -> Result<Seen, ObserveError> {
        let sights = |controller: &mut Controller| {
            let sight = |(slot, setting): (&String, &Value)| (slot.clone(), Sight::Present(digest(setting)));
            controller.slots.iter().map(sight).collect()
        };
        Ok(Seen(self.controllers.with(&self.truck, sights)))
    }

    fn apply(&mut self, action: &Action<'_>) -> Result<Applied, ApplyError> {
        let is_busy = self.random.below(BUSY_ONE_IN) == 0;
        self.controllers.with(&self.truck, |controller| {
            if is_busy {
                controller.refusals += 1;
                return Err(ApplyError::Target { reason: "the compressor is starting".to_owned(), stops: false });
            }
            match action {
                Action::Put { object, intent, .. } => {
                    controller.slots.insert(intent.place.clone(), object.manifest.clone());
                    Ok(Applied::Held)
                }
                Action::Remove { place, .. } | Action::Forget { place, .. } => {
                    controller.slots.remove(place);
                    Ok(Applied::Gone)
                }
            }
        })
    }

    /// The controller remembers at once.
    fn flush(&mut self) -> Result<(), ApplyError> {
        Ok(())
    }

    fn remarks(&mut self) -> BTreeMap<String, String> {
        let remark =
            |(slot, setting): (&String, &Value)| (slot.clone(), format!("holds {}", setting["data"]["celsius"]));
        self.controllers.with(&self.truck, |controller| controller.slots.iter().map(remark).collect())
    }
}

/// Somebody at the hub who changes what the storages are set to, every hour or two.
async fn dispatch(mut fleet: Fleet) {
    loop {
        let celsius = 1 + fleet.random().below(8);
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "storage", "namespace": "truck"},
            "data": {"celsius": format!("-{celsius}")}});
        let key = "core/ConfigMap/truck/storage".to_owned();
        let objects = vec![KeyedObject { key, object }];
        if let Ok(name) = Name::new("cooling") {
            let asked = fleet.ask("hub", AdminCommand::ApplyLayer { name, objects, release: true }).await;
            fleet.note("hub", &if asked.is_ok() { format!("set to -{celsius}") } else { "was not reached".to_owned() });
        }
        let wait = 60 + fleet.random().below(60);
        fleet.sleep(Duration::from_secs(wait * 60)).await;
    }
}

/// Rehearses half a day and checks what came of it.
///
/// # Errors
/// What broke, or why it could not begin.
pub fn rehearse(seed: u64) -> Result<Rehearsed, Box<dyn Error>> {
    let controllers = Controllers::default();
    let of_agents = controllers.clone();
    let rehearsed = Rehearsal::parse(SCENARIO)?
        .seed(seed)
        .actuator("truck-*", move |boot: Boot| {
            Box::new(Cooling { truck: boot.node, controllers: of_agents.clone(), random: boot.random })
        })
        .workload(dispatch)
        .run()?;
    rehearsed.verdict()?;
    for (truck, node) in &rehearsed.nodes {
        let (slots, refusals) = controllers.with(truck, |controller| (controller.slots.clone(), controller.refusals));
        if slots != node.objects {
            return Err(format!("{truck} is set to {slots:?} and not to {:?}", node.objects).into());
        }
        println!("{truck}: {} settings held, the controller was busy {refusals} times", slots.len());
    }
    Ok(rehearsed)
}

fn main() -> Result<(), Box<dyn Error>> {
    let rehearsed = rehearse(1)?;
    println!(
        "all agreed {:?} after the healing, {} entries in the trace",
        rehearsed.verdict()?,
        rehearsed.trace().count()
    );
    Ok(())
}
