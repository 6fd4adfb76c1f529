//! What a GraphQL request may ask for: kinds of operations, and fields of their roots.
//!
//! A document may hold several operations and name the one that runs; every one of them must be allowed, so that it does
//! not matter which a server takes. Root fields are found through every fragment, whatever its type condition and its
//! directives say: what might run is asked for. A document that servers could read in two ways is refused.

use apollo_parser::{
    Parser, SyntaxElement,
    cst::{self, CstNode as _, Definition, Selection},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeSet, HashMap},
    fmt,
};

/// Operations in one request: those of a document, and those of a batch.
pub(super) const MOST_OPERATIONS: usize = 10;
/// Root fields in one request, an alias each.
pub(super) const MOST_ROOT_FIELDS: usize = 50;
/// Tokens of a document; a client's largest, an introspection query, has some 500.
const MOST_TOKENS: usize = 15_000;
/// Selections and values within each other.
const DEEPEST: usize = 100;

/// A kind of operation (GraphQL §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GraphqlOperation {
    /// Reads.
    Query,
    /// Writes.
    Mutation,
    /// Reads on and on.
    Subscription,
}

impl fmt::Display for GraphqlOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
            Self::Subscription => "subscription",
        })
    }
}

/// What a GraphQL request may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct GraphqlRule {
    /// The kinds of its operations; none allows nothing.
    pub operations: Vec<GraphqlOperation>,
    /// The fields of their roots, `__schema` and `__type` among them; `None` is every field. `__typename` is always
    /// allowed: it says nothing but the name of the root.
    pub fields: Option<Vec<String>>,
}

/// `query of viewer, repository`.
impl fmt::Display for GraphqlRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<String> = self.operations.iter().map(ToString::to_string).collect();
        write!(f, "{}", kinds.join(" or "))?;
        match &self.fields {
            None => f.write_str(" of every field"),
            Some(fields) => write!(f, " of {}", super::listed::shorten(fields.iter().cloned()).join(", ")),
        }
    }
}

/// Why a document is not let through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphqlFault {
    /// It is not one of GraphQL, or not of the October 2021 edition.
    #[error("its document is not GraphQL: {0}")]
    Syntax(String),
    /// A character that servers take for different things.
    #[error(
        "its document holds U+{0:04X}, which servers read differently; take it out, or write it as an escape"
    )]
    Character(u32),
    /// A block string that older servers read as several strings.
    #[error("a block string of its document holds a quotation mark; write it as a variable")]
    BlockString,
    /// A definition that can't be executed.
    #[error("its document defines something else than operations and fragments")]
    Definition,
    /// Nothing to be run.
    #[error("its document has no operation")]
    NoOperation,
    /// Two of one name, of which one server takes the first and another the last.
    #[error("its document has two definitions named `{0}`")]
    Twice(String),
    /// An operation that is asked for by a name that the document does not have.
    #[error("`operationName` is `{0}`, and its document has no such operation")]
    NoSuchOperation(String),
    /// A fragment that is not there.
    #[error("its document has no fragment `{0}`")]
    NoSuchFragment(String),
    /// More than is counted.
    #[error("it has more than {MOST_OPERATIONS} operations, batches counted")]
    TooManyOperations,
    /// More than is counted.
    #[error("it asks for more than {MOST_ROOT_FIELDS} root fields, aliases counted")]
    TooManyFields,
    /// A kind of operation that the rule does not list.
    #[error("a {0} is not allowed")]
    Operation(GraphqlOperation),
    /// A root field that the rule does not list.
    #[error("the field `{field}` of a {operation} is not allowed")]
    Field {
        /// As the schema names it, not its alias.
        field: String,
        /// Whose root field it is.
        operation: GraphqlOperation,
    },
}

/// What the documents of one request have asked for so far.
#[derive(Debug, Default)]
pub struct GraphqlCount {
    operations: usize,
    fields: usize,
}

impl GraphqlRule {
    /// Whether a text is the name of a field (GraphQL §2.1.9).
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        let mut bytes = text.bytes();
        bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
            && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
    }

    /// Whether all that this rule allows is allowed by `other`, too.
    #[must_use]
    pub fn is_within(&self, other: &GraphqlRule) -> bool {
        let fields = match (&self.fields, &other.fields) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(others)) => own.iter().all(|field| others.contains(field)),
        };
        fields && self.operations.iter().all(|operation| other.operations.contains(operation))
    }

    /// Looks at one document, of a batch perhaps.
    pub fn check(
        &self,
        document: &str,
        operation_name: Option<&str>,
        count: &mut GraphqlCount,
    ) -> Result<(), GraphqlFault> {
        check_characters(document)?;
        let tree = Parser::new(document).recursion_limit(DEEPEST).token_limit(MOST_TOKENS).parse();
        if let Some(error) = tree.errors().next() {
            return Err(GraphqlFault::Syntax(error.message().chars().take(200).collect()));
        }
        let document = Document::read(&tree.document())?;
        if let Some(name) = operation_name
            && !document.names.contains(name)
        {
            return Err(GraphqlFault::NoSuchOperation(name.chars().take(100).collect()));
        }
        count.operations += document.operations.len();
        if count.operations > MOST_OPERATIONS {
            return Err(GraphqlFault::TooManyOperations);
        }
        document.operations.iter().try_for_each(|(kind, selections)| {
            if !self.operations.contains(kind) {
                return Err(GraphqlFault::Operation(*kind));
            }
            let mut roots =
                Roots { fragments: &document.fragments, seen: BTreeSet::new(), fields: Vec::new() };
            roots.add(selections)?;
            count.fields += roots.fields.len();
            if count.fields > MOST_ROOT_FIELDS {
                return Err(GraphqlFault::TooManyFields);
            }
            let refused = roots.fields.into_iter().find(|field| !self.allows(field));
            refused.map_or(Ok(()), |field| Err(GraphqlFault::Field { field, operation: *kind }))
        })
    }

    fn allows(&self, field: &str) -> bool {
        field == "__typename"
            || self.fields.as_ref().is_none_or(|fields| fields.iter().any(|own| own == field))
    }
}

/// A line that ends for one server and goes on for another would hide what stands behind a `#`: refused are the control
/// characters, and what Unicode or an early edition of GraphQL takes for the end of a line or for nothing.
fn check_characters(document: &str) -> Result<(), GraphqlFault> {
    let refused = |c: &char| match c {
        '\t' | '\n' | '\r' => false,
        '\u{2028}' | '\u{2029}' | '\u{feff}' => true,
        c => c.is_control(),
    };
    document.chars().find(refused).map_or(Ok(()), |c| Err(GraphqlFault::Character(c.into())))
}

/// What of a document can be run.
struct Document {
    operations: Vec<(GraphqlOperation, cst::SelectionSet)>,
    names: BTreeSet<String>,
    fragments: HashMap<String, cst::SelectionSet>,
}

impl Document {
    fn read(tree: &cst::Document) -> Result<Document, GraphqlFault> {
        check_strings(tree)?;
        let mut document = Self { operations: Vec::new(), names: BTreeSet::new(), fragments: HashMap::new() };
        for definition in tree.definitions() {
            match definition {
                Definition::OperationDefinition(operation) => document.add_operation(&operation)?,
                Definition::FragmentDefinition(fragment) => document.add_fragment(&fragment)?,
                _ => return Err(GraphqlFault::Definition),
            }
        }
        if document.operations.is_empty() { Err(GraphqlFault::NoOperation) } else { Ok(document) }
    }

    fn add_operation(&mut self, operation: &cst::OperationDefinition) -> Result<(), GraphqlFault> {
        let kind = match operation.operation_type() {
            None => GraphqlOperation::Query,
            Some(kind) if kind.query_token().is_some() => GraphqlOperation::Query,
            Some(kind) if kind.subscription_token().is_some() => GraphqlOperation::Subscription,
            Some(_) => GraphqlOperation::Mutation,
        };
        if let Some(name) = operation.name().map(|name| name.text().to_string())
            && !self.names.insert(name.clone())
        {
            return Err(GraphqlFault::Twice(name));
        }
        self.operations.push((kind, selections(operation.selection_set())?));
        Ok(())
    }

    fn add_fragment(&mut self, fragment: &cst::FragmentDefinition) -> Result<(), GraphqlFault> {
        let name = fragment.fragment_name().and_then(|name| name.name());
        let name = name.ok_or_else(unnamed)?.text().to_string();
        match self.fragments.insert(name.clone(), selections(fragment.selection_set())?) {
            Some(_) => Err(GraphqlFault::Twice(name)),
            None => Ok(()),
        }
    }
}

/// A string ends on its line (GraphQL §2.9.4), which the parser does not mind. Editions before June 2018 have no block
/// strings: `"""a"""` is three strings to them, so that a quotation mark within could end the last one.
fn check_strings(tree: &cst::Document) -> Result<(), GraphqlFault> {
    let tokens = tree.syntax().descendants_with_tokens().filter_map(SyntaxElement::into_token);
    for token in tokens {
        let text = token.text();
        let inner = text.strip_prefix("\"\"\"").map(|text| text.strip_suffix("\"\"\"").unwrap_or(text));
        if inner.is_some_and(|inner| inner.contains('"')) {
            return Err(GraphqlFault::BlockString);
        }
        if inner.is_none() && text.starts_with('"') && text.contains(['\n', '\r']) {
            return Err(GraphqlFault::Syntax("a string does not end on its line".to_owned()));
        }
    }
    Ok(())
}

/// The fields of an operation's root.
struct Roots<'d> {
    fragments: &'d HashMap<String, cst::SelectionSet>,
    seen: BTreeSet<String>,
    fields: Vec<String>,
}

impl Roots<'_> {
    fn add(&mut self, set: &cst::SelectionSet) -> Result<(), GraphqlFault> {
        // Fragments may be spread in each other as deep as there are any; a stack of our own has no end.
        let mut open = vec![set.clone()];
        while let Some(set) = open.pop() {
            for selection in set.selections() {
                match selection {
                    Selection::Field(field) => {
                        self.fields.push(field.name().ok_or_else(unnamed)?.text().to_string());
                    }
                    Selection::InlineFragment(fragment) => open.push(selections(fragment.selection_set())?),
                    Selection::FragmentSpread(spread) => {
                        let name = spread.fragment_name().and_then(|name| name.name());
                        let name = name.ok_or_else(unnamed)?.text().to_string();
                        if self.seen.insert(name.clone()) {
                            let found = self.fragments.get(&name);
                            open.push(found.ok_or(GraphqlFault::NoSuchFragment(name))?.clone());
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

fn selections(set: Option<cst::SelectionSet>) -> Result<cst::SelectionSet, GraphqlFault> {
    set.ok_or_else(|| GraphqlFault::Syntax("a definition has no selection".to_owned()))
}

fn unnamed() -> GraphqlFault {
    GraphqlFault::Syntax("something has no name".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(operations: &[GraphqlOperation], fields: Option<&[&str]>) -> GraphqlRule {
        let fields = fields.map(|list| list.iter().map(ToString::to_string).collect());
        GraphqlRule { operations: operations.to_vec(), fields }
    }

    fn check(document: &str) -> Result<(), GraphqlFault> {
        let rule = rule(&[GraphqlOperation::Query], Some(&["viewer", "node"]));
        rule.check(document, None, &mut GraphqlCount::default())
    }

    fn field(field: &str) -> GraphqlFault {
        GraphqlFault::Field { field: field.to_owned(), operation: GraphqlOperation::Query }
    }

    #[test]
    fn what_a_rule_lists_passes() {
        for document in [
            "{viewer{login}}",
            "query { viewer { deleteEverything } }",
            "query Q($n: Int = 3) @cached { a: viewer @include(if: true) { x } __typename }",
            "query { ...F } fragment F on Query { node(id: \"mutation { x }\") { id } }",
            "query { ... on Query { ... { viewer { x } } } }",
            "# mutation { x }\r\n, , {viewer}",
            "query query { viewer } query mutation { node }",
        ] {
            assert_eq!(check(document), Ok(()), "{document}");
        }
        let every = rule(&[GraphqlOperation::Mutation, GraphqlOperation::Subscription], None);
        let mut count = GraphqlCount::default();
        assert_eq!(every.check("mutation { any }subscription { s }", None, &mut count), Ok(()));
        assert_eq!(
            every.check("{any}", None, &mut count),
            Err(GraphqlFault::Operation(GraphqlOperation::Query))
        );
    }

    #[test]
    fn an_operation_does_not_hide() {
        let mutation = GraphqlFault::Operation(GraphqlOperation::Mutation);
        for (document, fault) in [
            ("mutation { x }", mutation.clone()),
            ("query A { viewer } mutation B { x }", mutation.clone()),
            ("mutation B { x } query A { viewer }", mutation.clone()),
            ("{viewer}mutation{x}", mutation.clone()),
            ("# a comment\rmutation { x }", mutation.clone()),
            ("query A { viewer(a: \"\\\"\") } mutation B { x }", mutation.clone()),
            ("query A { viewer(a: \"\"\"b\"\"\") } mutation B { x }", mutation),
            ("subscription { x }", GraphqlFault::Operation(GraphqlOperation::Subscription)),
            ("{ repository { x } }", field("repository")),
            ("{ viewer: repository { x } }", field("repository")),
            ("{ viewer { x } a: repository { x } }", field("repository")),
            ("{ ...F } fragment F on Query { repository { x } }", field("repository")),
            (
                "{ ...F } fragment F on Query { ...G } fragment G on Query { ... { secrets } ...F }",
                field("secrets"),
            ),
            ("{ ... @include(if: false) { secrets } }", field("secrets")),
            ("{ ... on Other { secrets } }", field("secrets")),
            ("{ __schema { types { name } } }", field("__schema")),
            ("{ a: __type(name: \"X\") { name } }", field("__type")),
            ("{ Viewer }", field("Viewer")),
        ] {
            assert_eq!(check(document), Err(fault), "{document}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (document, fault) in [
            ("{viewer} # \u{2028} mutation {x}", GraphqlFault::Character(0x2028)),
            ("{viewer} # \u{85} mutation {x}", GraphqlFault::Character(0x85)),
            ("\u{feff}{viewer}", GraphqlFault::Character(0xfeff)),
            ("{viewer}\0mutation {x}", GraphqlFault::Character(0)),
            ("{viewer}\u{b}mutation {x}", GraphqlFault::Character(0xb)),
            ("{viewer(a:[\"\"\" \"]) secrets(a:[\" \"\"\"])}", GraphqlFault::BlockString),
            ("{viewer(a: \"\"\"\\\"\"\"\"\"\")}", GraphqlFault::BlockString),
            ("query A {viewer} query A {node}", GraphqlFault::Twice("A".to_owned())),
            (
                "{...F} fragment F on Query {viewer} fragment F on Query {secrets}",
                GraphqlFault::Twice("F".to_owned()),
            ),
            ("{...F}", GraphqlFault::NoSuchFragment("F".to_owned())),
            ("fragment F on Query {viewer}", GraphqlFault::NoOperation),
            ("", GraphqlFault::NoOperation),
            ("{viewer} type A { b: Int }", GraphqlFault::Definition),
            ("{viewer} extend schema { mutation: M }", GraphqlFault::Definition),
        ] {
            let found = check(document);
            let empty = document.is_empty() && matches!(found, Err(GraphqlFault::Syntax(_)));
            assert!(found == Err(fault) || empty, "{document}: {found:?}");
        }
        for broken in
            ["{viewer", "viewer", "{}", "query", "{viewer}}", "{viewer} mutate {x}", "{a(b:\"\n\")}", "{é}"]
        {
            assert!(matches!(check(broken), Err(GraphqlFault::Syntax(_))), "{broken}: {:?}", check(broken));
        }
    }

    #[test]
    fn operations_and_aliases_are_counted_over_a_whole_request() {
        let rule = rule(&[GraphqlOperation::Query], None);
        let mut count = GraphqlCount::default();
        for _ in 0..MOST_OPERATIONS {
            assert_eq!(rule.check("{a}", None, &mut count), Ok(()));
        }
        assert_eq!(rule.check("{a}", None, &mut count), Err(GraphqlFault::TooManyOperations));
        let aliases = |n: usize| {
            format!("{{{}}}", (0..n).map(|n| format!("a{n}: login")).collect::<Vec<_>>().join(" "))
        };
        let check = |n| rule.check(&aliases(n), None, &mut GraphqlCount::default());
        assert_eq!(check(MOST_ROOT_FIELDS), Ok(()));
        assert_eq!(check(MOST_ROOT_FIELDS + 1), Err(GraphqlFault::TooManyFields));
        assert!(matches!(check(MOST_TOKENS), Err(GraphqlFault::Syntax(_))));
        let deep = "{a".repeat(2 * DEEPEST) + &"}".repeat(2 * DEEPEST);
        assert!(matches!(
            rule.check(&deep, None, &mut GraphqlCount::default()),
            Err(GraphqlFault::Syntax(_))
        ));
        let lists = format!("{{a(b:{}{})}}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(matches!(
            rule.check(&lists, None, &mut GraphqlCount::default()),
            Err(GraphqlFault::Syntax(_))
        ));
    }

    #[test]
    fn a_name_that_no_operation_has_is_refused() {
        let rule = rule(&[GraphqlOperation::Query], None);
        let check = |name| rule.check("query A {a} query B {b}", Some(name), &mut GraphqlCount::default());
        assert_eq!(check("A"), Ok(()));
        assert_eq!(check("C"), Err(GraphqlFault::NoSuchOperation("C".to_owned())));
        assert_eq!(check(""), Err(GraphqlFault::NoSuchOperation(String::new())));
    }

    proptest::proptest! {
        #[test]
        fn reading_never_panics(
            parts in proptest::collection::vec(proptest::sample::select(PARTS.to_vec()), 0..40),
            any in ".{0,40}",
        ) {
            let text = parts.concat() + &any;
            let _ = check(&text);
            let _ = check(&format!("{{viewer(a:\"{text}\")}}"));
        }
    }

    const PARTS: &[&str] = &[
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "\"",
        "\"\"\"",
        "\\",
        "\\u",
        "\\u{",
        "d800",
        "dc00",
        "0041",
        "é",
        "\n",
        "#",
        "...",
        "on ",
        "fragment ",
        "query ",
        "mutation ",
        "viewer",
        "F",
        ":",
        "$",
        "@",
        "!",
        "=",
        "-",
        "0",
        "1.",
        "e",
        "&",
        "|",
        ",",
    ];
}
