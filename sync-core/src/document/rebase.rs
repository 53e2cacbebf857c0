//! Brings what a late writer wrote into a generation that began without it (decision D5): a three-way merge of JSON.
//!
//! Maps are merged field by field; every other value, lists too, is one field. Where only the late writer changed a field,
//! its value is written again. Where both did, both values are written beside each other, so that the document shows the
//! conflict. Nothing is brought back below a parent that is gone, and nothing is deleted that the other side changed.

use serde_json::{Map, Value};

/// What a late writer's work comes to in the new generation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rebase {
    /// The state of the new generation with the late writer's values where it alone changed something.
    pub state: Map<String, Value>,
    /// Fields with several values, which have to be written beside each other.
    pub contested: Vec<Contested>,
    /// Fields that the late writer changed and that are left as they are, because their parent, or the field, is gone.
    pub left: Vec<Vec<String>>,
}

/// A field that both sides changed, or that was in conflict at the late writer.
#[derive(Debug, Clone, PartialEq)]
pub struct Contested {
    /// Keys from the root.
    pub path: Vec<String>,
    /// Its different values, the late writer's first.
    pub values: Vec<Value>,
}

/// A value that the late writer has beside the one that it shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Beside {
    /// Keys from the root.
    pub path: Vec<String>,
    /// The value.
    pub value: Value,
}

/// Merges what the late writer made of `base`, `mine`, into `theirs`, the state from which the new generation began. `beside`
/// are the values that were in conflict with those of `mine`.
#[must_use]
pub fn rebase(
    base: &Map<String, Value>,
    mine: &Map<String, Value>,
    theirs: &Map<String, Value>,
    beside: &[Beside],
) -> Rebase {
    let mut rebase = Rebase::default();
    rebase.state = merge(base, mine, theirs, &mut Vec::new(), &mut rebase);
    for claim in beside {
        if !keep_beside(base, mine, theirs, claim, &mut rebase) && !rebase.left.contains(&claim.path) {
            rebase.left.push(claim.path.clone());
        }
    }
    rebase
}

/// Adds a value that was in conflict; `false` when there is no place for it.
fn keep_beside(
    base: &Map<String, Value>,
    mine: &Map<String, Value>,
    theirs: &Map<String, Value>,
    claim: &Beside,
    rebase: &mut Rebase,
) -> bool {
    let (was, other) = (at(base, &claim.path), at(theirs, &claim.path));
    if was.is_some() && other.is_none() {
        return false;
    }
    let known = rebase.contested.iter().position(|field| field.path == claim.path);
    let place = match known {
        Some(place) => place,
        None => {
            let Some((key, parents)) = claim.path.split_last() else { return false };
            let mut parent = Some(&mut rebase.state);
            for key in parents {
                parent = parent.and_then(|map| map.get_mut(key)).and_then(Value::as_object_mut);
            }
            let Some(parent) = parent else { return false };
            match other {
                Some(other) => drop(parent.insert(key.clone(), other.clone())),
                None => drop(parent.remove(key)),
            }
            let shown = at(mine, &claim.path).into_iter().chain(other.filter(|_| other != was));
            let mut field = Contested { path: claim.path.clone(), values: Vec::new() };
            shown.for_each(|value| field.add(value));
            rebase.contested.push(field);
            rebase.contested.len() - 1
        }
    };
    rebase.contested.get_mut(place).is_some_and(|field| {
        field.add(&claim.value);
        true
    })
}

impl Contested {
    fn add(&mut self, value: &Value) {
        if !self.values.contains(value) {
            self.values.push(value.clone());
        }
    }
}

fn at<'a>(state: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(state.get(first)?, |value, key| value.as_object()?.get(key))
}

fn merge(
    base: &Map<String, Value>,
    mine: &Map<String, Value>,
    theirs: &Map<String, Value>,
    path: &mut Vec<String>,
    found: &mut Rebase,
) -> Map<String, Value> {
    let mut merged = theirs.clone();
    let keys: std::collections::BTreeSet<&String> = base.keys().chain(mine.keys()).collect();
    for key in keys {
        let (was, is, other) = (base.get(key), mine.get(key), theirs.get(key));
        if was == is || is == other {
            continue;
        }
        path.push(key.clone());
        match (was, is, other) {
            // Both made it a map, or it was one all the time: field by field.
            (was, Some(Value::Object(is)), Some(Value::Object(other))) => {
                let empty = Map::new();
                let was = was.and_then(Value::as_object).unwrap_or(&empty);
                let below = merge(was, is, other, path, found);
                merged.insert(key.clone(), Value::Object(below));
            }
            // Only the late writer changed it.
            (was, Some(is), other) if was == other => {
                merged.insert(key.clone(), is.clone());
            }
            (was, None, other) if was == other => {
                merged.remove(key);
            }
            // It was deleted there: what was changed below it here does not bring it back.
            (Some(_), Some(_), None) => found.left.push(path.clone()),
            // It was changed there: a delete from before does not take it away.
            (_, None, _) => found.left.push(path.clone()),
            (_, Some(is), Some(other)) => {
                found.contested.push(Contested { path: path.clone(), values: vec![is.clone(), other.clone()] });
            }
            // A field that was on neither side cannot differ from nothing: `was == other` above took it.
            (None, Some(_), None) => {}
        }
        path.pop();
    }
    merged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_field_that_only_the_late_writer_changed_is_written_again() {
        let base = map(json!({"a": {"x": 1, "y": 1}, "b": 1}));
        let mine = map(json!({"a": {"x": 2, "y": 1}, "b": 1, "c": [1]}));
        let theirs = map(json!({"a": {"x": 1, "y": 5}, "b": 7}));
        let rebased = rebase(&base, &mine, &theirs, &[]);
        assert_eq!(Value::Object(rebased.state), json!({"a": {"x": 2, "y": 5}, "b": 7, "c": [1]}));
        assert!(rebased.contested.is_empty() && rebased.left.is_empty());
    }

    #[test]
    fn a_field_that_both_changed_keeps_both_values() {
        let rebased = rebase(&x(1), &x(2), &x(3), &[]);
        assert_eq!(rebased.state, x(3));
        assert_eq!(rebased.contested, [contested(&[2, 3])]);
    }

    fn x(value: i64) -> Map<String, Value> {
        map(json!({ "a": { "x": value } }))
    }

    fn contested(values: &[i64]) -> Contested {
        Contested { path: vec!["a".into(), "x".into()], values: values.iter().map(|value| json!(value)).collect() }
    }

    #[test]
    fn a_field_in_conflict_stays_in_conflict() {
        let beside = [Beside { path: vec!["a".into(), "x".into()], value: json!(9) }];
        for (base, mine, theirs, values) in
            [(1, 2, 1, vec![2, 9]), (1, 2, 3, vec![2, 3, 9]), (1, 2, 9, vec![2, 9]), (1, 1, 1, vec![1, 9])]
        {
            let rebased = rebase(&x(base), &x(mine), &x(theirs), &beside);
            assert_eq!((rebased.state, rebased.contested), (x(theirs), vec![contested(&values)]));
        }
        let new = rebase(&map(json!({"a": {}})), &x(2), &map(json!({"a": {}})), &beside);
        assert_eq!((new.state, new.contested), (map(json!({"a": {}})), vec![contested(&[2, 9])]));
        let gone = rebase(&x(1), &x(2), &map(json!({})), &beside);
        assert_eq!((gone.state, gone.contested.len(), gone.left.len()), (map(json!({})), 0, 2));
    }

    #[test]
    fn what_was_deleted_is_not_brought_back_and_what_was_changed_is_not_deleted() {
        let base = map(json!({"gone": {"x": 1}, "kept": 1, "dropped": 1}));
        let mine = map(json!({"gone": {"x": 2}}));
        let theirs = map(json!({"kept": 2, "dropped": 1}));
        let rebased = rebase(&base, &mine, &theirs, &[]);
        assert_eq!(Value::Object(rebased.state), json!({"kept": 2}));
        assert_eq!(rebased.left, [vec!["gone".to_owned()], vec!["kept".to_owned()]]);
    }

    fn small() -> impl Strategy<Value = Map<String, Value>> {
        let leaf = prop_oneof![(0..3i64).prop_map(Value::from), Just(json!([1])), Just(json!([2]))];
        let inner = prop::collection::btree_map("[a-c]", leaf, 0..3);
        let inner = inner.prop_map(|map| Value::Object(map.into_iter().collect()));
        let value = prop_oneof![inner, (0..3i64).prop_map(Value::from)];
        prop::collection::btree_map("[a-c]", value, 0..4).prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn who_changed_nothing_adds_nothing(base in small(), theirs in small()) {
            let rebased = rebase(&base, &base, &theirs, &[]);
            prop_assert_eq!(rebased, Rebase { state: theirs, ..Rebase::default() });
        }

        #[test]
        fn where_nobody_else_wrote_the_work_is_taken_whole(base in small(), mine in small()) {
            let rebased = rebase(&base, &mine, &base, &[]);
            prop_assert_eq!(rebased, Rebase { state: mine, ..Rebase::default() });
        }

        #[test]
        fn the_same_work_twice_is_no_conflict(base in small(), both in small()) {
            let rebased = rebase(&base, &both, &both, &[]);
            prop_assert_eq!(rebased, Rebase { state: both, ..Rebase::default() });
        }
    }
}
