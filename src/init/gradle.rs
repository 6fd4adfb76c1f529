//! Gradle: its build files are programs, so only the URLs that stand in them as text are read.

use super::findings::Findings;
use super::maven;
use super::sources::Sources;
use regex::Regex;

const FILES: [&str; 4] = ["settings.gradle.kts", "settings.gradle", "build.gradle.kts", "build.gradle"];
const WRAPPER: &str = "gradle/wrapper/gradle-wrapper.properties";

pub(super) fn read(sources: &Sources, findings: &mut Findings) {
    if !FILES.iter().chain([&WRAPPER]).any(|file| sources.has(file)) {
        return;
    }
    maven::properties(sources, WRAPPER, &["distributionUrl"], findings);
    findings.toolchains.gradle = !sources.has("gradlew");
    let url =
        Regex::new(r#"(?m)^[^/\n]*?(?:\burl\b|\bmaven\b|\bsetUrl\b)[^"'\n]*["'](https?://[^"'\s]+)["']"#);
    let java = Regex::new(
        r"JavaLanguageVersion\.of\((\d+)\)|(?:source|target)Compatibility\s*=\s*\D{0,30}([\d._]+)",
    );
    let mut asked = None;
    let mut is_central = false;
    for file in FILES {
        let Some(text) = sources.text(file) else { continue };
        for found in url.iter().flat_map(|it| it.captures_iter(text)) {
            findings.fetched(&found[1], file);
        }
        is_central |= text.contains("mavenCentral()");
        if text.contains("gradlePluginPortal()") || text.contains("google()") || text.contains("plugins {") {
            findings.missing(
                "where Gradle's plugin portal and other repositories with a name of their own are: Gradle knows them \
                 by heart",
            );
        }
        let found = java.iter().find_map(|it| it.captures(text));
        let found = found.and_then(|it| maven::java_of(it.get(1).or(it.get(2))?.as_str()));
        asked = asked.or(found.map(|number| (number, file)));
    }
    if findings.toolchains.java.is_none() {
        findings.toolchains.java = Some(maven::java(sources, asked));
    }
    if is_central {
        maven::central(sources, findings);
    }
}
