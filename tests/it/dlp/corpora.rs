//! Two corpora, made up anew on every run: ordinary material, of which nothing may be refused, and leaks. Both figures are
//! printed. The part of each that was written without a look at the scanner is counted apart.

use super::{alnum, b64, join, kinds::tokens, letters, noise, scanner};
use base64::Engine as _;
use bottle::dlp::Scanner;
use fs_err as fs;
use std::path::{Path, PathBuf};

/// Files of text below a folder of this repository, in order.
fn files(folder: &str, into: &mut Vec<PathBuf>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut entries: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            files(&name, into);
        } else {
            into.push(path);
        }
    }
}

fn chat(text: &str) -> String {
    serde_json::json!({"model": "m", "max_tokens": 4096, "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Read the file."}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_01A09q90qw90lq917835lq9",
            "content": text}]}]})
    .to_string()
}

fn numbered(text: &str) -> String {
    text.lines().enumerate().map(|(at, line)| format!("{:6}→{line}\n", at + 1)).collect()
}

fn diff(text: &str) -> String {
    let added: String = text.lines().map(|line| format!("+{line}\n")).collect();
    format!("diff --git a/x b/x\nindex 83db48f..bf2a1c3 100644\n--- a/x\n+++ b/x\n@@ -0,0 +1,9 @@\n{added}")
}

fn hex(seed: u64, length: usize) -> String {
    letters(b"0123456789abcdef", seed, length)
}

fn uuid(seed: u64) -> String {
    let hex = hex(seed, 32);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// The signed addresses that ten services hand out for a download, and requests that are signed.
fn signed(seed: u64) -> Vec<String> {
    let (a, h) = (|n| alnum(seed, n), |n| hex(seed, n));
    let key = join(&["AK", "IA", &letters(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", seed, 16)]);
    let temporary = join(&["AS", "IA", &letters(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", seed, 16)]);
    let jwt = join(&["ey", "JhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.", "eyJ", &a(60), ".", &a(43)]);
    vec![
        format!("https://b.s3.amazonaws.com/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={key}%2F20260101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Expires=300&X-Amz-SignedHeaders=host&X-Amz-Signature={}", h(64)),
        format!("https://b.s3.amazonaws.com/k?X-Amz-Credential={temporary}/20260101/us-east-1/s3/aws4_request&X-Amz-Security-Token={}&X-Amz-Signature={}", a(400), h(64)),
        format!("https://b.s3.amazonaws.com/k?AWSAccessKeyId={key}&Expires=1790000000&Signature={}%3D", a(27)),
        format!("https://acct.blob.core.windows.net/c/b?sp=r&sv=2024-11-04&sr=b&se=2026-01-01T00%3A00%3A00Z&sig={}%3D", a(43)),
        format!("https://release-assets.githubusercontent.com/x/{}?sp=r&sv=2018-11-09&sr=b&spr=https&se=2026-01-01T00%3A00%3A00Z&rscd=attachment&skoid={}&sks=b&skv=2018-11-09&sig={}%3D&jwt={jwt}&response-content-type=application%2Foctet-stream", h(8), uuid(seed), a(43)),
        format!("https://storage.googleapis.com/b/o?X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential=x%40p.iam.gserviceaccount.com%2F20260101%2Fauto%2Fstorage%2Fgoog4_request&X-Goog-Expires=900&X-Goog-Signature={}", h(256)),
        format!("https://d111111abcdef8.cloudfront.net/f?Expires=1790000000&Signature={}__&Key-Pair-Id={}", a(340), join(&["AP", "KA", &letters(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", seed, 16)])),
        format!("https://raw.githubusercontent.com/o/p/main/f?token={}", join(&["GHSA", "T0AAAAAAB", &letters(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", seed, 26)])),
        format!("https://firebasestorage.googleapis.com/v0/b/x/o/f?alt=media&token={}", uuid(seed)),
        format!("https://cdn.discordapp.com/attachments/1/2/f.png?ex=66{}&is=66{}&hm={}&", h(6), h(6), h(64)),
        format!("https://x.oss-cn-hangzhou.aliyuncs.com/o?OSSAccessKeyId=LTAI{}&Expires=1790000000&Signature={}%3D", a(20), a(27)),
        format!("https://results-receiver.example/artifacts?sig={}%3D&sr=b&se=2026-01-01T00%3A00%3A00Z&sp=cw&sv=2024-11-04", a(43)).replace("sig=", "ske=2026&skv=2024&rsct=x&x="),
        format!("authorization: AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature={}", h(64)),
        format!("400;chunk-signature={}\r\n{}\r\n0;chunk-signature={}\r\n\r\n", h(64), "a".repeat(1024), hex(seed + 1, 64)),
    ]
}

/// What documentation prints where a secret would stand.
fn documented() -> Vec<String> {
    let mut texts: Vec<String> = [
        "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "Number 4111 1111 1111 1111, any later date, any CVC: the test card", "card 4242424242424242 cvc 123",
        "{\"ssn\": \"123-45-6789\"}", "SSN 078-05-1120", "IBAN DE89 3704 0044 0532 0130 00", "GB82 WEST 1234 5698 7654 32",
        "jdbc:oracle:thin:scott/tiger@localhost", "oracle://scott:tiger@localhost:1521/x",
        "postgres://postgres:postgres@localhost/app", "postgres://user:password@db.example.com/app",
        "redis://:yourpassword@cache:6379", "amqp://guest:guest@rabbit:5672", "https://user:pass@git.example/x",
        "export OPENAI_API_KEY=your-key-here", "OPENAI_API_KEY=sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "GITHUB_TOKEN=<TOKEN>", "token: ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "Authorization: Bearer YOUR_API_TOKEN",
        "api_key: ${API_KEY}", "password: {{ vault_password }}", "API_KEY=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "client_secret=${{ secrets.CLIENT_SECRET }}", "sk-ant-api03-your-key-here-0000000000000000000",
        "xoxb-your-bot-token-goes-here", "hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
        "glpat-xxxxxxxxxxxxxxxxxxxx", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
        "let header = \"-----BEGIN PRIVATE KEY-----\"; // then base64, then -----END PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\n...\n-----END RSA PRIVATE KEY-----", "machine learning login page password reset",
        "machine example.com login myname password your-password", "password=hunter2", "secret_key: changeme-changeme-12345",
    ]
    .map(str::to_owned)
    .into();
    texts.push(format!(
        "{{\"jsonrpc\": \"2.0\", \"method\": \"eth_getTransactionByHash\", \"params\": [\"0x{}\"]}}",
        hex(9, 64)
    ));
    texts
}

/// Texts as machines write them.
fn written(seed: u64) -> Vec<String> {
    let (a, h, data) = (|n| alnum(seed, n), |n| hex(seed, n), |n| b64::STANDARD.encode(noise(seed, n)));
    let safe = b64::URL_SAFE_NO_PAD.encode(noise(seed + 7, 3000));
    vec![
        format!("name = \"serde\"\nversion = \"1.0.{seed}\"\nchecksum = \"{}\"\n", h(64)),
        format!(
            "\"node_modules/a\": {{\"version\": \"1.{seed}.0\", \"integrity\": \"sha512-{}\"}}",
            data(64)
        ),
        format!("a==1.0 \\\n    --hash=sha256:{} \\\n    --hash=sha256:{}\n", h(64), hex(seed + 1, 64)),
        format!(
            "golang.org/x/net v0.{seed}.0 h1:{}\ngolang.org/x/net v0.1.0/go.mod h1:{}\n",
            data(32),
            data(32)
        ),
        format!(
            "commit {}\nAuthor: A <a@x.example>\nDate:   Mon Jan 1 00:00:00 2026\n\nindex {}..{} 100644\n",
            h(40),
            h(7),
            hex(seed + 2, 7)
        ),
        format!(
            "2026-01-01T00:00:00Z INFO request id={} trace={} took=12ms ip=10.0.{}.7\n",
            uuid(seed),
            h(32),
            seed % 250
        ),
        format!(
            "{{\"cells\": [{{\"output_type\": \"display_data\", \"data\": {{\"image/png\": \"{}\"}}}}]}}",
            data(4000)
        ),
        format!(
            "{{\"id\": \"msg_01{}\", \"role\": \"assistant\", \"content\": [{{\"type\": \"thinking\", \"signature\": \"{}\"}}]}}",
            a(22),
            data(600)
        ),
        format!("{{\"encrypted_content\": \"gAAAAAB{safe}\"}}"),
        format!("{{\"nextPageToken\": \"{}\", \"etag\": \"W/\\\"{}\\\"\"}}", a(120), h(40)),
        format!(
            "{{\"csrf_token\": \"{}\", \"next_token\": \"{}\", \"sync_token\": \"{}\"}}",
            a(64),
            a(80),
            a(44)
        ),
        format!(
            "etag: \"{}\"\nx-request-id: {}\ncf-ray: {}-FRA\nset-cookie: _ga=GA1.2.{}.1700000000\n",
            h(32),
            uuid(seed),
            h(16),
            1_000_000_000 + seed
        ),
        format!("docker pull registry.example/app@sha256:{}\n", h(64)),
        format!(
            "<svg><path d=\"M{}.{} {}.5L10 20z\"/></svg><img src=\"data:image/png;base64,{}\">",
            seed,
            seed * 7,
            seed * 3,
            data(900)
        ),
        format!(
            "sourceMappingURL=data:application/json;base64,{}",
            b64::STANDARD.encode(format!("{{\"version\":3,\"mappings\":\"{}\"}}", "AAAA;".repeat(90)))
        ),
        format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{} me@host\n", data(32)),
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", data(800)),
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", data(200)),
        format!(
            "0.{}, -0.{}, 1.5e-{}, 3.14159265358979323846, 4111111111111111.{}",
            seed * 7919,
            seed * 104_729,
            seed % 300,
            seed
        ),
        format!(
            "tel +49 170 {} {} order 4539148803436467{} invoice 2026-{:02}-{:04}",
            1000 + seed,
            2000 + seed,
            seed,
            seed % 12 + 1,
            seed
        ),
        format!(
            "const taskAntDesignVue = require('task-ant-design-vue-component-library-{seed}');\nimport {{ sk }} from 'disk-proj-template-generator-{seed}';"
        ),
        format!(
            "apiKey: process.env.API_KEY_{seed}, password: hash(input), token: this.tokens[{seed}].value, secretKey: config.get('secretKey')"
        ),
        format!(
            "def test_{seed}(self):\n    self.client.login(password=self.password)\n    assert response.json()['access_token'] == tokens.access_token\n"
        ),
        format!("{:08x}: {} {}  ................\n", seed * 16, hex(seed, 4), hex(seed + 1, 4)),
        format!(
            "MAC 00:1a:2b:3c:{:02x}:5f, fingerprint {}\n",
            seed % 256,
            (0..20).map(|i| format!("{:02x}", (seed * 31 + i * 7) % 256)).collect::<Vec<_>>().join(":")
        ),
        String::from_utf8_lossy(&noise(seed, 2000)).into_owned(),
        format!(
            "Größe: {seed} — naïve café, Москва и Санкт-Петербург, 東京都, αβγ, ｆｕｌｌ ｗｉｄｔｈ ｔｅｘｔ, zero\u{200b}width\u{200d}joiner 👩‍💻\n"
        ),
        format!("https://x.example/search?q=a&state={}&code={}&cursor={}\n", a(32), a(40), a(60)),
        format!(
            "{{\"tx\": \"0x{}\", \"from\": \"0x{}\", \"blockHash\": \"0x{}\"}}",
            h(64),
            h(40),
            hex(seed + 3, 64)
        ),
        format!(
            "ARN arn:aws:iam::{:012}:role/x, instance i-0{}, ami-0{}\n",
            100_000_000_000 + seed,
            h(16),
            h(16)
        ),
    ]
}

fn refused(scanner: &Scanner, texts: impl IntoIterator<Item = (String, Vec<u8>)>) -> (usize, Vec<String>) {
    let (mut count, mut refused) = (0, Vec::new());
    for (what, text) in texts {
        count += 1;
        if let Some(found) = scanner.text(&text) {
            let at = usize::try_from(found.offset).unwrap();
            let shown =
                String::from_utf8_lossy(&text[at.saturating_sub(30)..text.len().min(at + 60)]).into_owned();
            refused.push(format!("{what}: {} {:?}: {shown:?}", found.pattern, found.encodings));
        }
    }
    (count, refused)
}

/// Where secrets are made up to be found.
const WITH_SECRETS: [&str; 3] =
    ["src/dlp/", "docs/codes/blocked_by_pipelock.md", "docs/codes/credential_in_request.md"];

/// Files of the project itself, the larger ones in pieces, in the ways in which a conversation carries them.
fn own_files() -> Vec<(String, Vec<u8>)> {
    let mut paths = Vec::new();
    for folder in ["src", "docs", "examples", "schema", "scripts", "tests/data", "tests/foreign"] {
        files(folder, &mut paths);
    }
    let mut texts = Vec::new();
    for path in paths {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display().to_string();
        if WITH_SECRETS.iter().any(|it| name.starts_with(it)) {
            continue;
        }
        let text: String = text.chars().take(20_000).collect();
        texts.push((format!("{name} in a chat"), chat(&numbered(&text)).into_bytes()));
        texts.push((format!("{name} as a diff"), diff(&text).into_bytes()));
    }
    texts
}

#[test]
fn ordinary_material_is_not_refused() {
    let scanner = scanner();
    let seeds = 1..=60_u64;
    let named = |kind: &str, texts: Vec<String>| -> Vec<(String, Vec<u8>)> {
        texts.into_iter().enumerate().map(|(at, text)| (format!("{kind} {at}"), text.into_bytes())).collect()
    };
    let made: Vec<_> = seeds.clone().flat_map(|seed| named("written", written(seed))).collect();
    let signed: Vec<_> = seeds.flat_map(|seed| named("signed", signed(seed))).collect();
    let chats: Vec<_> = signed
        .iter()
        .take(60)
        .map(|(what, text)| (format!("{what} in a chat"), chat(&String::from_utf8_lossy(text)).into_bytes()))
        .collect();
    let mut all = Vec::new();
    let mut counted = Vec::new();
    for (part, texts) in [
        ("written by machines", made),
        ("signed by origins", signed),
        ("signed, in a chat", chats),
        ("of documentation", named("documented", documented())),
        ("files of this project, which were written without it in mind", own_files()),
    ] {
        let (count, refused) = refused(&scanner, texts);
        counted.push(format!("{count} {part}: {} refused", refused.len()));
        all.extend(refused);
    }
    println!("ordinary material\n  {}", counted.join("\n  "));
    assert!(all.is_empty(), "{} refused:\n{}", all.len(), all.join("\n"));
}

/// Where an agent would have a secret from, or would put it.
fn leaks(token: &str) -> Vec<String> {
    vec![
        chat(&format!("# .env\nDEBUG=1\n{token}\n")),
        chat(&numbered(&format!("line\n{token}\nline\n"))),
        diff(&format!("a\n{token}\n")),
        format!("curl -H 'Authorization: Bearer {token}' https://x.example"),
        format!("<config><key>{token}</key></config>"),
        format!("key: |\n  {token}\nother: 1\n"),
        format!(
            "{{\"a\":1}}\n{{\"b\":\"{}\"}}\n",
            token.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
        ),
        format!("--boundary\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n{token}\r\n--boundary--"),
        format!("{} {token}{}", "a ".repeat(9_000), "\nb".repeat(9_000)),
    ]
}

#[test]
fn leaks_are_found() {
    let scanner = scanner();
    let (mut count, mut missed) = (0, Vec::new());
    for (pattern, token) in tokens() {
        for (place, text) in leaks(&token).into_iter().enumerate() {
            count += 1;
            if scanner.text(&text).is_none() {
                missed.push(format!("{pattern}, place {place}"));
            }
        }
    }
    println!("leaks\n  {count} of {} kinds: {} missed", Scanner::builtin().count(), missed.len());
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
}
