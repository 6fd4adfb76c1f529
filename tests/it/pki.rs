//! Certificates as other people's programs see them: OpenSSL, Python, Go, Java.

#![expect(clippy::print_stderr, reason = "says which program is absent")]

use bottle::clock::Clock;
use bottle::pki::{
    CaKind, CertificateAuthority, LeafIssuer, TRUST_STORE_PASSWORD, browser_policy, ca_bundle_pem,
    java_trust_store,
};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

/// A CA that is valid today, as files: `ca.pem`, `ca-key.pem`.
fn authority(dir: &Path) -> CertificateAuthority {
    let ca = CertificateAuthority::mint(CaKind::Agent, "demo", &Clock::system()).unwrap();
    fs_err::write(dir.join("ca.pem"), ca.certificate_pem()).unwrap();
    fs_err::write(dir.join("ca-key.pem"), ca.key_sec1_pem().unwrap().as_bytes()).unwrap();
    ca
}

/// Runs a program that the set-up script installs. Absent: one line and `None`, a failure where `CI` is set.
fn program(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(error) => {
            let name = command.get_program().to_string_lossy().into_owned();
            assert!(std::env::var_os("CI").is_none(), "{name}: {error}");
            eprintln!("skipped what needs `{name}`, which is absent here");
            None
        }
    }
}

fn stdout(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn openssl_accepts_the_chain_in_strict_mode() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = LeafIssuer::new(authority(dir.path()), Clock::system()).unwrap();
    let leaf = issuer.issue("api.example").unwrap();
    fs_err::write(dir.path().join("leaf.der"), &leaf.cert[0]).unwrap();
    let verify = |host: &str| {
        program(Command::new("openssl").current_dir(dir.path()).args([
            "verify",
            "-x509_strict",
            "-check_ss_sig",
            "-purpose",
            "sslserver",
            "-verify_hostname",
            host,
            "-CAfile",
            "ca.pem",
            "leaf.der",
        ]))
    };
    let Some(accepted) = verify("api.example") else { return };
    assert_eq!(stdout(&accepted).trim(), "leaf.der: OK");
    assert!(!verify("other.example").unwrap().status.success(), "the leaf is for one name only");
}

#[test]
fn openssl_sees_a_ca_that_may_sign_leaves_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    authority(dir.path());
    let show = [
        "x509",
        "-in",
        "ca.pem",
        "-noout",
        "-subject",
        "-ext",
        "basicConstraints,keyUsage,subjectKeyIdentifier",
    ];
    let Some(output) = program(Command::new("openssl").current_dir(dir.path()).args(show)) else { return };
    let text = stdout(&output);
    assert!(text.contains("bottle demo agent CA"), "{text}");
    assert!(text.contains("Basic Constraints: critical\n    CA:TRUE, pathlen:0"), "{text}");
    assert!(text.contains("Key Usage: critical\n    Certificate Sign, CRL Sign"), "{text}");
    assert!(text.contains("Subject Key Identifier"), "{text}");
}

#[test]
fn openssl_reads_the_key_and_its_curve() {
    let dir = tempfile::tempdir().unwrap();
    authority(dir.path());
    let key = fs_err::read_to_string(dir.path().join("ca-key.pem")).unwrap();
    assert!(key.starts_with("-----BEGIN EC PRIVATE KEY-----\n"));
    let read = ["ec", "-in", "ca-key.pem", "-noout", "-text"];
    let Some(output) = program(Command::new("openssl").current_dir(dir.path()).args(read)) else { return };
    assert!(stdout(&output).contains("ASN1 OID: prime256v1"));
    let parse = ["asn1parse", "-in", "ca-key.pem"];
    let structure = stdout(&program(Command::new("openssl").current_dir(dir.path()).args(parse)).unwrap());
    assert!(
        structure.contains("OBJECT            :prime256v1"),
        "the curve parameters are missing: {structure}"
    );
}

/// One TLS server that answers one connection with `ok`.
fn serve_once(leaf: Arc<rustls::sign::CertifiedKey>) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(leaf)));
    let config = Arc::new(config);
    std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let tls = rustls::ServerConnection::new(config).unwrap();
        let mut stream = rustls::StreamOwned::new(tls, socket);
        let mut asked = [0; 3];
        if stream.read_exact(&mut asked).is_ok() {
            stream.write_all(b"ok").unwrap();
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    port
}

#[test]
fn python_completes_a_strict_handshake() {
    const CLIENT: &str = r#"
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
context.verify_flags |= ssl.VERIFY_X509_STRICT
with socket.create_connection(("127.0.0.1", int(sys.argv[2])), timeout=10) as plain:
    with context.wrap_socket(plain, server_hostname="api.example") as tls:
        tls.sendall(b"hi\n")
        print(tls.recv(2).decode())
"#;
    let dir = tempfile::tempdir().unwrap();
    let ca = authority(dir.path());
    let bundle = dir.path().join("bundle.pem");
    fs_err::write(&bundle, ca_bundle_pem(&[&ca.certificate_pem()])).unwrap();
    let leaf = LeafIssuer::new(ca, Clock::system()).unwrap().issue("api.example").unwrap();
    let port = serve_once(leaf).to_string();
    let python = &mut Command::new("python3");
    let Some(output) = program(python.args(["-c", CLIENT]).arg(&bundle).arg(&port)) else { return };
    assert_eq!(stdout(&output).trim(), "ok");
}

#[test]
fn go_reads_the_key_as_pipelock_does_and_verifies_the_chain() {
    const PROGRAM: &str = r#"package main

import ("crypto/ecdsa"; "crypto/x509"; "encoding/pem"; "fmt"; "os")

func must(err error) { if err != nil { fmt.Println(err); os.Exit(1) } }

func main() {
	key, err := os.ReadFile("ca-key.pem"); must(err)
	block, _ := pem.Decode(key)
	private, err := x509.ParseECPrivateKey(block.Bytes); must(err)
	text, err := os.ReadFile("ca.pem"); must(err)
	block, _ = pem.Decode(text)
	ca, err := x509.ParseCertificate(block.Bytes); must(err)
	if !private.PublicKey.Equal(ca.PublicKey.(*ecdsa.PublicKey)) { fmt.Println("other key"); os.Exit(1) }
	der, err := os.ReadFile("leaf.der"); must(err)
	leaf, err := x509.ParseCertificate(der); must(err)
	roots := x509.NewCertPool(); roots.AddCert(ca)
	_, err = leaf.Verify(x509.VerifyOptions{DNSName: "api.example", Roots: roots}); must(err)
	fmt.Println("ok")
}
"#;
    let dir = tempfile::tempdir().unwrap();
    let leaf = LeafIssuer::new(authority(dir.path()), Clock::system()).unwrap().issue("api.example").unwrap();
    fs_err::write(dir.path().join("leaf.der"), &leaf.cert[0]).unwrap();
    fs_err::write(dir.path().join("main.go"), PROGRAM).unwrap();
    let go = &mut Command::new("go");
    let Some(output) = program(go.current_dir(dir.path()).args(["run", "main.go"])) else { return };
    assert_eq!(stdout(&output).trim(), "ok");
}

#[test]
fn java_lists_every_entry_of_the_store_as_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let ca = authority(dir.path());
    let bundle = ca_bundle_pem(&[&ca.certificate_pem()]);
    let certificates = bundle.matches("BEGIN CERTIFICATE").count();
    assert!(certificates > 100, "the public roots are in the bundle: {certificates}");
    fs_err::write(dir.path().join("store.p12"), java_trust_store(&[&ca.certificate_pem()]).unwrap()).unwrap();
    let keytool = &mut Command::new("keytool");
    let list =
        ["-J-Duser.language=en", "-list", "-keystore", "store.p12", "-storetype", "PKCS12", "-storepass"];
    let Some(output) = program(keytool.current_dir(dir.path()).args(list).arg(TRUST_STORE_PASSWORD)) else {
        return;
    };
    let text = stdout(&output);
    assert_eq!(text.matches("trustedCertEntry").count(), certificates, "{text}");
    let fingerprint = ca.fingerprint().to_uppercase();
    let colons: Vec<&str> = (0..32).map(|n| &fingerprint[2 * n..2 * n + 2]).collect();
    assert!(text.contains(&colons.join(":")), "the agent CA is in the store: {text}");
}

/// Chromium itself reads it in `stack::served::tools::chromium`.
#[test]
fn a_policy_for_browsers_holds_every_certificate_of_every_text() {
    let mint = |kind| CertificateAuthority::mint(kind, "dev", &Clock::system()).unwrap().certificate_pem();
    let [one, two] = [mint(CaKind::Agent), mint(CaKind::Pipelock)];
    let policy = browser_policy(&[&format!("{one}# a comment\n{two}"), &one]).unwrap();
    let policy: serde_json::Value = serde_json::from_slice(&policy).unwrap();
    // The text of a PEM file is the same base64, in lines.
    let body = |pem: &str| pem.lines().filter(|line| !line.starts_with("-----")).collect::<String>();
    assert_eq!(policy, serde_json::json!({"CACertificates": [body(&one), body(&two), body(&one)]}));
}
