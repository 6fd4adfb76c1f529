//! Where a request ends, and where the next one begins.

use super::super::client::secure;
use super::{Finding, Outcome, Proxy, Row, refused, row, written};

/// Requests whose end two readers would find in different places, most with a second one inside.
const ROWS: &[Row] = &[
    row(
        "length-and-chunks",
        "send a length and chunks (CL.TE, CVE-2019-15605)",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /{mark} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    row(
        "chunks-and-length",
        "send chunks and a length (TE.CL)",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGET /{mark} HTTP/1.1\r\n\r\n0\r\n\r\n",
    ),
    row(
        "two-lengths",
        "send two lengths for one body",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\nGET /{mark} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    row(
        "equal-lengths",
        "send the same length twice",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\nContent-Length: 1\r\nUser-Agent: {mark}\r\n\r\nx",
    ),
    row(
        "length-list",
        "send a list of lengths",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1, 1\r\nUser-Agent: {mark}\r\n\r\nx",
    ),
    row(
        "length-sign",
        "send a length with a sign (CVE-2018-7159)",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: +1\r\nUser-Agent: {mark}\r\n\r\nx",
    ),
    row(
        "length-negative",
        "send a negative length",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: -1\r\nUser-Agent: {mark}\r\n\r\n",
    ),
    row(
        "length-hex",
        "send a length in hex",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0x1\r\nUser-Agent: {mark}\r\n\r\nx",
    ),
    row(
        "length-space",
        "send a length with a space inside (CVE-2018-7159)",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1 0\r\nUser-Agent: {mark}\r\n\r\nx",
    ),
    row(
        "length-empty",
        "send an empty length",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length:\r\nUser-Agent: {mark}\r\n\r\n",
    ),
    row(
        "length-wraps",
        "send a length that no number holds",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 18446744073709551617\r\nUser-Agent: {mark}\r\n\r\nx",
    ),
    row(
        "length-decimal",
        "send a length with a decimal point",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1.0\r\nUser-Agent: {mark}\r\n\r\nx",
    ),
    row(
        "length-unicode",
        "send a length in other digits",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: １\r\nUser-Agent: {mark}\r\n\r\nx",
    ),
    row(
        "encoding-twice",
        "say `chunked` twice",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\nUser-Agent: {mark}\r\n\r\n0\r\n\r\n",
    ),
    row(
        "encoding-list",
        "say `chunked, chunked`",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked, chunked\r\nUser-Agent: {mark}\r\n\r\n0\r\n\r\n",
    ),
    row(
        "encoding-identity",
        "say `chunked, identity` (CVE-2019-16276)",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked, identity\r\nUser-Agent: {mark}\r\n\r\n0\r\n\r\n",
    ),
    row(
        "encoding-gzip",
        "say `gzip, chunked`",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: gzip, chunked\r\nUser-Agent: {mark}\r\n\r\n0\r\n\r\n",
    ),
    row(
        "encoding-unknown",
        "say an encoding that nobody knows",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: xchunked\r\nUser-Agent: {mark}\r\n\r\n0\r\n\r\n",
    ),
    row(
        "encoding-quoted",
        "say `chunked` in quotes",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: \"chunked\"\r\nUser-Agent: {mark}\r\n\r\n0\r\n\r\n",
    ),
    row(
        "encoding-parameter",
        "say `chunked` with a parameter",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked;x=1\r\nUser-Agent: {mark}\r\n\r\n0\r\n\r\n",
    ),
    row(
        "encoding-empty",
        "say an empty encoding",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding:\r\nUser-Agent: {mark}\r\n\r\n",
    ),
    row(
        "encoding-space",
        "put a space before the colon (CVE-2019-16869)",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding : chunked\r\nUser-Agent: {mark}\r\n\r\n0\r\n\r\n",
    ),
    row(
        "encoding-vertical-tab",
        "put a vertical tab before `chunked` (CVE-2020-8287)",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: \x0bchunked\r\nUser-Agent: {mark}\r\n\r\n0\r\n\r\n",
    ),
    row(
        "encoding-folded",
        "fold `chunked` over two lines",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding:\r\n chunked\r\nUser-Agent: {mark}\r\n\r\n0\r\n\r\n",
    ),
    row(
        "encoding-old",
        "send chunks in HTTP/1.0",
        "POST {target} HTTP/1.0\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nUser-Agent: {mark}\r\n\r\n0\r\n\r\n",
    ),
    row(
        "chunk-size",
        "send a chunk whose size no number holds",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx\r\n0\r\n\r\nGET /{mark} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    row(
        "chunk-size-long",
        "send a chunk size of 17 digits (CVE-2013-2028)",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000001\r\nx\r\n0\r\n\r\nGET /{mark} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    row(
        "chunk-size-sign",
        "send a chunk size with a sign (CVE-2020-7238)",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\nx\r\n0\r\n\r\nGET /{mark} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    row(
        "chunk-size-prefix",
        "send a chunk size with `0x`",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\nGET /{mark} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    row(
        "chunk-size-empty",
        "send no chunk size",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n\r\nx\r\n0\r\n\r\nGET /{mark} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    row(
        "chunk-line-feed",
        "end a chunk's size with a line feed (CVE-2022-2466)",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\nGET /{mark} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    row(
        "chunk-return",
        "end a chunk with a carriage return only",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r0\r\n\r\nGET /{mark} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    row(
        "chunk-too-long",
        "send more than a chunk says",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\nGET /{mark} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    row(
        "chunk-extension-feed",
        "put a line feed into a chunk's extension (CVE-2025-66373)",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n1;a=\nb\r\nx\r\n0\r\n\r\nGET /{mark} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    row(
        "line-feeds",
        "end lines with line feeds",
        "POST {target} HTTP/1.1\nHost: {host}\nUser-Agent: {mark}\nContent-Length: 0\n\n",
    ),
    row(
        "one-line-feed",
        "end one line with a line feed",
        "POST {target} HTTP/1.1\r\nHost: {host}\nUser-Agent: {mark}\r\nContent-Length: 0\r\n\r\n",
    ),
    row(
        "carriage-return",
        "put a carriage return into a value (CVE-2020-8201)",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nX-A: a\rTransfer-Encoding: chunked\r\nUser-Agent: {mark}\r\nContent-Length: 0\r\n\r\n",
    ),
    row(
        "nul-value",
        "put NUL into a value",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nX-A: a\0b\r\nUser-Agent: {mark}\r\nContent-Length: 0\r\n\r\n",
    ),
    row(
        "nul-name",
        "put NUL into a name",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nX\0A: a\r\nUser-Agent: {mark}\r\nContent-Length: 0\r\n\r\n",
    ),
    row(
        "name-space",
        "put a space into a name",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nX A: a\r\nUser-Agent: {mark}\r\nContent-Length: 0\r\n\r\n",
    ),
    row(
        "name-empty",
        "send a field without a name (CVE-2023-25725)",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\n: a\r\nUser-Agent: {mark}\r\nContent-Length: 0\r\n\r\n",
    ),
    row(
        "name-no-ascii",
        "put a byte into a name that is no ASCII",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nX{ff}: a\r\nUser-Agent: {mark}\r\nContent-Length: 0\r\n\r\n",
    ),
    row(
        "no-colon",
        "send a field without a colon",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nX-A\r\nUser-Agent: {mark}\r\nContent-Length: 0\r\n\r\n",
    ),
    row(
        "first-line-folded",
        "begin the fields with a space",
        "POST {target} HTTP/1.1\r\n Host: {host}\r\nUser-Agent: {mark}\r\nContent-Length: 0\r\n\r\n",
    ),
    row(
        "folded",
        "fold a field over two lines",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nX-A: a\r\n\tb\r\nUser-Agent: {mark}\r\nContent-Length: 0\r\n\r\n",
    ),
    row(
        "version",
        "speak HTTP/1.2",
        "POST {target} HTTP/1.2\r\nHost: {host}\r\nUser-Agent: {mark}\r\nContent-Length: 0\r\n\r\n",
    ),
    row(
        "version-cased",
        "speak http/1.1",
        "POST {target} http/1.1\r\nHost: {host}\r\nUser-Agent: {mark}\r\nContent-Length: 0\r\n\r\n",
    ),
    row(
        "version-spaces",
        "put two spaces before the version",
        "POST {target}  HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {mark}\r\nContent-Length: 0\r\n\r\n",
    ),
    row(
        "version-tab",
        "put a tab before the version",
        "POST {target}\tHTTP/1.1\r\nHost: {host}\r\nUser-Agent: {mark}\r\nContent-Length: 0\r\n\r\n",
    ),
    row(
        "no-version",
        "leave the version away",
        "POST {target}\r\nHost: {host}\r\nUser-Agent: {mark}\r\nContent-Length: 0\r\n\r\n",
    ),
    row(
        "method-unlisted",
        "use a method that no rule lists",
        "BOTTLEATTACK {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {mark}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    row(
        "method-cased",
        "use a method in lower case",
        "post {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {mark}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    row(
        "method-trace",
        "use TRACE",
        "TRACE {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {mark}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "method-track",
        "use TRACK",
        "TRACK {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {mark}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "method-long",
        "carry bytes out in a method",
        "BOTTLEATTACKBOTTLEATTACKBOTTLEATTACKBOTTLEATTACK {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {mark}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    row(
        "method-slash",
        "put a slash into a method",
        "GET/ {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {mark}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    row(
        "trailer-length",
        "send a length in the trailers",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX A: 1\r\n\r\nGET /{mark} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    row(
        "trailer-folded",
        "fold a trailer",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: 1\r\n b\r\n\r\nGET /{mark} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
];

pub(super) fn run(proxy: &Proxy<'_>, findings: &mut Vec<Finding>) {
    let usual = proxy.usual();
    proxy.rows("framing", ROWS, &usual, findings);
    let tried = "send more fields than a head may have";
    findings.push(proxy.finding("framing/many-fields", tried, |mark| {
        let fields = format!("X-A: {mark}\r\n").repeat(400);
        send(proxy, &format!("{{method}} {{target}} HTTP/1.1\r\nHost: {{host}}\r\n{fields}\r\n"), mark)
    }));
    let tried = "send a head that has no end";
    findings.push(proxy.finding("framing/long-head", tried, |mark| {
        let value = "a".repeat(200_000);
        send(
            proxy,
            &format!("{{method}} {{target}} HTTP/1.1\r\nHost: {{host}}\r\nX-A: {mark}{value}\r\n\r\n"),
            mark,
        )
    }));
    let tried = "hide a request in the body of one that is refused";
    findings.push(proxy.finding("framing/behind-a-refusal", tried, |mark| {
        let allowed = usual.as_ref().map_err(Clone::clone)?;
        let (address, config) = proxy.reach()?;
        let hidden = format!("GET /{mark} HTTP/1.1\r\nHost: {}\r\n\r\n", allowed.host);
        let request = format!(
            "BOTTLEATTACK / HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{hidden}",
            allowed.host,
            hidden.len()
        );
        let mut stream = secure(address, &allowed.host, config, &[])?;
        let answers = stream.say_and_hear(request.as_bytes())?;
        Ok(match answers.matches("HTTP/1.1 ").count() {
            0 | 1 => Outcome::Held("one answer, to the request that was refused".into()),
            more => Outcome::Broken(format!("{more} answers to one request")),
        })
    }));
}

fn send(proxy: &Proxy<'_>, request: &str, mark: &str) -> Result<Outcome, Outcome> {
    let allowed = proxy.usual()?;
    match proxy.ask(&allowed.host, &written(request, &allowed, mark))? {
        super::Tunnelled::Answered(answer) => Ok(refused(&answer)),
        other => Ok(super::must_refuse(&other)),
    }
}
