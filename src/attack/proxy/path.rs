//! Which path a request is for: one form that is matched and sent, or a refusal.

use super::{Finding, Proxy, must_refuse, written};

/// Targets behind an allowed path, each of which some reader takes for another one.
const TARGETS: &[(&str, &str, &str)] = &[
    ("another-path", "request a path outside the allowlist", "/{mark}/not/allowed"),
    ("dot-segments", "leave an allowed path by `..` (Envoy CVE-2019-9901)", "{path}/../../../../{mark}"),
    ("encoded-dots", "leave an allowed path by an escaped `..`", "{path}/%2e%2e/%2e%2e/%2e%2e/{mark}"),
    ("one-dot-encoded", "leave an allowed path by a half-escaped `..`", "{path}/.%2e/.%2e/.%2e/{mark}"),
    ("dots-first", "go up before an allowed path", "/../{mark}{path}"),
    ("dots-and-back", "leave an allowed path and come back", "{path}/../{mark}/..{path}"),
    ("dots-last", "end with `..`", "{path}/{mark}/.."),
    ("dots-matrix", "leave by `..` with a parameter (Envoy CVE-2026-73551)", "{path}/..;x=1/{mark}"),
    ("dots-matrix-before", "leave by a parameter before `..`", "{path}/;x=1/../../{mark}"),
    ("matrix", "put a parameter into a segment (Tomcat CVE-2020-5902)", "{path};{mark}=1/x"),
    ("encoded-matrix", "put an escaped parameter into a segment", "{path}/..%3b{mark}/x"),
    ("encoded-slash", "escape a slash (Envoy CVE-2021-29492)", "{path}/..%2f..%2f..%2f{mark}"),
    ("encoded-backslash", "escape a backslash", "{path}/..%5c..%5c{mark}"),
    ("backslash", "use backslashes (nginx CVE-2013-4547)", "{path}\\..\\..\\{mark}"),
    ("double-encoding", "escape twice (IIS CVE-2001-0333)", "{path}/%252e%252e/%252e%252e/{mark}"),
    ("double-encoded-slash", "escape a slash twice", "{path}/..%252f..%252f{mark}"),
    ("triple-encoding", "escape three times", "{path}/%25252e%25252e/{mark}"),
    ("utf-16-escape", "escape as IIS does (CVE-2000-0884)", "{path}/%u002e%u002e/{mark}"),
    ("overlong", "use overlong UTF-8 (CVE-2008-2938)", "{path}/%c0%ae%c0%ae/{mark}"),
    ("overlong-slash", "use an overlong slash (CVE-2000-0884)", "{path}/..%c0%af..%c0%af{mark}"),
    ("broken-escape", "break an escape off", "{path}/%2/{mark}"),
    ("no-escape", "use a percent sign that escapes nothing", "{path}/%zz/{mark}"),
    ("percent-last", "end with a percent sign", "{path}/{mark}%"),
    ("double-slash", "double a slash", "//{mark}{path}"),
    ("double-slash-inside", "double a slash behind an allowed path", "{path}//{mark}"),
    ("dot-segment", "put a single dot between", "{path}/./{mark}"),
    ("dot-first", "begin with a single dot", "/./{mark}{path}"),
    ("encoded-dot", "put an escaped single dot between", "{path}/%2e/{mark}"),
    ("fragment", "put a fragment into the target (Envoy CVE-2021-32779)", "{path}#/../{mark}"),
    ("fragment-first", "begin with a fragment", "/{mark}#{path}"),
    ("encoded-fragment", "escape a number sign before `..`", "/{mark}%23/..{path}"),
    ("encoded-question-mark", "escape a question mark before a path", "/{mark}%3f{path}"),
    ("nul", "put NUL into a path", "{path}/\0{mark}"),
    ("encoded-nul", "put an escaped NUL into a path", "{path}/%00/{mark}"),
    ("tab", "put a tab into a path", "{path}/\t{mark}"),
    ("vertical-tab", "put a vertical tab into a path", "{path}/\x0b{mark}"),
    ("encoded-line-break", "put an escaped line break into a path", "{path}/%0d%0aX:%20{mark}"),
    ("encoded-tab", "put an escaped tab into a path", "{path}/%09{mark}"),
    ("delete", "put DEL into a path", "{path}/\x7f{mark}"),
    ("no-utf-8", "put a byte into a path that is no UTF-8", "{path}/{ff}{mark}"),
    ("half-utf-8", "break a character of UTF-8 off", "{path}/{c0}/{mark}"),
    ("encoded-no-utf-8", "escape a byte that is no UTF-8", "{path}/%ff/{mark}"),
    ("no-slash", "begin without a slash", "{mark}{path}"),
    ("asterisk", "ask for `*`", "*{mark}"),
    ("query-first", "begin with a query", "?{mark}"),
    ("boundary-dash", "go on behind an allowed path without a slash", "{path}-{mark}"),
    ("boundary-dot", "put an ending behind an allowed path", "{path}.{mark}"),
    ("boundary-letter", "put a letter behind an allowed path", "{path}x{mark}"),
    ("boundary-escape", "put an escaped letter behind an allowed path", "{path}%78{mark}"),
    ("boundary-space", "put an escaped space behind an allowed path", "{path}%20{mark}"),
    ("boundary-tilde", "put a tilde behind an allowed path", "{path}~{mark}"),
    ("inside-another", "put an allowed path behind another one", "/{mark}{path}"),
    ("jump", "use a path of a proxy's own", "/.well-known/../{mark}"),
    ("absolute-in-path", "put a URL into a path", "/https://{host}{path}/{mark}"),
    ("full-width", "use full-width dots", "{path}/．．/{mark}"),
    ("full-width-slash", "use a full-width slash", "{path}／..／{mark}"),
    ("spaces-in-target", "put a space into the target", "{path} /{mark}"),
    ("angle", "put angle brackets into a path", "/<{mark}>"),
    ("quote", "put a quotation mark into a path", "/\"{mark}\""),
    ("braces", "put braces into a path", "/{mark}{x}"),
    ("pipe", "put a pipe into a path", "/|{mark}"),
    ("caret", "put a caret into a path", "/^{mark}"),
    ("backquote", "put a back-quote into a path", "/`{mark}`"),
];

pub(super) fn run(proxy: &Proxy<'_>, findings: &mut Vec<Finding>) {
    let subject = proxy.with_paths();
    findings.extend(TARGETS.iter().map(|(name, tried, target)| {
        proxy.finding(format!("path/{name}"), tried, |mark| {
            let allowed = subject.as_ref().map_err(Clone::clone)?;
            let request = format!(
                "{{method}} {target} HTTP/1.1\r\nHost: {{host}}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            Ok(must_refuse(&proxy.ask(&allowed.host, &written(&request, allowed, mark))?))
        })
    }));
    let tried = "request what is denied below an allowed path";
    let denying =
        proxy.subject("has deny_paths", |host| !host.deny_paths.is_empty() && !host.reads_content());
    for (name, spell) in DENIED {
        findings.push(proxy.finding(format!("path/denied/{name}"), tried, |mark| {
            let allowed = denying.as_ref().map_err(Clone::clone)?;
            let denied =
                allowed.rule.deny_paths.first().map(|path| path.replace('*', "x")).unwrap_or_default();
            let request = format!(
                "{} {}?{mark} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                allowed.method,
                spell(&denied),
                allowed.host
            );
            Ok(must_refuse(&proxy.ask(&allowed.host, request.as_bytes())?))
        }));
    }
    let asks =
        proxy.subject("has a rule about the query", |host| !host.query.is_empty() && !host.reads_content());
    for (name, tried, change) in QUERIES {
        findings.push(proxy.finding(format!("path/query/{name}"), tried, |mark| {
            let allowed = asks.as_ref().map_err(Clone::clone)?;
            let name = allowed.rule.query.keys().next().cloned().unwrap_or_default();
            let target = change(&allowed.path, &allowed.target, &name, mark);
            let (method, host) = (&allowed.method, &allowed.host);
            let request = format!(
                "{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            Ok(must_refuse(&proxy.ask(host, request.as_bytes())?))
        }));
    }
}

type Spell = fn(&str) -> String;

/// Spellings of a denied path that some origin takes for it.
const DENIED: [(&str, Spell); 7] = [
    ("itself", str::to_owned),
    ("below", |path| format!("{path}/x")),
    ("cased", |path| path.to_uppercase()),
    ("escaped", |path| {
        let escaped = |c: char| if c == '/' { "/".to_owned() } else { format!("%{:02x}", u32::from(c)) };
        path.chars().map(escaped).collect::<Vec<_>>().concat()
    }),
    ("slash-last", |path| format!("{path}/")),
    ("dots", |path| format!("{path}/../{}", path.rsplit('/').next().unwrap_or_default())),
    ("slashes", |path| path.replace('/', "//")),
];

type Change = fn(&str, &str, &str, &str) -> String;

const QUERIES: [(&str, &str, Change); 7] = [
    ("missing", "leave a parameter away that a rule asks for", |path, _, _, mark| format!("{path}?{mark}")),
    ("other-value", "say another value than the rule's", |path, _, name, mark| {
        format!("{path}?{name}={mark}")
    }),
    ("twice", "say a parameter once more", |_, target, name, mark| format!("{target}&{name}={mark}")),
    ("array", "say a parameter once more, as an array", |_, target, name, mark| {
        format!("{target}&{name}[]={mark}")
    }),
    ("cased", "say a parameter once more, in another case", |_, target, name, mark| {
        format!("{target}&{}={mark}", name.to_uppercase())
    }),
    ("escaped", "say a parameter once more, escaped", |_, target, name, mark| {
        let escaped: Vec<String> = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        format!("{target}&{}={mark}", escaped.concat())
    }),
    ("semicolon", "say a parameter once more, behind a semicolon", |_, target, name, mark| {
        format!("{target};{name}={mark}")
    }),
];
