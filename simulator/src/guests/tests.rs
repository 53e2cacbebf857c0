//! Tests of what a rehearsal tells of a run that broke.

use super::*;
use crate::trace::Happening;

const SHORT: &str = "name = \"short\"\nrehearses = \"x\"\nduration = \"40m\"\n[heal]\nwithin = \"1m\"\n\
    [[group]]\nname = \"a\"\nlayers = [\"base\"]\n[[layer]]\nname = \"base\"\n";

/// Holds nothing and says so.
struct Broken;

impl Actuator for Broken {
    fn intent(&self, object: &edge_node::actuator::DesiredObject) -> edge_node::actuator::Intent {
        edge_node::actuator::Intent { place: object.key.clone(), content: object.hash }
    }

    fn observe(
        &mut self,
        _inventory: &edge_node::actuator::Inventory,
        _now: sync_core::env::Instant,
    ) -> Result<edge_node::actuator::Seen, edge_node::actuator::ObserveError> {
        Err(edge_node::actuator::ObserveError::Target("it is on fire".to_owned()))
    }

    fn apply(
        &mut self,
        _action: &edge_node::actuator::Action<'_>,
    ) -> Result<edge_node::actuator::Applied, edge_node::actuator::ApplyError> {
        Ok(edge_node::actuator::Applied::Gone)
    }

    fn flush(&mut self) -> Result<(), edge_node::actuator::ApplyError> {
        Ok(())
    }
}

#[test]
fn a_target_that_never_answers_keeps_all_from_agreeing_and_the_verdict_says_who() {
    let boots = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&boots);
    let make = move |boot: Boot| -> Box<dyn Actuator + Send> {
        seen.lock().unwrap().push((boot.node, boot.lost_power));
        Box::new(Broken)
    };
    let text = format!("{SHORT}[[event]]\nkind = \"power-loss\"\non = [\"a\"]\nat = [\"5m\"]\nlasts = \"1m\"\n");
    let rehearsed = Rehearsal::parse(&text).unwrap().actuator("a", make).run().unwrap();
    let failure = rehearsed.verdict().unwrap_err();
    assert!(failure.to_string().starts_with("no agreement: hub: a "), "{failure}");
    let report = rehearsed.nodes["a"].report.as_ref().unwrap();
    assert!(report.message.contains("it is on fire"), "{report:?}");
    assert_eq!(rehearsed.nodes["a"].objects.len(), 0);
    assert!(!rehearsed.trace().any(|entry| entry.what == Happening::Agreed));
    assert_eq!(*boots.lock().unwrap(), [("a".to_owned(), false), ("a".to_owned(), true)]);
}
