//! How the places in a bundle follow on the place that is held.

use crate::position::Position;

/// How a bundle fits to what was held of its feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It goes on from there, and everything in it is held now.
    Continues,
    /// Everything in it was held already.
    Held,
    /// Entries before its first are not held: an earlier bundle is needed. What can stand without them was taken.
    Gap,
    /// Something in it was refused; it is held up to there.
    Refused,
    /// It is of an older life of the exporter's store, or of another store. What is true in it was taken; it says nothing
    /// about how far the two are now.
    OtherStore,
}

/// The place that is held, and what a bundle has brought to it so far.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) cursor: Option<Position>,
    /// The places count, and everything between `cursor` and the present entry was in the bundle.
    is_connected: bool,
    /// A part of the present step was refused.
    is_step_refused: bool,
    /// A step past `cursor` was not taken whole.
    is_refused: bool,
    /// An entry past `cursor` came while not connected.
    is_gap: bool,
    moved: bool,
    counts: bool,
}

impl Track {
    pub(super) fn new(cursor: Option<Position>, from: Position, counts: bool) -> Self {
        let is_connected = counts && (from.number == 0 || cursor == Some(from));
        // It may have no entries at all, and begin further than what is held.
        let is_gap = from.number > cursor.map_or(0, |place| place.number);
        Self { cursor, is_connected, is_step_refused: false, is_refused: false, is_gap, moved: false, counts }
    }

    /// Between two frames the exporter may have been served over a link: whether the bundle still speaks for its store as it is
    /// known, and the place that is held now. From a place that was not reached here the bundle goes on where it gets there.
    pub(super) fn meanwhile(&mut self, is_known: bool, cursor: Option<Position>) {
        self.counts &= is_known;
        if self.counts && cursor != self.cursor {
            (self.cursor, self.is_connected) = (cursor, false);
        }
        self.is_connected &= self.counts;
    }

    /// Number up to which the feed is held, where the places count.
    pub(super) fn held(&self) -> Option<u64> {
        self.counts.then(|| self.cursor.map_or(0, |place| place.number))
    }

    fn is_past(&self, place: Position) -> bool {
        self.cursor.is_none_or(|held| place.number > held.number)
    }

    /// Where the cursor moves when the step that ends at `through` is taken whole.
    pub(super) fn reach(&self, through: Position) -> Option<Position> {
        let goes_on = self.counts && self.is_connected && !self.is_refused && !self.is_step_refused;
        Some(through).filter(|through| goes_on && self.is_past(*through))
    }

    /// A frame was taken, or refused; the last of a step has the place where that ends.
    pub(super) fn taken(&mut self, refused: bool, through: Option<Position>) {
        self.is_step_refused |= refused;
        let Some(through) = through else { return };
        if let Some(reached) = self.reach(through) {
            (self.cursor, self.moved) = (Some(reached), true);
        } else if self.is_past(through) {
            self.is_refused |= self.is_connected && self.is_step_refused;
            self.is_gap |= !self.is_connected;
        } else if let Some(held) = self.cursor
            && held.number == through.number
        {
            // Two feeds that agree here agree below; one that does not was set back.
            self.is_connected = self.counts && held == through;
        }
        self.is_step_refused = false;
    }

    pub(super) fn fit(&self) -> Fit {
        match self {
            _ if !self.counts => Fit::OtherStore,
            _ if self.is_refused => Fit::Refused,
            _ if self.is_gap => Fit::Gap,
            _ if self.moved => Fit::Continues,
            _ => Fit::Held,
        }
    }
}
