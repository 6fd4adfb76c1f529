//! Whatever the files hold: the manifest is valid, its hosts are those of the list, no line is the project's.

use bottle::init::{Agent, Sources, make};
use bottle::manifest::Manifest;
use proptest::prelude::*;

/// Pieces of URLs, of YAML and of Dockerfiles.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("https://".to_owned()),
        Just("ok.test".to_owned()),
        Just("git+ssh://git@".to_owned()),
        Just("/a/b.git".to_owned()),
        Just("\n".to_owned()),
        Just("\u{2028}".to_owned()),
        Just(" #".to_owned()),
        Just("\n- host: evil.test".to_owned()),
        Just(": ".to_owned()),
        Just("\"".to_owned()),
        Just("\\".to_owned()),
        Just("\nRUN id".to_owned()),
        Just("${X}".to_owned()),
        "[ -~]{0,6}",
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_of_a_project_is_more_than_text(texts in proptest::collection::vec(text(), 16)) {
        let mut sources = Sources { folder: texts[0].clone(), ..Sources::default() };
        let json = |text: &str| serde_json::to_string(text).unwrap();
        let files = [
            ("package.json", format!("{{\"engines\": {{\"node\": {}}}, \"packageManager\": {}}}", json(&texts[1]), json(&format!("pnpm@{}", texts[2])))),
            ("package-lock.json", format!("{{\"a\": {{\"resolved\": {}}}, \"b\": {{\"resolved\": {}}}}}", json(&texts[3]), json(&texts[4]))),
            ("pnpm-lock.yaml", texts[5].clone()),
            (".npmrc", format!("registry={}", texts[6])),
            (".nvmrc", texts[7].clone()),
            ("go.mod", format!("toolchain go{}", texts[8])),
            ("pom.xml", "<a/>".to_owned()),
            (".git/config", format!("[remote \"{}\"]\nurl = {}", texts[9].replace('\n', ""), texts[10])),
            ("Dockerfile", format!("FROM {}", texts[11])),
            ("yarn.lock", format!("resolved {}", texts[12])),
            ("opencode.json", format!("{{\"model\": {}}}", json(&texts[13]))),
        ];
        sources.project.extend(files.map(|(path, text)| (path.to_owned(), text)));
        sources.project.insert(format!("requirements{}.txt", texts[14]), format!("--index-url {}", texts[15]));
        sources.person.insert("~/.gitconfig".into(), format!("[user]\nname = {}", texts[1]));
        for agent in [Agent::Opencode, Agent::Shell] {
            let made = make(&sources, Some(agent), "agent");
            let loaded = Manifest::load("bottle.yaml", made.manifest.as_bytes());
            let loaded = loaded.map_err(|report| TestCaseError::fail(format!("{report:?}\n{}", made.manifest)))?;
            let written: Vec<&str> = loaded.manifest.hosts().map(|rule| rule.route.host.as_str()).collect();
            let listed: Vec<&str> = made.routes.iter().map(|route| route.host.as_str()).collect();
            prop_assert_eq!(written, listed);
            let dockerfile = &made.context[0].1;
            prop_assert!(!dockerfile.contains("RUN id"), "{}", dockerfile);
            prop_assert_eq!(dockerfile.lines().filter(|line| line.starts_with("FROM ")).count(), 1 + dockerfile.matches(" AS ").count());
            let lines: Vec<&str> = made.context[1].1.lines().map(str::trim).collect();
            prop_assert!(lines.iter().all(|line| ["name = ", "directory = /work", "[user]", "[safe]", "# [user]"].iter().any(|it| line.starts_with(it))), "{:?}", lines);
        }
    }
}
