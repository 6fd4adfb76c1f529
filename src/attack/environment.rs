//! Proxy variables that are not bottle's: Docker's client adds those of its own configuration to every service, with
//! the password of a user in them (<https://docs.docker.com/engine/cli/proxy/>).

use super::{Check, Outcome};

pub(super) const CHECKS: &[Check] =
    &[Check {
        name: "environment/proxies",
        tried: "find another proxy, or its password, in the environment",
        attempt: |_| {
            proxies(std::env::vars_os().map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            }))
        },
    }];

/// The gate, as every proxy variable of the agent names it.
const GATE: &str = "http://127.0.0.1:9099";
/// What is reached without a proxy.
const LOOPBACK: &str = "localhost,127.0.0.1,::1";
/// Node's switch ends like the name of a variable that names a proxy.
const SWITCH: &str = "NODE_USE_ENV_PROXY";

/// `http_proxy`, `https_proxy`, `ftp_proxy`, `all_proxy`, `no_proxy` and whatever else ends like them, in any case.
/// A finding names the variable and not its value, which may be a secret.
fn proxies(variables: impl Iterator<Item = (String, String)>) -> Outcome {
    let mut count = 0;
    for (name, value) in variables {
        let lower = name.to_lowercase();
        if !lower.ends_with("_proxy") || name == SWITCH {
            continue;
        }
        count += 1;
        let ours = if lower.ends_with("no_proxy") { LOOPBACK } else { GATE };
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
            ("HTTPS_PROXY", GATE),
            ("http_proxy", GATE),
            ("npm_config_https_proxy", GATE),
            ("no_proxy", LOOPBACK),
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
            ("https_proxy", LOOPBACK),
            ("no_proxy", "*"),
            ("NO_PROXY", "localhost,127.0.0.1,::1,.corp.example"),
            ("no_proxy", GATE),
        ] {
            let outcome = with(&[(name, value)]);
            assert_eq!(
                outcome,
                Outcome::Broken(format!("{name} is not bottle's; Docker's client configuration may add it")),
                "{value}"
            );
        }
    }

    /// The suite reaches no other module, so it repeats what `plan` sets; the two can't drift.
    #[test]
    fn the_values_are_those_that_the_plan_sets() {
        let plan = include_str!("../plan/environment.rs");
        for value in [GATE, LOOPBACK, SWITCH] {
            assert!(plan.contains(&format!("\"{value}\"")), "{value}");
        }
    }
}
