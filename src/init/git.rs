//! git: the remotes of the project, and the name that the person commits under. Both configurations are read as text:
//! git itself is not run on a repository that others can write.

use super::findings::Findings;
use super::ini;
use super::sources::Sources;
use crate::printable::is_unprintable;

const CONFIG: &str = ".git/config";

pub(super) fn read(sources: &Sources, findings: &mut Findings) {
    remotes(sources.text(CONFIG).unwrap_or_default(), findings);
    if !sources.has(CONFIG) && sources.has(".git") {
        findings.note(
            ".git is no folder with a configuration (a worktree or a submodule): its remotes are not read, and git \
             does not work in the bottle"
                .to_owned(),
        );
    }
    for file in ["~/.gitconfig", "~/.config/git/config"] {
        let entries = ini::entries(sources.person.get(file).map_or("", String::as_str), false);
        for entry in entries.iter().filter(|entry| entry.section.eq_ignore_ascii_case("user")) {
            let value = ini::unquoted(&entry.value).filter(|value| is_name(value));
            match entry.key.to_ascii_lowercase().as_str() {
                "name" if findings.identity.0.is_none() => findings.identity.0 = value,
                "email" if findings.identity.1.is_none() => findings.identity.1 = value,
                _ => {}
            }
        }
    }
}

/// What git itself lets into a commit's header, and nothing that hides.
fn is_name(text: &str) -> bool {
    !text.trim().is_empty()
        && text.len() <= 200
        && !text.contains(|c| is_unprintable(c) || matches!(c, '<' | '>'))
}

fn remotes(text: &str, findings: &mut Findings) {
    for entry in ini::entries(text, false) {
        let name = entry.section.strip_prefix("remote ").map(|name| name.trim_matches('"'));
        if let Some(name) = name.filter(|_| entry.key == "url")
            && let Some(url) = ini::unquoted(&entry.value)
        {
            findings.cloned(&url, &format!("{CONFIG}, remote {name}"));
        }
    }
}

/// The file that makes commits the person's.
pub(super) fn config(identity: &(Option<String>, Option<String>)) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let line = |key: &str, value: &Option<String>| {
        value.as_ref().map_or_else(String::new, |value| format!("\t{key} = {}\n", quoted(value)))
    };
    let user = match identity {
        (None, None) => {
            "# [user] name and email are what commits are made with; git on this machine has none\n"
                .to_owned()
        }
        (name, email) => format!("[user]\n{}{}", line("name", name), line("email", email)),
    };
    format!("{user}[safe]\n\tdirectory = /work\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_are_read_and_nothing_else_of_a_repository() {
        let text = "[core]\n\tfsmonitor = touch /tmp/x\n[remote \"origin\"]\n\turl = git@forge.test:acme/app.git\n\tfetch = x\n\
                    [remote \"up\"]\n\turl = \"https://forge.test/up/app\"\n[include]\n\tpath = /etc/passwd\n[url \"https://a.test/\"]\n\tinsteadOf = b\n";
        let mut findings = Findings::default();
        remotes(text, &mut findings);
        let found: Vec<_> =
            findings.hosts.iter().map(|it| (it.path.as_deref().unwrap(), &*it.source)).collect();
        assert_eq!(
            found,
            [("/acme/app.git", ".git/config, remote origin"), ("/up/app", ".git/config, remote up")]
        );
        assert!(findings.notes.is_empty());
    }

    #[test]
    fn an_identity_is_data() {
        let mut findings = Findings::default();
        let mut sources = Sources::default();
        let evil =
            "[user]\n\tname = \"Jo \\\"X\\\" O'Neil; $(id) # y\"\n\temail = \"a\\n[core] fsmonitor = id\"\n";
        sources.person.insert("~/.gitconfig".into(), evil.into());
        read(&sources, &mut findings);
        assert_eq!(findings.identity, (Some("Jo \"X\" O'Neil; $(id) # y".into()), None));
        assert_eq!(
            config(&findings.identity),
            "[user]\n\tname = \"Jo \\\"X\\\" O'Neil; $(id) # y\"\n[safe]\n\tdirectory = /work\n"
        );
    }
}
