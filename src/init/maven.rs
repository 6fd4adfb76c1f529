//! Maven: repositories of `pom.xml`, mirrors of `settings.xml`, the wrapper, and the super POM of Maven itself. Gradle
//! shares what is here.

use super::findings::Findings;
use super::ini;
use super::sources::{Sources, Tool};
use super::toolchain::Version;
use super::words::{comment, first_line, numbers};
use roxmltree::{Document, Node};

/// Taken where a project says nothing.
const JAVA: &str = "21";

const WRAPPER: &str = ".mvn/wrapper/maven-wrapper.properties";

pub(super) fn read(sources: &Sources, findings: &mut Findings) {
    if !sources.has("pom.xml") {
        return;
    }
    findings.toolchains.maven = !sources.has("mvnw");
    properties(sources, WRAPPER, &["distributionUrl", "wrapperUrl"], findings);
    let mut asked = None;
    if let Some(document) = document(sources.text("pom.xml").unwrap_or_default(), "pom.xml", findings) {
        repositories(&document, "pom.xml", findings);
        let names =
            ["maven.compiler.release", "maven.compiler.target", "maven.compiler.source", "java.version"];
        let compiler = || {
            let of = document
                .descendants()
                .find(|it| child(*it, "artifactId") == Some("maven-compiler-plugin"))?;
            ["release", "target", "source"].iter().find_map(|name| java_of(value(of, name)?))
        };
        let property = names.iter().find_map(|name| java_of(value(document.root(), name)?));
        asked = property.or_else(compiler).map(|number| (number, "pom.xml"));
    }
    findings.toolchains.java = Some(java(sources, asked));
    let own = sources.text(".mvn/settings.xml").map(|text| (".mvn/settings.xml", text));
    let persons = sources.person.get("~/.m2/settings.xml").map(|text| ("~/.m2/settings.xml", text.as_str()));
    let mut is_mirrored = false;
    for (label, text) in own.into_iter().chain(persons) {
        let Some(document) = document(text, label, findings) else { continue };
        repositories(&document, label, findings);
        let found = mirrors(&document, label, findings);
        is_mirrored |= found;
        if found && label.starts_with('~') {
            findings.note(format!(
                "{label} names a mirror, and the agent does not see that file; copy it to .mvn/settings.xml"
            ));
        }
    }
    if !is_mirrored {
        central(sources, findings);
    }
}

/// Maven's own repository, from the super POM.
pub(super) fn central(sources: &Sources, findings: &mut Findings) {
    for file in sources.of(Tool::Maven) {
        if let Some(document) = document(&file.text, &file.label, findings)
            && repositories(&document, &file.label, findings)
        {
            return;
        }
    }
    findings.missing("where Maven's own repository is: no mirror is named, and Maven is not on this machine");
}

fn document<'a>(text: &'a str, label: &str, findings: &mut Findings) -> Option<Document<'a>> {
    match Document::parse(text) {
        Ok(document) => Some(document),
        Err(error) => {
            findings.note(format!("{} is not read: {}", comment(label), comment(&error.to_string())));
            None
        }
    }
}

fn child<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.children().find(|child| child.tag_name().name() == name)?.text().map(str::trim)
}

/// The text of the first element of a name, anywhere below.
fn value<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.descendants().find(|node| node.tag_name().name() == name)?.text().map(str::trim)
}

fn repositories(document: &Document<'_>, label: &str, findings: &mut Findings) -> bool {
    let mut is_named = false;
    for node in document.descendants() {
        // Not those of `distributionManagement`, to which things are published.
        let published = || node.ancestors().any(|above| above.tag_name().name() == "distributionManagement");
        if ["repository", "pluginRepository"].contains(&node.tag_name().name()) && !published() {
            is_named |= child(node, "url").is_some_and(|url| findings.fetched(url, label));
        }
    }
    is_named
}

/// Whether one stands in the place of Maven's own repository.
fn mirrors(document: &Document<'_>, label: &str, findings: &mut Findings) -> bool {
    let mut is_mirrored = false;
    for node in document.descendants().filter(|node| node.tag_name().name() == "mirror") {
        let is_url = child(node, "url").is_some_and(|url| findings.fetched(url, label));
        let of = child(node, "mirrorOf").unwrap_or_default();
        is_mirrored |= is_url && of.split(',').any(|it| matches!(it.trim(), "*" | "central" | "external:*"));
    }
    if document.descendants().any(|node| node.tag_name().name() == "password") {
        findings.note(format!(
            "{label} has a password, which is not copied; name it as the `token_ref` of that host's `auth`"
        ));
    }
    is_mirrored
}

/// URLs of a file of Java's properties, where `:` is escaped.
pub(super) fn properties(sources: &Sources, file: &str, keys: &[&str], findings: &mut Findings) {
    for entry in ini::entries(sources.text(file).unwrap_or_default(), false) {
        if keys.contains(&entry.key.as_str()) {
            findings.fetched(&entry.value.replace('\\', ""), file);
        }
    }
}

/// `.java-version` and `.sdkmanrc` before what the build asks for.
pub(super) fn java(sources: &Sources, asked: Option<(String, &str)>) -> Version {
    let own = sources.text(".java-version").and_then(first_line).and_then(java_of);
    let sdk = sources.text(".sdkmanrc").unwrap_or_default();
    let sdk = sdk.lines().find_map(|line| java_of(line.trim().strip_prefix("java=")?));
    let found = own.map(|it| (it, ".java-version")).or(sdk.map(|it| (it, ".sdkmanrc"))).or(asked);
    found
        .and_then(|(number, source)| Version::new(&number, source))
        .unwrap_or_else(|| Version::default_of(JAVA))
}

/// `17.0.1`, `1.8`, `temurin-17`, `VERSION_1_8`: one number. Of what is older than 8 it is 8, which builds that, too, and
/// is the oldest that there is an image of.
pub(super) fn java_of(text: &str) -> Option<String> {
    match numbers(&text.replace('_', "."))[..] {
        [1, minor, ..] => Some(minor.max(8).to_string()),
        [major, ..] if (8..100).contains(&major) => Some(major.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_of_java_is_one_number() {
        for (text, wanted) in [
            ("17.0.9-tem", Some("17")),
            ("1.8", Some("8")),
            ("1.5", Some("8")),
            ("VERSION_1_8", Some("8")),
            ("temurin-21", Some("21")),
            ("${x}", None),
        ] {
            assert_eq!(java_of(text).as_deref(), wanted, "{text}");
        }
    }
}
