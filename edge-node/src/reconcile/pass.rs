//! Takes the steps of a recorded plan and says what became of them.

use sync_core::env::{CrashPoint, Witness};

use crate::actuator::{Action, Actuator, Applied, ApplyError, Cause, Inventory, State};

/// A plan whose wider inventory is durable, so that the target may be touched.
#[derive(Debug)]
#[must_use = "a recorded plan does nothing until it is applied"]
pub struct Recorded<'a> {
    inventory: Inventory,
    puts: Vec<Action<'a>>,
    removals: Vec<Action<'a>>,
}

/// What a pass did.
#[derive(Debug)]
#[must_use = "the inventory must be committed, with the frontier that is now applied when `is_complete`"]
pub struct Outcome {
    /// What the target now holds of ours. To be committed in the transaction that says what is applied.
    pub inventory: Inventory,
    /// Steps that were taken and are durable, in order.
    pub done: Vec<Done>,
    /// Steps that were not.
    pub failed: Vec<Failure>,
    /// Steps that were not tried, because of a failure before them.
    pub put_off: usize,
}

impl Outcome {
    /// True when every step was taken: the target holds the whole release. Objects may still be leaving.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.put_off == 0
    }
}

/// A step that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The object's key.
    pub key: String,
    /// Why it was put; `None` for a step of its removal.
    pub cause: Option<Cause>,
    /// What became of it.
    pub applied: Applied,
}

/// A step that was not taken.
#[derive(Debug)]
pub struct Failure {
    /// The object's key; `None` when making the steps durable failed.
    pub key: Option<String>,
    /// Why.
    pub error: ApplyError,
}

impl<'a> Recorded<'a> {
    pub(super) fn new(inventory: Inventory, puts: Vec<Action<'a>>, removals: Vec<Action<'a>>) -> Self {
        Self { inventory, puts, removals }
    }

    /// Takes the steps. One object that fails does not hold up the others, but nothing is removed after a failed put:
    /// what it replaces may be all that is running.
    ///
    /// `witness` is told [`CrashPoint::DuringTargetWrite`] after each step, [`CrashPoint::TargetWritten`] at the end.
    pub fn apply(self, actuator: &mut dyn Actuator, witness: &Witness) -> Outcome {
        let Self { inventory, puts, removals } = self;
        let mut outcome = Outcome { inventory, done: Vec::new(), failed: Vec::new(), put_off: 0 };
        if puts.is_empty() && removals.is_empty() {
            return outcome;
        }
        outcome.take(&puts, actuator, witness);
        if outcome.is_complete() {
            outcome.take(&removals, actuator, witness);
        } else {
            outcome.put_off += removals.len();
        }
        witness(CrashPoint::TargetWritten);
        outcome
    }
}

impl Outcome {
    fn take(&mut self, actions: &[Action<'_>], actuator: &mut dyn Actuator, witness: &Witness) {
        if actions.is_empty() {
            return;
        }
        let mut taken = Vec::new();
        for (index, action) in actions.iter().enumerate() {
            match actuator.apply(action) {
                Ok(applied) => {
                    let cause = if let Action::Put { cause, .. } = action { Some(*cause) } else { None };
                    taken.push(Done { key: action.key().to_owned(), cause, applied });
                    witness(CrashPoint::DuringTargetWrite);
                }
                Err(error) => {
                    let stop = error.stops_the_pass();
                    self.failed.push(Failure { key: Some(action.key().to_owned()), error });
                    if stop {
                        self.put_off += actions.len() - index - 1;
                        break;
                    }
                }
            }
        }
        // Before the flush a loss of power may undo any of them, so until then the inventory stays wide.
        match actuator.flush() {
            Ok(()) => taken.into_iter().for_each(|done| self.settle(done)),
            Err(error) => self.failed.push(Failure { key: None, error }),
        }
    }

    fn settle(&mut self, done: Done) {
        match done.applied {
            Applied::Gone => drop(self.inventory.0.remove(&done.key)),
            Applied::Held | Applied::Leaving => {
                if let Some(entry) = self.inventory.0.get_mut(&done.key) {
                    entry.state = if done.applied == Applied::Held { State::Held } else { State::Leaving };
                }
            }
        }
        self.done.push(done);
    }
}
