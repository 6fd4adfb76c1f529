//! Every tool with the environment that the agent has and no flag for proxy or trust: it reaches an allowed host, and
//! what it prints of a refusal has our reason, as far as it prints anything. `docs/clients.md` is the table of these.

use super::stack;
use crate::stack::{
    internet::{self, seen},
    project::{Stack, made_up},
};

/// Node.js 24, then what `scripts/setup` puts beside it.
const PATH: &str = "export PATH=/opt/node/bin:/opt/clients/bin:$PATH M=/opt/clients/node_modules";
const NOT_ALLOWED: &str = "bottle: unlisted.quickstart.test is not an allowed host";

/// A script in a folder of its own; `$AT` is a URL to ask.
fn run(stack: &Stack, user: &str, script: &str, at: &str) -> String {
    let script = format!("cd $(mktemp -d) && export AT={at} HOME=$PWD && {PATH} && exec 2>&1 && {script}");
    stack.agent_as(user, &script).text()
}

/// The same, below an allowed host and below one that is not.
#[track_caller]
fn at_both(stack: &Stack, user: &str, script: &str) -> String {
    let path = format!("/{}", made_up(""));
    let allowed = run(stack, user, script, &format!("https://files.quickstart.test{path}"));
    let count = seen(&path).len();
    assert!(count > 0, "it did not reach the origin: {allowed}");
    let refused = run(stack, user, script, &format!("https://unlisted.quickstart.test{path}"));
    assert_eq!(seen(&path).len(), count, "the origin saw what is refused");
    refused
}

/// It works, and the refusal can be read.
#[track_caller]
fn works_and_says_why(script: &str) {
    let Some(stack) = stack() else { return };
    let said = at_both(&stack, "agent", script);
    // Some break lines where a terminal would, in the middle of a word.
    let unbroken = |text: &str| text.split_whitespace().collect::<String>();
    assert!(unbroken(&said).contains(&unbroken(NOT_ALLOWED)), "{said}");
}

/// It works, and of a refusal it says no more than this.
#[track_caller]
fn works_and_says(script: &str, words: &str) {
    let Some(stack) = stack() else { return };
    let said = at_both(&stack, "agent", script);
    assert!(said.contains(words), "{said}");
}

#[test]
fn curl_without_its_variables() {
    works_and_says_why("env -u CURL_CA_BUNDLE -u SSL_CERT_FILE curl --silent --show-error $AT");
}

#[test]
fn wget_with_gnutls() {
    works_and_says_why("wget --output-document=- $AT");
}

#[test]
fn apt_as_a_user_and_as_root() {
    let Some(stack) = stack() else { return };
    let script = "mkdir -p lists/partial cache/archives/partial && : >status && \
        echo \"deb [trusted=yes] $AT x main\" >list && apt-get update -o Dir::State=$PWD -o Dir::State::status=$PWD/status \
        -o Dir::State::lists=$PWD/lists -o Dir::Cache=$PWD/cache -o Dir::Etc::sourcelist=$PWD/list \
        -o Dir::Etc::sourceparts=/dev/null -o Acquire::Retries=0";
    for (user, more) in [("agent", ""), ("0", " -o APT::Sandbox::User=root")] {
        let said = at_both(&stack, user, &format!("{script}{more}"));
        assert!(said.contains(NOT_ALLOWED), "{user}: {said}");
    }
}

#[test]
fn python_urllib_requests_httpx_and_aiohttp() {
    works_and_says_why(
        "cat >t.py <<'E'
import asyncio, os, urllib.request, aiohttp, httpx, requests
at = os.environ['AT']
async def session():
    async with aiohttp.ClientSession(trust_env=True) as session:
        async with session.get(at + '/aiohttp') as answer:
            answer.raise_for_status()
refused = []
for ask in [lambda: urllib.request.urlopen(at + '/urllib'), lambda: requests.get(at + '/requests').raise_for_status(),
            lambda: httpx.get(at + '/httpx').raise_for_status(), lambda: asyncio.run(session())]:
    try: ask()
    except Exception as error: refused.append('bottle: unlisted' in str(error))
assert refused in ([], [True] * 4), refused
requests.get(at).raise_for_status()
E
python3 t.py",
    );
}

#[test]
fn pip_a_url() {
    works_and_says_why("pip download --no-deps $AT/foo-1.0.tar.gz");
}

/// It shows nothing of what an index answers; what the agent is told at its start says so.
#[test]
fn pip_an_index() {
    works_and_says("pip download --no-deps --index-url $AT/simple foo", "from versions: none");
}

#[test]
fn uv_an_index() {
    works_and_says("uv pip install --target t --index-url $AT/simple foo", "403 Forbidden");
}

#[test]
fn poetry() {
    works_and_says(
        "cat >pyproject.toml <<E
[tool.poetry]
name = \"x\"
version = \"0.1.0\"
description = \"\"
authors = []
[tool.poetry.dependencies]
python = \"^3.9\"
foo = \"*\"
[[tool.poetry.source]]
name = \"s\"
url = \"$AT/simple\"
default = true
E
PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring poetry lock --no-interaction",
        "Authorization error accessing https://unlisted.quickstart.test/",
    );
}

#[test]
fn node_fetch_https_axios_and_undici() {
    works_and_says_why(
        "cat >t.js <<'E'
const [at, m] = [process.env.AT, process.env.M + '/'];
const https = (url) => new Promise((done, failed) =>
  require('https').get(url, (answer) => done(answer.resume())).on('error', failed));
const { fetch: undici, EnvHttpProxyAgent } = require(m + 'undici');
(async () => {
  const all = [
    (await fetch(at + '/fetch')).status,
    (await https(at + '/https')).statusCode,
    (await undici(at + '/undici', { dispatcher: new EnvHttpProxyAgent() })).status,
    (await require(m + 'axios').get(at + '/axios', { validateStatus: null })).status,
  ];
  if (new Set(all).size !== 1) throw new Error(all);
  console.log((await (await fetch(at)).json()).error?.message);
})();
E
node t.js",
    );
}

/// Debian's Node.js 18 has no switch for its own fetch; libraries with an agent of their own work.
#[test]
fn an_old_node_with_axios_only() {
    works_and_says_why(
        "/usr/bin/node -e \"require('$M/axios').get('$AT').catch((e) => console.log(e.response.statusText))\"",
    );
    let Some(stack) = stack() else { return };
    let fetch = "/usr/bin/node -e \"fetch('$AT').catch((e) => console.log(e.cause.code))\"";
    let said = run(&stack, "agent", fetch, "https://files.quickstart.test/");
    assert!(said.starts_with("EAI_AGAIN") || said.starts_with("ENOTFOUND"), "{said}");
}

#[test]
fn npm() {
    works_and_says_why("echo '{}' >package.json; node $M/npm/bin/npm-cli.js install --registry $AT/ left");
}

#[test]
fn pnpm() {
    works_and_says_why(
        "echo '{}' >package.json; node $M/pnpm/bin/pnpm.cjs add --registry $AT/ --fetch-retries 0 left",
    );
}

#[test]
fn yarn_1() {
    works_and_says_why("echo '{}' >package.json; node $M/yarn/bin/yarn.js add --registry $AT/ left");
}

/// With Debian's Node.js 18 too, which has no switch of its own.
#[test]
fn yarn_4() {
    for node in ["node", "/usr/bin/node"] {
        works_and_says_why(&format!(
            "echo '{{\"name\": \"x\"}}' >package.json; : >yarn.lock; export YARN_NPM_REGISTRY_SERVER=$AT \
             YARN_ENABLE_TELEMETRY=0; {node} $M/@yarnpkg/cli-dist/bin/yarn.js add left"
        ));
    }
}

#[test]
fn deno_and_bun_fetch() {
    let script = "console.log((await (await fetch('$AT')).json()).error?.message)";
    works_and_says_why(&format!("deno eval \"{script}\""));
    works_and_says_why(&format!("bun -e \"{script}\""));
}

#[test]
fn java_http_client() {
    works_and_says_why(
        "cat >T.java <<'E'
import java.net.URI;
import java.net.http.*;
public class T {
  public static void main(String[] arguments) throws Exception {
    var ask = HttpRequest.newBuilder(URI.create(System.getenv(\"AT\"))).build();
    System.out.println(HttpClient.newHttpClient().send(ask, HttpResponse.BodyHandlers.ofString()).body());
  }
}
E
java T.java",
    );
}

#[test]
fn maven() {
    works_and_says_why(
        "cat >s.xml <<E
<settings><mirrors><mirror><id>m</id><mirrorOf>*</mirrorOf><url>$AT</url></mirror></mirrors></settings>
E
cat >pom.xml <<E
<project><modelVersion>4.0.0</modelVersion><artifactId>a</artifactId>
<parent><groupId>g.test</groupId><artifactId>p</artifactId><version>1</version><relativePath/></parent></project>
E
/opt/clients/apache-maven-*/bin/mvn --batch-mode --settings s.xml -Dmaven.repo.local=$PWD/m2 validate",
    );
}

/// Debian's, of 2017: newer ones read the same properties.
#[test]
fn gradle() {
    works_and_says_why(
        "cat >build.gradle <<E
apply plugin: 'java'
repositories { maven { url '$AT' } }
dependencies { compile 'g.test:a:1' }
E
mkdir -p src/main/java && echo 'class T {}' >src/main/java/T.java
gradle --no-daemon --gradle-user-home $PWD/home build",
    );
}

#[test]
fn go_get() {
    works_and_says_why(
        "go mod init x.test/x; GOPROXY=$AT GONOSUMDB='*' GOFLAGS=-mod=mod go get a.test/b@latest",
    );
}

#[test]
fn cargo_an_index() {
    works_and_says_why(
        "mkdir src; : >src/lib.rs; export CARGO_REGISTRIES_R_INDEX=sparse+$AT/ CARGO_NET_RETRY=0
printf '[package]\\nname = \"x\"\\nversion = \"0.1.0\"\\n[dependencies]\\nfoo = {version = \"1\", registry = \"r\"}\\n' >Cargo.toml
cargo generate-lockfile",
    );
}

#[test]
fn cargo_a_git_dependency_over_ssh() {
    let Some(stack) = stack() else { return };
    let script = "mkdir src; : >src/lib.rs
printf '[package]\\nname = \"x\"\\nversion = \"0.1.0\"\\n[dependencies]\\nfoo = {git = \"%s\"}\\n' $AT >Cargo.toml
CARGO_NET_RETRY=0 cargo generate-lockfile";
    let found = run(&stack, "agent", script, "ssh://git@github.com/acme/small.git");
    assert!(found.contains("-> origin/HEAD"), "{found}");
    let refused = run(&stack, "agent", script, "ssh://git@github.com/acme/none.git");
    assert!(refused.contains("remote: bottle: /acme/none.git"), "{refused}");
}

#[test]
fn ruby_net_http_and_gem() {
    works_and_says_why("ruby -rnet/http -e 'puts Net::HTTP.get_response(URI(ENV[\"AT\"])).message'");
    works_and_says_why("gem install --clear-sources --source $AT/ foo");
}

#[test]
fn composer() {
    works_and_says_why(
        "cat >composer.json <<E
{\"repositories\": [{\"packagist\": false}, {\"type\": \"composer\", \"url\": \"$AT\"}], \"require\": {\"a/b\": \"*\"}}
E
COLUMNS=200 composer install --no-interaction",
    );
}

/// Chromium is that of this machine, whose system the image is a smaller one of.
const CHROMIUM: &str = "export CHROMIUM=/opt/host-lib/chromium/chromium \
    LD_LIBRARY_PATH=$(echo /opt/host-lib/*-linux-gnu /opt/host-lib/*-linux-gnu/pulseaudio | tr ' ' :)";

#[test]
fn chromium() {
    works_and_says_why(&format!(
        "{CHROMIUM}; $CHROMIUM --headless --no-sandbox --disable-gpu --user-data-dir=$PWD/profile --dump-dom $AT"
    ));
}

#[test]
fn playwright() {
    works_and_says_why(&format!(
        "cat >t.js <<'E'
(async () => {{
  const options = {{ executablePath: process.env.CHROMIUM, args: ['--headless=new', '--disable-gpu'] }};
  const browser = await require(process.env.M + '/playwright-core').chromium.launch(options);
  const page = await browser.newPage();
  await page.goto(process.env.AT);
  console.log(await page.textContent('body'));
  await browser.close();
}})();
E
{CHROMIUM}; node t.js"
    ));
}

#[test]
fn git_in_a_folder_of_another_user() {
    let Some(stack) = stack() else { return };
    stack.agent_as("0", "git init --quiet /work/of-root").ok();
    let said = stack.agent("git -C /work/of-root status --porcelain --branch").ok();
    assert!(said.out.starts_with("## No commits yet"), "{}", said.text());
}

#[test]
fn the_agent_is_told_what_is_allowed_and_why_not() {
    let Some(stack) = stack() else { return };
    let page = stack.agent("curl --silent --show-error https://bottle.internal/").ok().out;
    let github = "\ngithub.com, the proxy adds GITHUB_TOKEN\n  usual methods /acme/app.git and below\n";
    assert!(page.contains(github), "{page}");
    let explain = |url: &str| stack.agent(&format!("/run/bottle/bottle explain GET {url}"));
    let allowed = explain("https://api.quickstart.test/v1/things/1");
    assert!(allowed.code == Some(0) && allowed.out.starts_with("allowed: GET https://api"), "{allowed:?}");
    let denied = explain("https://api.quickstart.test/v2");
    assert_eq!(denied.code, Some(1), "{denied:?}");
    let sentence = "denied [path_not_allowed]: GET https://api.quickstart.test/v2\n  = note: /v2 is";
    assert!(denied.out.starts_with(sentence), "{denied:?}");
    // A manifest that the agent wrote says nothing of what holds.
    let own = "cd $(mktemp -d) && printf 'version: 1\\nname: x\\nagent: {image: x}\\negress: {allowlist: [x.test]}\\n' \
               >bottle.yaml && /run/bottle/bottle explain GET https://x.test/";
    let said = stack.agent(own);
    assert!(said.out.starts_with("denied [host_not_allowed]"), "{said:?}");
}

/// What it sends to the API has the text in it; the origin shows bodies on every path but that of the API itself.
#[test]
fn claude_code_reads_what_it_is_told() {
    let Some(stack) = stack() else { return };
    let path = format!("/{}", made_up(""));
    let script = "ANTHROPIC_BASE_URL=$AT timeout 60 claude -p 'say hi'";
    let said = stack.agent(&format!("cd && export AT=https://files.quickstart.test{path} && {script}"));
    let log = internet::log();
    let bodies: String =
        log.lines().filter(|line| line.contains("\"body\"") && line.contains(&path)).collect();
    assert!(bodies.contains("You work in a bottle"), "{}", said.text());
}
