//! Fields in which hubs disagree: listing them with every value, and settling them.

use serde::Deserialize;
use serde_json::{Value, json};
use sync_core::document::json::{PathSegment, pointer};
use sync_core::document::{AuthorGroup, DocumentKey, DocumentKind};
use sync_core::id::{Name, NodeId};
use sync_core::replica::conflicts::{ClaimedValue, conflicts};
use sync_core::replica::{Edit, Now, Replica, roster};
use sync_core::state::desired::LayerPin;
use sync_core::store::Tx;

use super::fleet::hub_name;
use super::{Failure, age};
use crate::service::fleet::{ConflictEntry, ConflictList, ConflictValue, ResolveRequest};
use crate::service::{AdminError, AdminErrorKind};

/// Every conflict of every document of the hubs.
pub(super) fn list(replica: &mut Replica, now: Now) -> Result<ConflictList, AdminError> {
    let work = |tx: &Tx<'_>| -> Result<ConflictList, Failure> {
        let mut all = Vec::new();
        for document in tx.documents()? {
            if document.key.author_group() == AuthorGroup::Hubs {
                all.extend(of_document(tx, now, &document.key)?);
            }
        }
        all.sort_by(|a, b| (&a.document, &a.path).cmp(&(&b.document, &b.path)));
        Ok(ConflictList { conflicts: all })
    };
    replica.inspect(work).map_err(AdminError::from)
}

/// The conflicts of one document, by path.
pub(super) fn of_document(tx: &Tx<'_>, now: Now, key: &DocumentKey) -> Result<Vec<ConflictEntry>, Failure> {
    let found = conflicts(tx, key)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let (roster, document) = (roster::read(tx)?, shown_document(tx, key)?);
    let mut entries = Vec::new();
    for conflict in found {
        let mut values = Vec::new();
        for (index, claim) in conflict.values.iter().enumerate() {
            values.push(ConflictValue {
                number: index + 1,
                value: shown_value(key, &conflict.path, &claim.value),
                hub: claim.author.map_or_else(|| "unknown".to_owned(), |hub| hub_name(&roster, hub)),
                seconds_ago: age(now, claim.at),
            });
        }
        entries.push(ConflictEntry { document: document.clone(), path: pointer(&conflict.path), values });
    }
    Ok(entries)
}

/// A value as people read it: a layer's pin in a release by its version.
fn shown_value(key: &DocumentKey, path: &[PathSegment], value: &Value) -> Value {
    let layer = match path {
        [PathSegment::Key(layers), PathSegment::Key(layer)]
            if key.kind == DocumentKind::Release && layers == "layers" =>
        {
            layer
        }
        _ => return value.clone(),
    };
    match LayerPin::deserialize(value) {
        Ok(pin) => json!(format!("{layer} {} ({})", pin.version, pin.heads.short())),
        Err(_) => value.clone(),
    }
}

/// A document as people name it: an assignment by its node's name.
fn shown_document(tx: &Tx<'_>, key: &DocumentKey) -> Result<String, Failure> {
    let name = sync_core::state::roster::home_name(key).unwrap_or_default();
    let Some(owner) = key.owner else { return Ok(name) };
    let node = tx.peer(owner)?.and_then(|row| row.name).unwrap_or_else(|| owner.to_string());
    Ok(format!("assignment/{node}"))
}

fn parse_document(tx: &Tx<'_>, text: &str) -> Result<DocumentKey, Failure> {
    let unknown = || -> Failure {
        let message = format!("there is no document `{text}`");
        AdminError::new(AdminErrorKind::NotFound, message, "`conflict list` names each as `layer/NAME` and the like")
            .into()
    };
    let name = |text: &str| Name::new(text).map_err(|_| unknown());
    match text.split_once('/') {
        None if text == "placement" => Ok(DocumentKey::placement()),
        None if text == "roster" => Ok(DocumentKey::roster()),
        None | Some(("layer", _)) => {
            Ok(DocumentKey::layer(&name(text.split_once('/').map_or(text, |(_, layer)| layer))?))
        }
        Some(("release", release)) => Ok(DocumentKey::release(&name(release)?)),
        Some(("assignment", node)) => {
            let row = tx.peer_by_name(node)?.map(|row| row.node);
            row.or_else(|| NodeId::from_hex(node)).map(DocumentKey::assignment).ok_or_else(unknown)
        }
        Some(_) => Err(unknown()),
    }
}

/// Writes one of the values over all of them. What is left of the document's conflicts.
pub(super) fn resolve(replica: &mut Replica, now: Now, request: &ResolveRequest) -> Result<ConflictList, AdminError> {
    let work = |edit: &mut Edit<'_>| -> Result<ConflictList, Failure> {
        let key = parse_document(edit.tx(), &request.document)?;
        let found = conflicts(edit.tx(), &key)?;
        let Some(conflict) = found.iter().find(|conflict| pointer(&conflict.path) == request.path) else {
            let message = format!("`{}` has no conflict at `{}`", request.document, request.path);
            return Err(AdminError::new(AdminErrorKind::NotFound, message, "`conflict list` shows all").into());
        };
        let claim: Option<&ClaimedValue> = request.take.checked_sub(1).and_then(|index| conflict.values.get(index));
        let Some(claim) = claim else {
            let message = format!("there is no value {}; there are 1 to {}", request.take, conflict.values.len());
            return Err(AdminError::new(AdminErrorKind::Invalid, message, "").into());
        };
        edit.settle(&key, &conflict.path, &claim.value)?;
        Ok(ConflictList { conflicts: of_document(edit.tx(), now, &key)? })
    };
    replica.edit(now, work).map_err(AdminError::from)
}
