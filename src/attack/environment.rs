//! Proxy variables that are not bottle's: Docker's client adds those of its own configuration to every service, with
//! the password of a user in them (<https://docs.docker.com/engine/cli/proxy/>).

use super::{Check, Outcome};
use crate::stack::{GATE_URL, NO_PROXY, NODE_SWITCH};

pub(super) const CHECKS: &[Check] =
    &[Check {
        name: "environment/proxies",
        tried: "find another proxy, or its password, in the environment",
        attempt: || {
            proxies(std::env::vars_os().map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            }))
        },
    }];

/// `http_proxy`, `https_proxy`, `ftp_proxy`, `all_proxy`, `no_proxy` and whatever else ends like them, in any case.
/// A finding names the variable and not its value, which may be a secret.
fn proxies(variables: impl Iterator<Item = (String, String)>) -> Outcome {
    let mut count = 0;
    for (name, value) in variables {
        let lower = name.to_lowercase();
        if !lower.ends_with("_proxy") || name == NODE_SWITCH {
            continue;
        }
        count += 1;
        let ours = if lower.ends_with("no_proxy") { NO_PROXY } else { GATE_URL };
        if !value.is_empty() && value != ours {
            let with = if value.contains('@') { ", with a user or a password in it" } else { "" };
            return Outcome::Broken(format!(
                "{name} is not bottle's{with}; Docker's client configuration may add it"
            ));
        }
    }
    Outcome::Held(format!("{count} variables, all of them bottle's"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Outcome {
        proxies(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn bottles_own_variables_and_empty_ones_are_in_order() {
        let ours = [
            ("HTTPS_PROXY", GATE_URL),
            ("http_proxy", GATE_URL),
            ("npm_config_https_proxy", GATE_URL),
            ("no_proxy", NO_PROXY),
            ("NO_PROXY", ""),
            ("ALL_PROXY", ""),
            ("NODE_USE_ENV_PROXY", "1"),
            ("PATH", "/bin"),
        ];
        assert_eq!(with(&ours), Outcome::Held("6 variables, all of them bottle's".into()));
    }

    #[test]
    fn any_other_proxy_is_found_and_its_password_is_not_shown() {
        for name in
            ["http_proxy", "HTTPS_PROXY", "ftp_proxy", "FTP_PROXY", "all_proxy", "ALL_PROXY", "My_Proxy"]
        {
            let outcome = with(&[(name, "http://me:hunter2@proxy.corp.example:3128")]);
            let text = format!(
                "{name} is not bottle's, with a user or a password in it; Docker's client configuration may add it"
            );
            assert_eq!(outcome, Outcome::Broken(text));
        }
        for (name, value) in [
            ("http_proxy", "http://127.0.0.1:9100"),
            ("https_proxy", NO_PROXY),
            ("no_proxy", "*"),
            ("NO_PROXY", "localhost,127.0.0.1,::1,.corp.example"),
            ("no_proxy", GATE_URL),
        ] {
            let outcome = with(&[(name, value)]);
            assert_eq!(
                outcome,
                Outcome::Broken(format!("{name} is not bottle's; Docker's client configuration may add it")),
                "{value}"
            );
        }
    }
}
