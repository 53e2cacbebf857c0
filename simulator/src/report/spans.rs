//! Times from a begin to an end, out of begins and ends.

use std::collections::BTreeMap;

use super::model::{Link, Span};

/// Spans of one thing. A begin within a span, and an end outside of one, say nothing new.
#[derive(Debug, Default)]
pub(super) struct Spans {
    closed: Vec<Span>,
    open: Option<u64>,
}

impl Spans {
    pub(super) fn begin(&mut self, at: u64) {
        self.open.get_or_insert(at);
    }

    pub(super) fn end(&mut self, at: u64) {
        self.closed.extend(self.open.take().map(|from| Span(from, at)));
    }

    /// What lasts ends with the run.
    pub(super) fn finish(mut self, at: u64) -> Vec<Span> {
        self.end(at);
        self.closed
    }
}

/// Spans towards others, each with a word.
#[derive(Debug, Default)]
pub(super) struct Towards(BTreeMap<String, Way>);

#[derive(Debug, Default)]
struct Way {
    closed: Vec<(u64, u64, String)>,
    open: Option<(u64, String)>,
}

impl Way {
    fn end(&mut self, at: u64) {
        self.closed.extend(self.open.take().map(|(from, word)| (from, at, word)));
    }
}

impl Towards {
    /// Another word ends the span and begins another.
    pub(super) fn begin(&mut self, to: &str, word: &str, at: u64) {
        let way = self.0.entry(to.to_owned()).or_default();
        if way.open.as_ref().is_none_or(|(_, open)| open != word) {
            way.end(at);
            way.open = Some((at, word.to_owned()));
        }
    }

    pub(super) fn end(&mut self, to: &str, at: u64) {
        self.0.entry(to.to_owned()).or_default().end(at);
    }

    pub(super) fn end_all(&mut self, at: u64) {
        self.0.values_mut().for_each(|way| way.end(at));
    }

    pub(super) fn finish(mut self, at: u64) -> Vec<Link> {
        self.end_all(at);
        self.0.into_iter().map(|(to, way)| Link { to, up: way.closed }).collect()
    }
}
