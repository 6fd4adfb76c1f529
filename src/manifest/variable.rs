//! Names of environment variables.

/// The portable form of a name (POSIX 1003.1, section 8.1; lower case is admitted).
pub(super) fn is_variable_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(fits)
}

/// Whether programs of this machine that bottle runs read a variable of that name, or bottle itself: its value is not a
/// token's to be, since Compose takes tokens from the environment that it runs in, and looks for other programs in it.
/// Names that end as those of secrets do are nobody's settings.
pub(crate) fn is_a_setting(name: &str) -> bool {
    const FAMILIES: [&str; 14] = [
        "BOTTLE_",
        "BUILDKIT_",
        "BUILDX_",
        "COMPOSE_",
        "DOCKER_",
        "DYLD_",
        "GIT_",
        "LC_",
        "LD_",
        "OTEL_",
        "SSH_",
        "SSL_",
        "SYSTEMD_",
        "XDG_",
    ];
    const NAMES: [&str; 31] = [
        "ALL_PROXY",
        "BASH_ENV",
        "BROWSER",
        "COLORTERM",
        "DISPLAY",
        "EDITOR",
        "ENV",
        "GODEBUG",
        "GOGC",
        "GOMAXPROCS",
        "GOMEMLIMIT",
        "GOTRACEBACK",
        "HOME",
        "HOSTNAME",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "IFS",
        "LANG",
        "LANGUAGE",
        "LOGNAME",
        "NO_PROXY",
        "PAGER",
        "PATH",
        "PWD",
        "SHELL",
        "TERM",
        "TMPDIR",
        "TZ",
        "USER",
        "VISUAL",
        "NO_COLOR",
    ];
    const SECRETS: [&str; 6] = ["_CREDENTIALS", "_KEY", "_PASSWORD", "_PAT", "_SECRET", "_TOKEN"];
    let upper = name.to_ascii_uppercase();
    let is_ours = ["BOTTLE_", "COMPOSE_"].iter().any(|family| upper.starts_with(family));
    let is_secret = !is_ours && SECRETS.iter().any(|end| upper.ends_with(end));
    NAMES.contains(&upper.as_str()) || !is_secret && FAMILIES.iter().any(|family| upper.starts_with(family))
}

#[cfg(test)]
mod tests {
    use super::is_a_setting;

    #[test]
    fn a_setting_of_a_program_is_told_from_the_name_of_a_secret() {
        for setting in [
            "PATH",
            "path",
            "HOME",
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "DYLD_INSERT_LIBRARIES",
            "DOCKER_HOST",
            "DOCKER_CONFIG",
            "BUILDX_CONFIG",
            "BUILDKIT_HOST",
            "COMPOSE_FILE",
            "COMPOSE_TOKEN",
            "BOTTLE_STATE",
            "GODEBUG",
            "SSL_CERT_FILE",
            "XDG_CONFIG_HOME",
            "SSH_AUTH_SOCK",
            "https_proxy",
            "NO_PROXY",
            "TMPDIR",
            "BASH_ENV",
        ] {
            assert!(is_a_setting(setting), "{setting}");
        }
        for secret in [
            "GITHUB_TOKEN",
            "GIT_TOKEN",
            "DOCKER_PASSWORD",
            "DOCKERHUB",
            "GH",
            "A",
            "INTRANET",
            "ANTHROPIC_API_KEY",
            "GITLAB_PAT",
            "GOGS",
            "GOOGLE_API_KEY",
            "MY_PATH",
            "PATHWAY",
            "LOCAL_LLM",
            "BUILDKITE",
        ] {
            assert!(!is_a_setting(secret), "{secret}");
        }
    }
}
