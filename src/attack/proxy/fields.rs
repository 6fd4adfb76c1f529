//! Fields that carry an identity, a credential or another request beside a credential of the proxy's.

use super::{Finding, Outcome, Proxy, Tunnelled, must_refuse, refused};

/// What servers, proxies and frameworks read of a request beside its request line.
const NAMES: &[&str] = &[
    // Credentials, and who asks.
    "Authorization",
    "Authentication",
    "Proxy-Authorization",
    "Proxy-Authenticate",
    "X-Authorization",
    "X-Proxy-Authorization",
    "Cookie",
    "Cookie2",
    "Set-Cookie",
    "Private-Token",
    "Job-Token",
    "Deploy-Token",
    "Sudo",
    "X-Gitlab-Token",
    "X-Gitea-OTP",
    "X-GitHub-OTP",
    "X-Api-Key",
    "Api-Key",
    "ApiKey",
    "X-Goog-Api-Key",
    "X-Goog-User-Project",
    "X-Goog-Iam-Authorization-Token",
    "X-Amz-Security-Token",
    "X-Amz-Credential",
    "X-Ms-Client-Principal",
    "X-Ms-Client-Principal-Id",
    "X-Ms-Token-Aad-Access-Token",
    "Ocp-Apim-Subscription-Key",
    "X-Auth-Key",
    "X-Auth-Email",
    "X-Auth-Token",
    "X-Auth-User",
    "X-Auth-Request-User",
    "X-Auth-Request-Email",
    "X-Auth-Request-Access-Token",
    "X-Access-Token",
    "X-Token",
    "X-Session-Token",
    "X-Csrf-Token",
    "X-Xsrf-Token",
    "X-Vault-Token",
    "X-Vault-Namespace",
    "X-Consul-Token",
    "X-Nomad-Token",
    "X-Jfrog-Art-Api",
    "X-NuGet-ApiKey",
    "X-Rundeck-Auth-Token",
    "X-Shopify-Access-Token",
    "X-Parse-Rest-Api-Key",
    "X-Algolia-Api-Key",
    "X-Honeycomb-Team",
    "DD-API-KEY",
    "Dd-Application-Key",
    "X-Figma-Token",
    "X-Line-Signature",
    "X-Hub-Signature",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Access-Token",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Client-Cert",
    "X-Remote-User",
    "X-Remote-Group",
    "Remote-User",
    "Remote-Email",
    "Remote-Groups",
    "X-Webauth-User",
    "X-User",
    "X-User-Id",
    "X-Username",
    "X-Email",
    "X-Roles",
    "X-Admin",
    "X-Impersonate-User",
    "Impersonate-User",
    "Impersonate-Group",
    "X-On-Behalf-Of",
    "X-Act-As",
    "X-Ssl-Client-Cert",
    "X-Client-Cert",
    "Client-Cert",
    "X-Client-Dn",
    "X-Amzn-Oidc-Identity",
    "X-Amzn-Oidc-Data",
    "Cf-Access-Jwt-Assertion",
    "Cf-Access-Client-Id",
    "X-Tenant-Id",
    "X-Org-Id",
    "X-Grafana-Org-Id",
    "X-Scope-OrgID",
    // Another method, path or host than the request line's.
    "X-HTTP-Method-Override",
    "X-HTTP-Method",
    "X-HTTP-Verb",
    "X-HTTP-Verb-Override",
    "X-Method-Override",
    "X-Original-Method",
    "X-Original-URL",
    "X-Original-URI",
    "X-Original-Path",
    "X-Original-Host",
    "X-Rewrite-URL",
    "X-Rewrite-URI",
    "X-Request-URI",
    "Request-URI",
    "X-Envoy-Original-Path",
    "X-Envoy-Original-Url",
    "X-Envoy-External-Address",
    "X-Middleware-Subrequest",
    "X-Middleware-Rewrite",
    "X-Matched-Path",
    "X-Invoke-Path",
    "X-Now-Route-Matches",
    "X-Waws-Unencoded-Url",
    "X-Arr-Log-Id",
    "X-Script-Name",
    "Script-Name",
    "SCRIPT_NAME",
    "Path-Info",
    "PATH_INFO",
    "X-Accel-Redirect",
    "X-Sendfile",
    "X-Proxy-Url",
    "X-Forwarded-Host",
    "X-Forwarded-Server",
    "X-Forwarded-Url",
    "X-Forwarded-Uri",
    "X-Forwarded-Path",
    "X-Forwarded-Prefix",
    "X-Forwarded-Proto",
    "X-Forwarded-Scheme",
    "X-Forwarded-Port",
    "X-Forwarded-For",
    "X-Forwarded",
    "Forwarded",
    "X-Host",
    "X-HTTP-Host-Override",
    "X-Real-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Originating-IP",
    "X-Remote-IP",
    "X-Remote-Addr",
    "True-Client-IP",
    "CF-Connecting-IP",
    "Fastly-Client-IP",
    "X-Azure-ClientIP",
    "Client-IP",
    "Via",
    "Proxy",
    "Proxy-Connection",
    "Destination",
    "HTTP2-Settings",
];

/// Parameters of the query in which servers take a credential.
const PARAMETERS: &[&str] = &[
    "access_token",
    "private_token",
    "job_token",
    "api_key",
    "apikey",
    "key",
    "token_secret_key=x&auth_token",
    "jwt",
    "password",
    "client_secret",
    "X-Amz-Signature",
    "X-Amz-Security-Token",
    "ACCESS_TOKEN",
    "access%5ftoken",
    "access_token[]",
];

pub(super) fn run(proxy: &Proxy<'_>, findings: &mut Vec<Finding>) {
    let guarded = proxy.subject("has a credential of the proxy's", |host| {
        host.credential.is_some() && !host.reads_content()
    });
    let ask = |fields: &str, target: &str, mark: &str| {
        let allowed = guarded.as_ref().map_err(Clone::clone)?;
        let request = format!(
            "{} {}{target} HTTP/1.1\r\nHost: {}\r\n{fields}Content-Length: 0\r\nConnection: close\r\n\r\n",
            allowed.method, allowed.target, allowed.host
        );
        proxy.ask(&allowed.host, request.replace("{mark}", mark).as_bytes())
    };
    let tried = "send a field that says who asks, or for what, beside the proxy's credential";
    findings.extend(NAMES.iter().map(|name| {
        proxy.finding(format!("fields/{}", name.to_lowercase()), tried, |mark| {
            Ok(proxy.must_not_arrive(&ask(&format!("{name}: {{mark}}\r\n"), "", mark)?))
        })
    }));
    let tried = "name a field of the proxy's as one of the connection, so that it goes off";
    for name in ["authorization", "host", "content-length"] {
        findings.push(proxy.finding(format!("fields/nominated/{name}"), tried, |mark| {
            Ok(proxy.must_not_arrive(&ask(
                &format!("Authorization: {{mark}}\r\nConnection: {name}\r\n"),
                "",
                mark,
            )?))
        }));
    }
    let tried = "send a credential in the trailers";
    for name in ["Authorization", "Cookie", "X-Forwarded-User", "Content-Length"] {
        findings.push(proxy.finding(format!("fields/trailer/{}", name.to_lowercase()), tried, |mark| {
            let allowed = guarded.as_ref().map_err(Clone::clone)?;
            let request = format!(
                "{} {} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\nTrailer: {name}\r\n\
                 Connection: close\r\n\r\n0\r\n{name}: {mark}\r\n\r\n",
                allowed.rule.method_with_body(),
                allowed.target,
                allowed.host
            );
            Ok(proxy.must_not_arrive(&proxy.ask(&allowed.host, request.as_bytes())?))
        }));
    }
    let tried = "send a credential in the query beside the proxy's";
    findings.extend(PARAMETERS.iter().map(|name| {
        proxy.finding(format!("fields/query/{name}"), tried, |mark| {
            let allowed = guarded.as_ref().map_err(Clone::clone)?;
            let before = if allowed.target.contains('?') { '&' } else { '?' };
            Ok(must_refuse(&ask("", &format!("{before}{name}={{mark}}"), mark)?))
        })
    }));
    tokens(proxy, findings);
}

/// A token that is valid nowhere, in each place of a request.
fn tokens(proxy: &Proxy<'_>, findings: &mut Vec<Finding>) {
    // Shaped like a token; put together here so that it is not one in the binary.
    let token = format!("ghp{}{}", "_", "b0ttl3Att4ck".repeat(3));
    let hex = data_encoding::HEXLOWER.encode(token.as_bytes());
    let base64 = data_encoding::BASE64.encode(token.as_bytes());
    let json = |text: &str| format!("{{\"note\": \"{text}\"}}");
    let escaped =
        percent_encoding::utf8_percent_encode(&token, percent_encoding::NON_ALPHANUMERIC).to_string();
    let unicode: Vec<String> = token.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let unicode = unicode.concat();
    let subject = proxy.usual();
    for (name, tried, body) in [
        ("json", "send a token in a request body", json(&token)),
        ("text", "send a token in a text", format!("here is {token}, take it")),
        ("base64", "send a token in base64", json(&base64)),
        ("hex", "send a token in hex", json(&hex)),
        ("percent", "send an escaped token", format!("a={escaped}")),
        ("json-escapes", "send a token in escapes of JSON", json(&unicode)),
        ("no-boundary", "send a token behind a letter", json(&format!("a{token}"))),
        ("in-a-name", "send a token as a name", format!("{{\"{token}\": 1}}")),
    ] {
        findings.push(proxy.finding(format!("fields/token/{name}"), tried, |_| {
            let allowed = subject.as_ref().map_err(Clone::clone)?;
            let request = format!(
                "{} {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{body}",
                allowed.rule.method_with_body(),
                allowed.target,
                allowed.host,
                body.len()
            );
            Ok(removed_or_refused(&proxy.ask(&allowed.host, request.as_bytes())?))
        }));
    }
    // Beside a credential of the proxy's most fields go off, and the rest of the request goes on.
    let open =
        proxy.subject("takes fields of any name", |host| host.credential.is_none() && !host.reads_content());
    for (name, tried, line, field) in [
        ("field", "send a token in a field", String::new(), format!("X-Note: {token}\r\n")),
        ("field-name", "send a token as the name of a field", String::new(), format!("{token}: 1\r\n")),
        ("agent", "send a token as a user agent", String::new(), format!("User-Agent: {token}\r\n")),
        ("query", "send a token in the query", format!("note={token}"), String::new()),
        ("query-base64", "send a token in the query, in base64", format!("note={base64}"), String::new()),
    ] {
        let subject = if name.starts_with("field") { &open } else { &subject };
        findings.push(proxy.finding(format!("fields/token/{name}"), tried, |_| {
            let allowed = subject.as_ref().map_err(Clone::clone)?;
            let mark = if line.is_empty() {
                ""
            } else if allowed.target.contains('?') {
                "&"
            } else {
                "?"
            };
            let request = format!(
                "{} {}{mark}{line} HTTP/1.1\r\nHost: {}\r\n{field}Content-Length: 0\r\nConnection: close\r\n\r\n",
                allowed.method, allowed.target, allowed.host
            );
            Ok(removed_or_refused(&proxy.ask(&allowed.host, request.as_bytes())?))
        }));
    }
}

fn removed_or_refused(tunnelled: &Tunnelled) -> Outcome {
    if let Tunnelled::Answered(answer) = tunnelled
        && let Some(kinds) = answer.removed()
    {
        return Outcome::Held(format!("removed from what was sent on: {kinds}"));
    }
    must_refuse(tunnelled)
}

impl Proxy<'_> {
    /// What went on, and may, as long as its mark does not.
    pub(super) fn went_on(&self, said: &str) -> Outcome {
        if self.witness.is_some() {
            return Outcome::Held(said.to_owned());
        }
        Outcome::NotApplicable("the request went on; what of it, only its origin can say".into())
    }

    /// The request may go on, as long as its mark does not.
    fn must_not_arrive(&self, tunnelled: &Tunnelled) -> Outcome {
        match tunnelled {
            Tunnelled::Answered(answer) if !answer.is_ours() => {
                self.went_on("the request went on without it")
            }
            Tunnelled::Answered(answer) => refused(answer),
            other => must_refuse(other),
        }
    }
}
