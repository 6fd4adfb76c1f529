//! The operations on the value: what an edit of the text has to come to.

use super::{Edit, Refused};
use serde_json::{Map, Value};

/// The steps of a JSON pointer (RFC 6901).
pub(super) fn steps(pointer: &str) -> Result<Vec<String>, Refused> {
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let rest = pointer.strip_prefix('/').ok_or("a pointer begins with `/`")?;
    Ok(rest.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect())
}

fn pointer(steps: &[String]) -> String {
    let escaped = |step: &String| step.replace('~', "~0").replace('/', "~1");
    steps.iter().flat_map(|step| ["/".to_owned(), escaped(step)]).collect()
}

/// Makes the edit on the value. One that is refused may be half made.
pub(super) fn apply(value: &mut Value, edit: &Edit) -> Result<(), Refused> {
    match edit {
        Edit::Add { at, value: new } => {
            let (parent, key, new) = with_parents(value, at, new)?;
            insert(value, &parent, &key, new)?;
        }
        Edit::Remove { at, .. } => drop(take(value, at)?),
        Edit::Replace { at, value: new } => *target(value, at)? = new.clone(),
        Edit::Rename { at, key } => {
            let (parent, old) = split(at)?;
            let map = target(value, &parent)?.as_object_mut().ok_or("it is not an entry of a map")?;
            if map.contains_key(key) {
                return Err(format!("the key `{key}` is there already"));
            }
            if !map.contains_key(&old) {
                return Err("it is not there".to_owned());
            }
            let entries = std::mem::take(map).into_iter();
            *map = entries.map(|(name, it)| (if name == old { key.clone() } else { name }, it)).collect();
        }
        Edit::Move { from, to } => {
            let item = take(value, from)?;
            insert(value, to, "-", item)?;
        }
    }
    Ok(())
}

/// The parent that is there, the key or index of the new entry in it, and the value with what is missing between the
/// two around it.
pub(super) fn with_parents(value: &Value, at: &str, new: &Value) -> Result<(String, String, Value), Refused> {
    let mut steps = steps(at)?;
    let mut key = steps.pop().ok_or("the whole document is not an entry")?;
    let mut new = new.clone();
    while value.pointer(&pointer(&steps)).is_none() {
        let is_list = key == "-";
        new = if is_list { Value::Array(vec![new]) } else { Value::Object(Map::from_iter([(key, new)])) };
        key = steps.pop().ok_or("the document is empty")?;
    }
    Ok((pointer(&steps), key, new))
}

fn split(at: &str) -> Result<(String, String), Refused> {
    let mut steps = steps(at)?;
    let last = steps.pop().ok_or("the whole document is not an entry")?;
    Ok((pointer(&steps), last))
}

fn target<'v>(value: &'v mut Value, at: &str) -> Result<&'v mut Value, Refused> {
    value.pointer_mut(at).ok_or_else(|| "it is not there".to_owned())
}

fn insert(value: &mut Value, parent: &str, key: &str, new: Value) -> Result<(), Refused> {
    match target(value, parent)? {
        Value::Array(items) => {
            let index = if key == "-" { Some(items.len()) } else { key.parse().ok() };
            let index = index.filter(|index| *index <= items.len()).ok_or("the index is not in the list")?;
            items.insert(index, new);
        }
        Value::Object(map) => {
            if map.contains_key(key) {
                return Err(format!("the key `{key}` is there already"));
            }
            map.insert(key.to_owned(), new);
        }
        _ => return Err("what should hold it is neither a list nor a map".to_owned()),
    }
    Ok(())
}

fn take(value: &mut Value, at: &str) -> Result<Value, Refused> {
    let (parent, key) = split(at)?;
    let missing = || "it is not there".to_owned();
    match target(value, &parent)? {
        Value::Array(items) => {
            let index = key.parse().ok().filter(|index| *index < items.len()).ok_or_else(missing)?;
            Ok(items.remove(index))
        }
        Value::Object(map) => map.shift_remove(&key).ok_or_else(missing),
        _ => Err(missing()),
    }
}
