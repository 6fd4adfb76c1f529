//! Secrets that only their name gives away: `DATADOG_API_KEY=…`, `"client_secret": "…"`, `?access_token=…`, and passwords
//! in URLs. Looked for from each `=` and `:` on.

use super::{
    judge::{is_random, is_stand_in},
    kinds::TABLE,
    names::{
        GENERIC, LONGEST_VALUE, SHORT, is_part_of_value, is_path, is_uuid, is_value, least_of, may_be_secret,
        names_itself,
    },
    row::When,
    set::PatternId,
    site::{Site, run},
    validate,
};
use std::sync::LazyLock;

/// The longest name that is read.
const LONGEST_NAME: usize = 64;
/// What may stand between a name and its value.
const LONGEST_GAP: usize = 24;

/// What a look from an `=` or a `:` on says.
pub(super) enum Named {
    No,
    More,
    /// `from`: where the secret itself begins.
    Match {
        pattern: PatternId,
        from: usize,
        length: usize,
        certain: usize,
    },
}

/// Where a row stands in the table.
fn id(name: &str) -> PatternId {
    let at = TABLE.iter().position(|row| row.name == name).unwrap_or(usize::MAX);
    PatternId::try_from(at).unwrap_or(PatternId::MAX)
}

struct Ids {
    parameter: PatternId,
    environment: PatternId,
    generic: PatternId,
    wireguard: PatternId,
    docker: PatternId,
    /// Those that are looked for by a name.
    assigned: Vec<PatternId>,
}

static IDS: LazyLock<Ids> = LazyLock::new(|| Ids {
    parameter: id("Credential in URL"),
    environment: id("Environment Variable Secret"),
    generic: id("Generic Secret"),
    wireguard: id("WireGuard Private Key"),
    docker: id("Docker Registry Auth"),
    assigned: (0..).zip(TABLE).filter(|(_, row)| super::kinds::is_by_name(row)).map(|(id, _)| id).collect(),
});

/// Looks from the `=` or `:` at `site.at` on.
pub(super) fn look(site: &Site<'_>) -> Named {
    let text = site.right();
    if text[0] == b':' {
        match text.get(1) {
            None if !site.complete => return Named::More,
            Some(b'/' | b'\\') => return password_in_url(site),
            _ => {}
        }
    }
    if matches!(text.get(1), Some(b'=')) && text[0] == b'='
        || matches!(site.left(1), [b'=' | b'!' | b'<' | b'>'])
    {
        return Named::No;
    }
    let name = name_before(site);
    let name = if name == b"value" { name_beside(site) } else { name };
    let is_login = text[0] == b':' && follows_login_flag(site, name);
    if !is_login && (name.len() < 3 || !may_be_secret(name)) {
        return Named::No;
    }
    let gap = run(&text[1..], LONGEST_GAP, |b| {
        matches!(b, b'"' | b'\'' | b'\\' | b' ' | b'\t' | b'=' | b'>' | b':' | b'(' | b'`' | b'[')
    });
    let mut begins = 1 + gap;
    // `Authorization: Bearer …`, and Laravel's `APP_KEY=base64:…`.
    let is_authorization = name.len() >= 13 && name[name.len() - 13..].eq_ignore_ascii_case(b"authorization");
    let before: &[&[u8]] = if is_authorization {
        &[b"Basic ", b"Bearer ", b"bearer ", b"token ", b"Token "]
    } else {
        &[b"base64:"]
    };
    let short = |it: &&&[u8]| text.len() - begins < it.len() && it.starts_with(&text[begins..]);
    if before.iter().any(|it| short(&it)) && !site.complete {
        return Named::More;
    }
    begins += before.iter().find(|it| text[begins..].starts_with(it)).map_or(0, |it| it.len());
    let rest = &text[begins..];
    let length = run(rest, LONGEST_VALUE, is_part_of_value);
    if length == rest.len() && length < LONGEST_VALUE && gap < LONGEST_GAP && !site.complete {
        return Named::More;
    }
    let value = &rest[..length];
    if value.len() < 12 {
        return Named::No;
    }
    let certain = usize::min(begins + length + usize::from(length < LONGEST_VALUE), text.len());
    let judged = if is_login {
        is_value(value, 12).then_some(IDS.generic)
    } else if is_authorization {
        (is_user_and_password(value) || is_value(value, 20)).then_some(IDS.generic)
    } else {
        judge(site, name, begins - 1, value)
    };
    match judged {
        Some(pattern) => Named::Match { pattern, from: begins, length: begins + length, certain },
        None => Named::No,
    }
}

fn name_before<'t>(site: &Site<'t>) -> &'t [u8] {
    let left = site.left(LONGEST_NAME + 8);
    let quotes = left
        .iter()
        .rev()
        .take(6)
        .take_while(|b| matches!(b, b'"' | b'\'' | b'\\' | b' ' | b':' | b'?' | b']' | b'+'))
        .count();
    let left = &left[..left.len() - quotes];
    let length = left
        .iter()
        .rev()
        .take(LONGEST_NAME)
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        .count();
    let (before, name) = left.split_at(left.len() - length);
    // The letter of an escape is none of the name: `\\tACME_KEY`.
    let digits = name.iter().take(3).take_while(|b| b.is_ascii_digit()).count();
    match name {
        [b'n' | b't' | b'r', name @ ..] if before.ends_with(b"\\") => name,
        // Nor is a colour's end (ECMA-48, SGR): `ESC [ 32 m`.
        _ if digits > 0 && name.get(digits) == Some(&b'm') && matches!(before, [.., b'[' | b';']) => {
            &name[digits + 1..]
        }
        name => name,
    }
}

/// The name that a member or a line beside a `value` has: `name: API_TOKEN`, then `value: …`.
fn name_beside<'t>(site: &Site<'t>) -> &'t [u8] {
    const WINDOW: usize = 120;
    let left = site.left(WINDOW);
    let Some(at) = memchr::memmem::rfind(left, b"name") else { return b"" };
    let is_between = |b: &u8| matches!(b, b'"' | b'\'' | b':' | b'=' | b' ' | b'\\');
    let rest = &left[at + 4..];
    let gap = rest.iter().take_while(|b| is_between(b)).count();
    let length = rest[gap..]
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        .count();
    if gap == 0 { b"" } else { &rest[gap..gap + length] }
}

/// Whether a colon stands in what `-u` or `--user` of curl and others is given: `-u name:password`.
fn follows_login_flag(site: &Site<'_>, name: &[u8]) -> bool {
    let left = site.left(LONGEST_NAME + 16);
    let left = left.strip_suffix(name).unwrap_or_default();
    let left = left.strip_suffix(b"\"").or_else(|| left.strip_suffix(b"'")).unwrap_or(left);
    !name.is_empty()
        && [&b" -u "[..], b" --user ", b" -u", b" --user="].iter().any(|flag| left.ends_with(flag))
}

/// Names of which each says that it is no secret.
const PUBLIC_WORDS: [&str; 27] = [
    "authenticity",
    "nonce",
    "etag",
    "captcha",
    "scroll",
    "design",
    "public",
    "publishable",
    "csrf",
    "xsrf",
    "next",
    "pagetoken",
    "continu",
    "sync",
    "cancel",
    "cursor",
    "hash",
    "digest",
    "checksum",
    "fingerprint",
    "idempotency",
    "cache",
    "sort",
    "partition",
    "resume",
    "sha",
    "integrity",
];

fn judge(site: &Site<'_>, name: &[u8], gap: usize, value: &[u8]) -> Option<PatternId> {
    let ids = &*IDS;
    if is_stand_in(value) {
        return None;
    }
    let folded: Vec<u8> =
        name.iter().filter(|b| b.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect();
    let said = String::from_utf8_lossy(&folded);
    let bare = value.strip_prefix(b"0x").unwrap_or(value);
    let unpadded = bare.iter().rposition(|b| *b != b'=').map_or(0, |at| at + 1);
    let padded: usize = (unpadded..bare.len()).len();
    let assigned = ids.assigned.iter().copied().find(|id| {
        let When::Assigned { names, alphabet, lengths } = &TABLE[usize::from(*id)].when else { return false };
        (lengths.contains(&bare.len()) || padded > 0 && lengths.contains(&unpadded))
            && names.iter().any(|name| said.contains(name))
            && bare.iter().all(|b| alphabet.as_bytes().contains(b) || *b == b'=')
            && (bare.iter().any(u8::is_ascii_digit) && bare.iter().any(u8::is_ascii_alphabetic)
                || is_random(bare))
    });
    let public = PUBLIC_WORDS.iter().any(|word| said.contains(word));
    if assigned.is_some() {
        return assigned.filter(|_| !public);
    }
    if is_parameter(site, name) && is_credential_parameter(&said, name) {
        let mixed = value.iter().any(u8::is_ascii_digit)
            && value.iter().any(u8::is_ascii_alphabetic)
            && is_random(value);
        return (mixed && !is_download(site, value)).then_some(ids.parameter);
    }
    if public {
        return None;
    }
    let is_call = matches!(site.right().get(1 + gap + value.len()), Some(b'(' | b'['));
    let is_secret = |least: usize| is_value(value, least) && !is_call && !names_itself(&said, value);
    let is_environment_secret = is_environment(name, &ENVIRONMENT);
    let is_sure = is_environment_secret && name.contains(&b'_') && value.len() >= 16;
    if is_sure && is_random(value) && !is_path(value)
        || (is_environment_secret || is_environment(name, &ENVIRONMENT_SHORT)) && is_secret(least_of(&said))
    {
        return Some(ids.environment);
    }
    if said.ends_with("privatekey") && value.len() == 44 && value.ends_with(b"=") && is_random(value) {
        return Some(ids.wireguard);
    }
    if said == "auth" && is_user_and_password(value) {
        return Some(ids.docker);
    }
    let generic = GENERIC.iter().any(|word| said.ends_with(word));
    let digits = value.iter().filter(|b| b.is_ascii_digit()).count();
    let is_long = generic
        && value.len() >= 20
        && digits >= 2
        && is_random(value)
        && !is_path(value)
        && !is_uuid(value)
        && !names_itself(&said, value);
    // Of a URL's parameters those are known that hold credentials; the others are signatures, cursors and the like.
    let is_named = generic || !is_parameter(site, name) && SHORT.iter().any(|word| said.ends_with(word));
    (is_long || is_named && is_secret(least_of(&said))).then_some(ids.generic)
}

/// The last words of environment variables that hold secrets.
const ENVIRONMENT: [&[u8]; 10] = [
    b"TOKEN",
    b"SECRET",
    b"PASSWORD",
    b"PASSWD",
    b"API_KEY",
    b"APIKEY",
    b"SECRET_KEY",
    b"ACCESS_KEY",
    b"PRIVATE_KEY",
    b"_PAT",
];

/// Others, whose values must look like nothing else.
const ENVIRONMENT_SHORT: [&[u8]; 5] = [b"_KEY", b"_PASS", b"_PWD", b"SECRET_KEY_BASE", b"_CREDENTIALS"];

fn is_environment(name: &[u8], ends: &[&[u8]]) -> bool {
    !name.iter().any(u8::is_ascii_lowercase) && ends.iter().any(|end| name.ends_with(end))
}

/// Whether a name is a parameter of a URL: `?name=`, `&name=`, or these as JSON or HTML escape them.
fn is_parameter(site: &Site<'_>, name: &[u8]) -> bool {
    let before = &site.left(LONGEST_NAME + 16);
    let before = before.strip_suffix(name).unwrap_or_default();
    [&b"?"[..], b"&", b"&amp;", b"\\u0026", b"%26", b"%3F", b"%3f"].iter().any(|it| before.ends_with(it))
        || name.starts_with(b"u0026")
}

fn is_credential_parameter(said: &str, name: &[u8]) -> bool {
    let said = if name.starts_with(b"u0026") { &said[5..] } else { said };
    [
        "password",
        "passwd",
        "pwd",
        "secret",
        "clientsecret",
        "token",
        "accesstoken",
        "authtoken",
        "apikey",
        "privatetoken",
        "refreshtoken",
    ]
    .contains(&said)
}

/// Whether a parameter is one of those that an origin hands out for one file: a forge's raw file, a storage's download.
fn is_download(site: &Site<'_>, value: &[u8]) -> bool {
    let left = site.left(300);
    value.starts_with(b"GHSAT0") || is_uuid(value) && memchr::memmem::find(left, b"alt=media").is_some()
}

/// Whether it is `user:password` in base64.
fn is_user_and_password(value: &[u8]) -> bool {
    let decoded = data_encoding::BASE64.decode(value).unwrap_or_default();
    let Some(colon) = decoded.iter().position(|b| *b == b':') else { return false };
    let (user, password) = (&decoded[..colon], &decoded[colon + 1..]);
    decoded.iter().all(u8::is_ascii_graphic) && password.len() >= 6 && validate::url_password(user, password)
}

/// `scheme://user:password@host`, from the colon after the scheme on.
fn password_in_url(site: &Site<'_>) -> Named {
    let text = site.right();
    let slashes = match &text[1..] {
        [b'/', b'/', ..] => 2,
        [b'\\', b'/', b'\\', b'/', ..] => 4,
        [b'/' | b'\\'] | [b'\\', b'/'] | [b'\\', b'/', b'\\'] if !site.complete => return Named::More,
        _ => return Named::No,
    };
    let scheme = site
        .left(20)
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'-'))
        .count();
    let scheme = &site.left(20)[site.left(20).len() - scheme..];
    let Some(pattern) = pattern_of(scheme) else { return Named::No };
    let is_part =
        |b: u8| b > b' ' && b < 0x7f && !matches!(b, b'/' | b'"' | b'\'' | b'\\' | b'<' | b'>' | b'`' | b'@');
    let from = 1 + slashes;
    let user = run(&text[from..], 65, |b| is_part(b) && b != b':');
    let unknown = |at: usize| at == text.len() && !site.complete;
    if unknown(from + user) && user < 65 {
        return Named::More;
    }
    if text.get(from + user) != Some(&b':') {
        return Named::No;
    }
    let begins = from + user + 1;
    let password = run(&text[begins..], 129, is_part);
    let at = begins + password;
    if unknown(at) && password < 129 {
        return Named::More;
    }
    if text.get(at) != Some(&b'@') {
        return Named::No;
    }
    let host = run(&text[at + 1..], 16, |b| is_part(b) && b != b',' && b != b'?');
    if unknown(at + 1 + host) && host < 16 {
        return Named::More;
    }
    let (name, secret) = (&text[at + 1..at + 1 + host], &text[begins..at]);
    let own = [
        &b"localhost"[..],
        b"127.0.0.1",
        b"[::1]",
        b"0.0.0.0",
        b"example.com",
        b"example.org",
        b"example.net",
    ];
    let least = if pattern == id("Web URL with Password") { 8 } else { 3 };
    if secret.len() < least
        || own.iter().any(|own| name.starts_with(own))
        || !validate::url_password(&text[from..from + user], secret)
    {
        return Named::No;
    }
    Named::Match {
        pattern,
        from: begins,
        length: at + 1,
        certain: usize::min(at + 1 + host + usize::from(host < 16), text.len()),
    }
}

/// The kind of a URL's scheme; what stands before a known one in the same word changes nothing.
fn pattern_of(scheme: &[u8]) -> Option<PatternId> {
    let lower = scheme.to_ascii_lowercase();
    let base = lower.split(|b| *b == b'+').find(|part| !part.is_empty()).unwrap_or_default();
    let is = |names: &[&str]| names.iter().any(|name| base.ends_with(name.as_bytes()));
    let name = if is(&["postgres", "postgresql", "pgsql"]) {
        "Postgres URL"
    } else if is(&["mysql", "mariadb"]) {
        "MySQL URL"
    } else if is(&["mongodb"]) {
        "MongoDB URL"
    } else if is(&["redis", "rediss", "valkey", "valkeys"]) {
        "Redis URL"
    } else if is(&["amqp", "amqps", "mqtt", "mqtts", "nats"]) {
        "AMQP URL"
    } else if is(&["ldap", "ldaps"]) {
        "LDAP URL"
    } else if is(&["smtp", "smtps", "imap", "imaps", "pop3", "pop3s"]) {
        "SMTP URL"
    } else if is(&["ftp", "ftps", "sftp", "ssh", "scp", "smb"]) {
        "FTP URL"
    } else if is(&["http", "https", "git"]) {
        "Web URL with Password"
    } else if is(&[
        "mssql",
        "sqlserver",
        "oracle",
        "clickhouse",
        "cassandra",
        "neo4j",
        "bolt",
        "couchdb",
        "influxdb",
        "cockroachdb",
        "snowflake",
        "elasticsearch",
        "trino",
        "presto",
        "hive",
        "kafka",
        "jdbc",
        "odbc",
        "db2",
        "vertica",
    ]) {
        "Database URL"
    } else {
        return None;
    };
    Some(id(name))
}
