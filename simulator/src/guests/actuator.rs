//! Actuators that guests bring: what they do is told to the trace and to the checks, as of the simulated target.

use std::collections::BTreeMap;
use std::sync::Arc;

use edge_node::actuator::{
    Action, Actuator, Applied, ApplyError, DesiredObject, Intent, Inventory, ObserveError, Seen,
};
use sync_core::env::Instant;
use sync_core::id::Name;

use super::Boot;
use crate::plan::stream::Stream;
use crate::random::Random;
use crate::stack::book::Book;
use crate::trace::{Happening, Member};

/// Makes the actuator of a start.
pub(crate) type Maker = Arc<dyn Fn(Boot) -> Box<dyn Actuator + Send> + Send + Sync>;

/// What keeps something else than the simulated target of a node.
pub(crate) struct Guest {
    make: Maker,
    has_lost_power: bool,
}

impl Guest {
    pub(crate) fn new(make: Maker) -> Self {
        Self { make, has_lost_power: false }
    }

    pub(crate) fn lose_power(&mut self) {
        self.has_lost_power = true;
    }

    /// The actuator of a start.
    pub(crate) fn actuator(
        &mut self,
        node: &Name,
        seed: u64,
        number: u64,
        book: Option<(Book, Member)>,
    ) -> Box<dyn Actuator + Send> {
        let random = Random::new(Stream::new(seed, &["actuator", &number.to_string()]).next_u64());
        let lost_power = std::mem::take(&mut self.has_lost_power);
        let boot = Boot { node: node.to_string(), number, lost_power, random };
        Box::new(Watched { inner: (self.make)(boot), book })
    }
}

/// A guest's actuator whose steps are told.
struct Watched {
    inner: Box<dyn Actuator + Send>,
    book: Option<(Book, Member)>,
}

impl Actuator for Watched {
    fn intent(&self, object: &DesiredObject) -> Intent {
        self.inner.intent(object)
    }

    fn observe(&mut self, inventory: &Inventory, now: Instant) -> Result<Seen, ObserveError> {
        self.inner.observe(inventory, now)
    }

    fn apply(&mut self, action: &Action<'_>) -> Result<Applied, ApplyError> {
        let applied = self.inner.apply(action)?;
        if let Some((book, member)) = &self.book {
            let (member, key) = (member.clone(), action.key().into());
            book.tell(match action {
                Action::Put { .. } => Happening::Put { member, key },
                Action::Remove { .. } | Action::Forget { .. } => Happening::Removed { member, key },
            });
        }
        Ok(applied)
    }

    fn flush(&mut self) -> Result<(), ApplyError> {
        self.inner.flush()
    }

    fn remarks(&mut self) -> BTreeMap<String, String> {
        self.inner.remarks()
    }
}
