//! The templates of this module: strict about what is undefined, silent about their own lines.

use super::schema_check::flow;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};
use serde::Serialize;

/// Fills a template. `{{ x | flow }}` writes a value as YAML in flow style, whatever it holds.
pub(super) fn fill(template: &str, values: impl Serialize) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_syntax(
        SyntaxConfig::builder().keep_trailing_newline(true).trim_blocks(true).lstrip_blocks(true).build()?,
    );
    environment.add_filter("flow", |value: Value| -> Result<String, Error> {
        let value = serde_json::to_value(&value);
        value
            .map(|value| flow(&value))
            .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
    });
    environment.render_str(template, Value::from(Serde(values)))
}
