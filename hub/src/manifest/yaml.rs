//! YAML text to JSON values that know their place, with everything refused that kubectl would guess about.
//!
//! Values are built from the parser's events on a stack of open collections, never by recursion: the depth is checked
//! when a collection opens, and every value is counted before it is made, copies for anchors and aliases included.
//!
//! The parser needs no guard of its own. Pulled event by event it does not recurse, and its time is linear: at most 255
//! open flow collections, its own bound, are looked at for each token. It holds the tokens of a nested flow collection
//! until that ends, about 160 bytes for each byte of the file.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};
use serde_json::{Map, Value};

use super::document::{Document, ObjectPlaces};
use super::error::{ManifestError, Problem, SourcePlace};
use super::problem_at;
use super::scalar::{NotFinite, resolve_plain};
use crate::limits::{MANIFEST_COPIED_BYTES_MAX, MANIFEST_DEPTH_MAX, MANIFEST_VALUES_MAX};

/// The documents of one file, empty ones left out.
pub(super) fn read_yaml(file: &str, text: &str) -> Result<Vec<Document>, ManifestError> {
    let mut reader = Reader::new(file, text);
    // Unlike `new_from_str`, this counts characters in directives too, and reserves little for each scalar.
    let mut parser = Parser::new_from_iter(text.chars());
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| {
            let problem = match error.info() {
                "recursion limit exceeded" => Problem::TooDeep,
                message => syntax(message),
            };
            problem_at(place(file, *error.marker()), problem)
        })?;
        reader.event(event, span.start).map_err(|(at, problem)| problem_at(place(file, at), problem))?;
    }
    Ok(reader.documents)
}

fn place(file: &str, at: Marker) -> SourcePlace {
    SourcePlace { file: file.to_owned(), line: at.line(), column: at.col() + 1 }
}

fn syntax(message: &str) -> Problem {
    Problem::Syntax { language: "YAML", message: message.to_owned() }
}

/// A problem and where it is.
type Refusal = (Marker, Problem);

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    documents: Vec<Document>,
    /// The collections that are not yet closed, outermost first.
    open: Vec<Collection>,
    /// The finished values of this document that an alias can name, by the parser's number for the anchor.
    anchors: BTreeMap<usize, Node>,
    /// The places of this document's object and of the entries of its `items`.
    places: Option<ObjectPlaces>,
    item_places: Vec<ObjectPlaces>,
    values_left: usize,
    copied_bytes_left: usize,
}

/// A value and what a copy of it costs.
#[derive(Clone)]
struct Node {
    value: Value,
    size: Size,
}

#[derive(Clone, Copy, Default)]
struct Size {
    values: usize,
    /// Bytes of all texts, keys too.
    bytes: usize,
    /// Collections on the longest way down; 0 for a scalar.
    height: usize,
}

struct Collection {
    start: Marker,
    /// 0 without an anchor.
    anchor: usize,
    role: Role,
    size: Size,
    content: Content,
}

enum Content {
    List(Vec<Value>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: BTreeMap<String, (Marker, Value)>,
    /// What the merge key `<<` brings, and where the key and its value are.
    merge: Option<(Marker, Marker, Value)>,
    /// The key whose value comes next.
    key: Option<(Key, Marker)>,
}

enum Key {
    Text(String),
    Merge,
}

/// What a collection is in a document, for the places of the fields that identify objects.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Document,
    Items,
    Item,
    DocumentMetadata,
    ItemMetadata,
    Other,
}

impl<'a> Reader<'a> {
    fn new(file: &'a str, text: &'a str) -> Self {
        Self {
            file,
            text,
            documents: Vec::new(),
            open: Vec::new(),
            anchors: BTreeMap::new(),
            places: None,
            item_places: Vec::new(),
            values_left: MANIFEST_VALUES_MAX,
            copied_bytes_left: MANIFEST_COPIED_BYTES_MAX,
        }
    }

    fn event(&mut self, event: Event<'_>, at: Marker) -> Result<(), Refusal> {
        match event {
            // The parser itself lets an alias name an anchor of an earlier document.
            Event::DocumentStart(_) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(at, tag.as_deref())?;
                self.scalar(&text, style, anchor, at)?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(at, tag.as_deref())?;
                self.start(Content::List(Vec::new()), anchor, at)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(at, tag.as_deref())?;
                self.start(Content::Map(OpenMap::default()), anchor, at)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end()?,
            Event::Alias(anchor) => self.alias(anchor, at)?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, anchor: usize, at: Marker) -> Result<(), Refusal> {
        let is_plain = style == ScalarStyle::Plain;
        let value = if is_plain {
            resolve_plain(text).map_err(|NotFinite| (at, Problem::NotFinite { text: text.to_owned() }))?
        } else {
            Value::String(text.to_owned())
        };
        let node = Node { value, size: Size { values: 1, bytes: text.len(), height: 0 } };
        self.keep_for_aliases(anchor, &node, at)?;
        if self.wants_key() {
            return self.key(node, is_plain, at);
        }
        self.count(1, at)?;
        self.add(node, at)
    }

    fn alias(&mut self, anchor: usize, at: Marker) -> Result<(), Refusal> {
        let Some(size) = self.anchors.get(&anchor).map(|node| node.size) else {
            return Err((at, syntax("the alias names a value that it is part of, or one of another document")));
        };
        if self.open.len() + size.height > MANIFEST_DEPTH_MAX {
            return Err((at, Problem::TooDeep));
        }
        self.count_copy(size, at)?;
        let Some(node) = self.anchors.get(&anchor).cloned() else { return Ok(()) };
        if self.wants_key() { self.key(node, false, at) } else { self.add(node, at) }
    }

    fn start(&mut self, content: Content, anchor: usize, at: Marker) -> Result<(), Refusal> {
        if self.wants_key() {
            return Err(self.key_not_string(at));
        }
        if self.open.len() >= MANIFEST_DEPTH_MAX {
            return Err((at, Problem::TooDeep));
        }
        self.count(1, at)?;
        let role = self.role_of_next(matches!(content, Content::List(_)), at);
        self.open.push(Collection { start: at, anchor, role, size: Size { values: 1, bytes: 0, height: 1 }, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Refusal> {
        let Some(Collection { start, anchor, size, content, .. }) = self.open.pop() else { return Ok(()) };
        let value = match content {
            Content::List(items) => Value::Array(items),
            Content::Map(OpenMap { entries, merge, .. }) => {
                let mut map: Map<String, Value> = entries.into_iter().map(|(key, (_, value))| (key, value)).collect();
                if let Some((_, at, merged)) = merge {
                    add_merged(&mut map, merged).map_err(|problem| (at, problem))?;
                }
                Value::Object(map)
            }
        };
        let node = Node { value, size };
        self.keep_for_aliases(anchor, &node, start)?;
        self.add(node, start)
    }

    /// Whether the next node is a key.
    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Collection { content: Content::Map(OpenMap { key: None, .. }), .. }))
    }

    fn key(&mut self, node: Node, is_plain: bool, at: Marker) -> Result<(), Refusal> {
        let Value::String(text) = node.value else { return Err(self.key_not_string(at)) };
        self.note_field(&text, at);
        let Some(Collection { content: Content::Map(map), size, .. }) = self.open.last_mut() else { return Ok(()) };
        size.bytes += text.len();
        let is_merge = is_plain && text == "<<";
        let first =
            if is_merge { map.merge.as_ref().map(|(at, ..)| at) } else { map.entries.get(&text).map(|(at, _)| at) };
        if let Some(first) = first {
            let first = Some(place(self.file, *first));
            return Err((at, Problem::DuplicateKey { key: text, first }));
        }
        map.key = Some((if is_merge { Key::Merge } else { Key::Text(text) }, at));
        Ok(())
    }

    /// Puts a finished value where it belongs.
    fn add(&mut self, node: Node, at: Marker) -> Result<(), Refusal> {
        let Node { value, size } = node;
        let Some(parent) = self.open.last_mut() else {
            let places = self.places.take().unwrap_or_else(|| ObjectPlaces::new(place(self.file, at)));
            let items = std::mem::take(&mut self.item_places);
            if !value.is_null() {
                self.documents.push(Document { value, places, items });
            }
            return Ok(());
        };
        parent.size.values += size.values;
        parent.size.bytes += size.bytes;
        parent.size.height = parent.size.height.max(size.height + 1);
        match &mut parent.content {
            Content::List(items) => {
                items.push(value);
                if parent.role == Role::Items && self.item_places.len() < items.len() {
                    self.item_places.push(ObjectPlaces::new(place(self.file, at)));
                }
            }
            Content::Map(map) => match map.key.take() {
                Some((Key::Text(key), key_at)) => {
                    map.entries.insert(key, (key_at, value));
                }
                Some((Key::Merge, key_at)) => map.merge = Some((key_at, at, value)),
                None => return Err((at, syntax("a value without its key"))),
            },
        }
        Ok(())
    }

    /// Takes `count` values from what the file may have.
    fn count(&mut self, count: usize, at: Marker) -> Result<(), Refusal> {
        self.values_left = self.values_left.checked_sub(count).ok_or((at, Problem::TooManyValues))?;
        Ok(())
    }

    /// Takes a copy's cost from what the file may have, before the copy is made.
    fn count_copy(&mut self, size: Size, at: Marker) -> Result<(), Refusal> {
        let left = (self.values_left.checked_sub(size.values), self.copied_bytes_left.checked_sub(size.bytes));
        let (Some(values), Some(bytes)) = left else { return Err((at, Problem::TooManyCopies)) };
        self.values_left = values;
        self.copied_bytes_left = bytes;
        Ok(())
    }

    fn keep_for_aliases(&mut self, anchor: usize, node: &Node, at: Marker) -> Result<(), Refusal> {
        if anchor != 0 {
            self.count_copy(node.size, at)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(())
    }

    /// The role of the collection that starts now. Notes the place when it is an object.
    fn role_of_next(&mut self, is_list: bool, at: Marker) -> Role {
        let place = || ObjectPlaces::new(place(self.file, at));
        let Some(parent) = self.open.last() else {
            self.places = Some(place());
            return Role::Document;
        };
        let key = match &parent.content {
            Content::Map(OpenMap { key: Some((Key::Text(key), _)), .. }) => key.as_str(),
            Content::Map(_) | Content::List(_) => "",
        };
        match (parent.role, key, is_list) {
            (Role::Document, "items", true) => Role::Items,
            (Role::Document, "metadata", false) => Role::DocumentMetadata,
            (Role::Item, "metadata", false) => Role::ItemMetadata,
            (Role::Items, _, false) => {
                self.item_places.push(place());
                Role::Item
            }
            _ => Role::Other,
        }
    }

    /// Notes the place of a key that identifies an object.
    fn note_field(&mut self, key: &str, at: Marker) {
        let role = self.open.last().map_or(Role::Other, |collection| collection.role);
        let path = match (role, key) {
            (Role::Document | Role::Item, "apiVersion") => "apiVersion",
            (Role::Document | Role::Item, "kind") => "kind",
            (Role::Document | Role::Item, "metadata") => "metadata",
            (Role::DocumentMetadata | Role::ItemMetadata, "name") => "metadata.name",
            (Role::DocumentMetadata | Role::ItemMetadata, "generateName") => "metadata.generateName",
            (Role::DocumentMetadata | Role::ItemMetadata, "namespace") => "metadata.namespace",
            _ => return,
        };
        let places = match role {
            Role::Item | Role::ItemMetadata => self.item_places.last_mut(),
            Role::Document | Role::DocumentMetadata | Role::Items | Role::Other => self.places.as_mut(),
        };
        if let Some(places) = places {
            places.fields.push((path, place(self.file, at)));
        }
    }

    fn refuse_tag(&self, at: Marker, tag: Option<&Tag>) -> Result<(), Refusal> {
        if tag.is_none() {
            return Ok(());
        }
        // The parser has resolved the tag; what the user wrote is in the text, behind the anchor if there is one.
        let written: String = self.text.chars().skip(at.index()).take(1000).collect();
        let tag = written.split_whitespace().find(|word| word.starts_with('!')).unwrap_or("!");
        Err((at, Problem::Tag { tag: tag.chars().take(80).collect() }))
    }

    fn key_not_string(&self, at: Marker) -> Refusal {
        let written = self.text.chars().skip(at.index()).take(80);
        let key: String = written.take_while(|c| !matches!(c, ':' | '\n' | '\r')).collect();
        (at, Problem::KeyNotString { key: format!("`{}`", key.trim()) })
    }
}

/// Adds what a merge key brings. Keys that the map has stay; of several maps the first that has a key wins.
fn add_merged(map: &mut Map<String, Value>, merged: Value) -> Result<(), Problem> {
    let maps = match merged {
        Value::Object(_) => vec![merged],
        Value::Array(maps) => maps,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Err(Problem::MergeKey),
    };
    for merged in maps {
        let Value::Object(entries) = merged else { return Err(Problem::MergeKey) };
        for (key, value) in entries {
            map.entry(key).or_insert(value);
        }
    }
    Ok(())
}
