//! The first check: does a file fit its schema? What does not is reported in a person's words and taken
//! out of the value, so that the stages after it see everything else.

use super::findings::{Findings, nearest, quoted};
use super::{VERSION, schema::Described};
use crate::diagnostic::Diagnostic;
use jsonschema::{JsonType, ValidationError, error::TypeKind, error::ValidationErrorKind};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Keys that the design has and this version does not, by the map that they belong to, and what to do without.
const LATER: &[(&str, &str, &str)] =
    &[("/$defs/Service", "build", "build the image with `docker build --tag NAME`, and name it in `image`")];

/// What helps against a fault of this program.
pub(super) const REPORT_IT: &str =
    "this is a fault of bottle and not of the manifest: report it with the output of `bottle --version`";

/// Reports what does not fit, and gives back what does.
pub(super) fn check(value: &Value, schema: &Described, findings: &mut Findings<'_>) -> Value {
    let mut checked = SchemaCheck { schema, findings, missing: BTreeMap::new(), out: Vec::new() };
    match schema.validator() {
        Ok(validator) => validator.iter_errors(value).for_each(|error| checked.report(&error)),
        Err(why) => {
            let problem =
                checked.findings.value("schema", "", format!("the schema of this program is broken: {why}"));
            checked.findings.push(problem.hint(REPORT_IT));
        }
    }
    checked.report_missing();
    let mut fitting = value.clone();
    for pointer in checked.out {
        take_out(&mut fitting, &pointer);
    }
    fitting
}

/// Removes a key from its map; in a list, leaves `null` so that the other items keep their index.
fn take_out(value: &mut Value, pointer: &str) {
    let Some((parent, step)) = pointer.rsplit_once('/') else {
        *value = Value::Object(Map::new());
        return;
    };
    match value.pointer_mut(parent) {
        Some(Value::Object(map)) => {
            // The order is lost, and nobody sees it: a manifest that lacks something is not used.
            map.swap_remove(&step.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(items)) => {
            if let Some(item) = step.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                *item = Value::Null;
            }
        }
        _ => {}
    }
}

struct SchemaCheck<'f, 'd> {
    schema: &'f Described,
    findings: &'f mut Findings<'d>,
    /// Keys that must be there, by the pointer of the map that lacks them, with the pointer of its schema.
    missing: BTreeMap<String, (String, Vec<String>)>,
    /// Pointers of what does not fit.
    out: Vec<String>,
}

impl SchemaCheck<'_, '_> {
    fn report(&mut self, error: &ValidationError<'_>) {
        let pointer = error.instance_path().as_str().to_owned();
        let name = match self.findings.document().readable(&pointer) {
            root if root.is_empty() => self.schema.name.to_owned(),
            name => format!("`{name}`"),
        };
        let schema_path = error.schema_path().as_str();
        let map_schema = schema_path.rsplit_once('/').map_or("", |(map, _)| map);
        let problem = match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                for key in unexpected {
                    self.unknown_key(&pointer, key, map_schema);
                }
                return;
            }
            ValidationErrorKind::Required { property } => {
                let missing =
                    self.missing.entry(pointer).or_insert_with(|| (map_schema.to_owned(), Vec::new()));
                missing.1.extend(property.as_str().map(str::to_owned));
                return;
            }
            ValidationErrorKind::AnyOf { context } => {
                self.any_of(&pointer, &name, error.instance(), context);
                return;
            }
            ValidationErrorKind::Type { kind } => self.wrong_type(&pointer, &name, kind, error.instance()),
            // The type is said already, and one problem is enough.
            ValidationErrorKind::Enum { .. } if pointer == "/version" && !error.instance().is_number() => {
                return;
            }
            ValidationErrorKind::Enum { options } => {
                self.wrong_choice(&pointer, &name, options, error.instance())
            }
            ValidationErrorKind::MinItems { .. } => self.empty_list(&pointer, &name),
            ValidationErrorKind::Minimum { .. } | ValidationErrorKind::Maximum { .. }
                if name.contains("ports") =>
            {
                self.findings
                    .value("port", &pointer, format!("{} is not a port", error.instance()))
                    .hint("a port is a number from 1 to 65535")
            }
            _ => self
                .findings
                .value("value", &pointer, format!("{name} does not fit: {error}"))
                .hint("write a value within these bounds, or remove the key for its default"),
        };
        self.out.push(pointer);
        self.findings.push(problem);
    }

    fn unknown_key(&mut self, pointer: &str, key: &str, map_schema: &str) {
        let escaped = key.replace('~', "~0").replace('/', "~1");
        let pointer = format!("{pointer}/{escaped}");
        let known: Vec<&str> = self.schema.part(map_schema)["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key.as_str())
            .collect();
        let mut problem =
            self.findings.key("unknown-key", &pointer, format!("there is no key {}", quoted(key)));
        if let Some((.., instead)) = LATER.iter().find(|(map, later, _)| (*map, *later) == (map_schema, key))
        {
            problem = problem.hint(format!("`{key}` is not supported by this version of bottle; {instead}"));
        } else if let Some(meant) = nearest(key, known.iter().copied()) {
            problem = problem.hint(format!("did you mean `{meant}`?"));
        } else {
            problem = problem.hint(format!("the keys that are allowed here: {}", known.join(", ")));
        }
        self.out.push(pointer);
        self.findings.push(problem);
    }

    /// One report for each map, however many keys it lacks.
    fn report_missing(&mut self) {
        for (pointer, (map_schema, keys)) in std::mem::take(&mut self.missing) {
            let names = keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" and ");
            let place = match self.findings.document().readable(&pointer) {
                root if root.is_empty() => self.schema.name.to_owned(),
                name => format!("`{name}`"),
            };
            let mut problem = self.findings.key("missing-key", &pointer, format!("{place} lacks {names}"));
            for key in &keys {
                let part = &self.schema.part(&map_schema)["properties"][key.as_str()];
                problem = problem.hint(format!("for example: {}", inline(key, &part["examples"][0])));
            }
            self.findings.push(problem);
        }
    }

    /// The alternatives of the schema differ by type, so what was meant is the one whose type is there.
    fn any_of(
        &mut self,
        pointer: &str,
        name: &str,
        instance: &Value,
        context: &[Vec<ValidationError<'static>>],
    ) {
        let other_type = |error: &ValidationError<'_>| {
            error.instance_path().as_str() == pointer
                && matches!(error.kind(), ValidationErrorKind::Type { .. })
        };
        if let Some(meant) = context.iter().find(|errors| !errors.iter().any(other_type)) {
            for error in meant {
                self.report(error);
            }
            return;
        }
        let kinds = context.iter().flatten().filter_map(|error| match error.kind() {
            ValidationErrorKind::Type { kind } if other_type(error) => Some(article(wanted(kind))),
            _ => None,
        });
        let kinds = kinds.collect::<Vec<_>>().join(" or ");
        let message = format!("{name} must be {kinds}, and this is {}", kind_of(instance));
        let problem = self.findings.value("type", pointer, message);
        let hint = match self.schema.example(pointer) {
            Some(example) => format!("for example: {}", flow(example)),
            None => format!("write {kinds}, or remove the key for its default"),
        };
        self.out.push(pointer.to_owned());
        self.findings.push(problem.hint(hint));
    }

    fn wrong_type(&self, pointer: &str, name: &str, kind: &TypeKind, instance: &Value) -> Diagnostic {
        if instance.is_null() {
            let problem = self.findings.value("type", pointer, format!("{name} has no value"));
            return problem.hint("give it one, or remove it");
        }
        let wanted = wanted(kind);
        let article = article(wanted);
        let message = format!("{name} must be {article}, and this is {}", kind_of(instance));
        let problem = self.findings.value("type", pointer, message);
        match (wanted, instance) {
            (JsonType::String, Value::Number(_) | Value::Bool(_)) => {
                problem.hint(format!("write it in quotes: \"{}\"", self.findings.text(pointer)))
            }
            (JsonType::Boolean, Value::String(_)) => problem
                .hint("write true or false without quotes; `yes`, `no`, `on` and `off` are text in YAML 1.2"),
            (JsonType::Array, Value::String(text)) => {
                let items: Vec<&str> = text.split_whitespace().collect();
                problem.hint(format!("write it as a list: [{}]", items.join(", ")))
            }
            (JsonType::Object, _) => match self.schema.example(pointer) {
                Some(example) => problem.hint(format!("for example: {}", flow(example))),
                None => problem.hint("write `KEY: VALUE` in each line, indented below the key"),
            },
            (JsonType::Array, Value::Object(_)) => problem.hint("begin each item with `- `"),
            (JsonType::Integer, Value::String(text)) if text.parse::<i64>().is_ok() => {
                problem.hint(format!("write it without quotes: {text}"))
            }
            _ => problem.hint(format!("write {article}, or remove the key for its default")),
        }
    }

    fn wrong_choice(&self, pointer: &str, name: &str, options: &Value, instance: &Value) -> Diagnostic {
        if pointer == "/version" {
            let message = format!("version {instance} is not known to this bottle");
            return self
                .findings
                .value("version", pointer, message)
                .hint(format!("it knows version {VERSION}"));
        }
        let options: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let given = instance.as_str().map_or_else(|| quoted(&instance.to_string()), quoted);
        let problem = self.findings.value("choice", pointer, format!("{name} can't be {given}"));
        let problem = problem.hint(format!("it is one of: {}", options.join(", ")));
        match nearest(instance.as_str().unwrap_or_default(), options) {
            Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
            None => problem,
        }
    }

    fn empty_list(&self, pointer: &str, name: &str) -> Diagnostic {
        let key = pointer.rsplit('/').next().unwrap_or_default();
        let (what, hint) = match key {
            "path_allowlist" => {
                ("would allow no path at all", "name the paths, or remove the key to allow every path")
            }
            "methods" => (
                "would allow no method at all",
                "name the methods, or remove the key to allow the usual ones",
            ),
            "ports" => ("would allow no port at all", "name the ports, or remove the key for [443]"),
            _ => ("says nothing", "fill it, or remove the key"),
        };
        self.findings.value("empty-list", pointer, format!("{name} is empty, which {what}")).hint(hint)
    }
}

fn wanted(kind: &TypeKind) -> JsonType {
    match kind {
        TypeKind::Single(one) => *one,
        TypeKind::Multiple(_) => JsonType::Null,
    }
}

fn article(wanted: JsonType) -> &'static str {
    match wanted {
        JsonType::Array => "a list",
        JsonType::Object => "a map",
        JsonType::String => "text",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Number => "a number",
        JsonType::Null => "something else",
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// A key and its value on one line.
pub(super) fn inline(key: &str, value: &Value) -> String {
    format!("{key}: {}", flow(value))
}

/// A value in YAML's flow style; for hints, which a person reads.
pub(super) fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let emitted = crate::yaml::emit_value(value);
            let plain = emitted.trim_end();
            if plain.contains([',', '[', ']', '{', '}']) && !plain.starts_with('"') {
                format!("{text:?}")
            } else {
                plain.to_owned()
            }
        }
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            format!(
                "{{{}}}",
                map.iter().map(|(key, value)| inline(key, value)).collect::<Vec<_>>().join(", ")
            )
        }
        other => other.to_string(),
    }
}
