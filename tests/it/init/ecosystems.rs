//! What is read from each kind of project, and from the tools where a project leaves it to them.

use super::{Site, lines};

/// The hosts that a project of these files has, with where they were read; `render` takes each.
#[track_caller]
fn hosts(files: &[(&str, &str)], wanted: &[&str]) -> serde_json::Value {
    let site = Site::new(files);
    let found = site.found("shell");
    assert_eq!(lines(&found), wanted, "{found:#}");
    site.init(&["--agent", "shell"]);
    found
}

fn not_known(found: &serde_json::Value) -> String {
    found["not_known"].to_string()
}

#[test]
fn npm() {
    let lock = r#"{"lockfileVersion": 1, "dependencies": {
      "a": {"resolved": "https://packages.test/a.tgz", "dependencies": {"b": {"resolved": "https://packages.test:443/b.tgz"}}},
      "c": {"resolved": "git+ssh://git@forge.test/acme/c.git#0123"}, "d": {"resolved": "file:../d"}, "e": {"resolved": true}}}"#;
    let found = hosts(
        &[("package-lock.json", lock), (".nvmrc", "v22.1.0\n"), ("package.json", "{}")],
        &["forge.test /acme/c.git +POST <- package-lock.json", "packages.test <- package-lock.json"],
    );
    assert_eq!(found["languages"]["node"]["version"], "22.1.0");
    assert_eq!(not_known(&found), "[]");
    let npmrc = "registry=https://mirror.test:8443/npm/\n@acme:registry=https://npm.acme.test/\n//npm.acme.test/:_authToken=t0k3n\n";
    let found = hosts(
        &[("package.json", "{}"), (".npmrc", npmrc)],
        &["mirror.test 8443 <- .npmrc", "npm.acme.test <- .npmrc"],
    );
    assert!(
        !found.to_string().contains("t0k3n") && found["notes"][0].as_str().unwrap().contains("token_ref"),
        "{found}"
    );
    let found = hosts(&[("package.json", "{}")], &[]);
    assert!(not_known(&found).contains("where npm fetches packages from"), "{found}");
}

#[test]
fn npm_s_own_default_is_read_from_npm() {
    let site = Site::new(&[("package.json", "{}")]);
    let text = "define('registry', {\n  default: 'https://packages.test/',\n  type: url })";
    site.write("npm/node_modules/@npmcli/config/lib/definitions/definitions.js", text);
    site.write("npm/bin/npm-cli.js", "touch ran");
    fs_err::os::unix::fs::symlink("../npm/bin/npm-cli.js", site.root.join("bin/npm")).unwrap();
    assert_eq!(lines(&site.found("shell")), ["packages.test <- npm's own default"]);
    // A program in the project is none of the person's tools.
    let site = Site::new(&[("package.json", "{}")]);
    site.write(
        "app/npm/node_modules/@npmcli/config/lib/definitions/definitions.js",
        &text.replace("packages", "evil"),
    );
    site.write("app/npm/bin/npm", "");
    let mut command = site.command(&["init", "--print", "--agent", "shell"]);
    let ran = command.env("PATH", site.root.join("app/npm/bin")).output().unwrap();
    let text = String::from_utf8(ran.stdout).unwrap();
    assert!(!text.contains("evil") && text.contains("# Not known:\n#   where npm fetches"), "{text}");
}

#[test]
fn yarn() {
    let first = "# yarn lockfile v1\n\na@^1:\n  version \"1.0.0\"\n  resolved \"https://packages.test/a/-/a-1.tgz#0123\"\n";
    hosts(&[("yarn.lock", first)], &["packages.test <- yarn.lock"]);
    let berry = "__metadata:\n  version: 8\n\n\"a@npm:^1\":\n  resolution: \"a@npm:1.0.0\"\n\n\"@s/b@https://forge.test/acme/b.git\":\n  \
                 resolution: \"@s/b@https://forge.test/acme/b.git#commit=0123\"\n";
    let yarnrc = "npmRegistryServer: \"https://yarn.test\"\nnpmScopes:\n  acme:\n    npmRegistryServer: https://npm.acme.test\n    npmAuthToken: t0k3n\n";
    let found = hosts(
        &[
            ("yarn.lock", berry),
            (".yarnrc.yml", yarnrc),
            ("package.json", "{\"packageManager\": \"yarn@4.1.0+sha512.00\"}"),
        ],
        &[
            "forge.test /acme/b.git +POST <- yarn.lock",
            "npm.acme.test <- .yarnrc.yml",
            "yarn.test <- .yarnrc.yml",
        ],
    );
    assert!(
        found["context"]["agent/Dockerfile"]
            .as_str()
            .unwrap()
            .contains("npm install --global @yarnpkg/cli-dist@4.1.0")
    );
    assert!(!found.to_string().contains("t0k3n"));
    // The program that the project holds says what it asks when nothing else does; it is not run.
    let program =
        "x={npmRegistryServer:{description:\"y\",type:\"STRING\",default:\"https://yarn-default.test\"}}";
    hosts(
        &[("yarn.lock", berry), (".yarn/releases/yarn-4.1.0.cjs", program)],
        &["forge.test /acme/b.git +POST <- yarn.lock", "yarn-default.test <- .yarn/releases/yarn-4.1.0.cjs"],
    );
    assert!(
        not_known(&hosts(&[("yarn.lock", "__metadata:\n  version: 8\n")], &[]))
            .contains("where yarn fetches")
    );
}

#[test]
fn pnpm() {
    let lock = "lockfileVersion: '9.0'\npackages:\n  a@1.0.0:\n    resolution: {integrity: sha512-x==}\n  b@file:\n    \
                resolution: {tarball: https://files.test/b.tgz, integrity: x}\n  c:\n    resolution: {type: git, repo: https://forge.test/acme/c.git, commit: '01'}\n";
    let found = hosts(
        &[
            ("pnpm-lock.yaml", lock),
            (".npmrc", "registry=https://packages.test/\n"),
            ("package.json", "{\"packageManager\": \"pnpm@9.1.0\"}"),
        ],
        &[
            "files.test <- pnpm-lock.yaml",
            "forge.test /acme/c.git +POST <- pnpm-lock.yaml",
            "packages.test <- .npmrc",
        ],
    );
    assert!(
        found["context"]["agent/Dockerfile"].as_str().unwrap().contains("npm install --global pnpm@9.1.0")
    );
}

const CARGO_LOCK: &str = "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+https://git.test/index\"\n\
    [[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"git+https://forge.test/acme/b?branch=main#0123\"\n\
    [[package]]\nname = \"c\"\nversion = \"1.0.0\"\nsource = \"sparse+https://crates.acme.test/index/\"\n";

#[test]
fn cargo() {
    let toolchain = "[toolchain]\nchannel = \"1.90\"\ncomponents = [\"clippy\", \"$(id)\"]\n";
    let files =
        [("Cargo.toml", "[package]\n"), ("Cargo.lock", CARGO_LOCK), ("rust-toolchain.toml", toolchain)];
    let site = Site::new(&files);
    let own = ["crates.acme.test <- Cargo.lock", "forge.test /acme/b +POST <- Cargo.lock"];
    let found = site.found("shell");
    assert_eq!(lines(&found), own);
    assert!(not_known(&found).contains("where cargo fetches crates from"), "{found}");
    assert!(not_known(&found).contains("the archives of the cargo registry at crates.acme.test"), "{found}");
    let dockerfile = found["context"]["agent/Dockerfile"].as_str().unwrap();
    assert!(
        dockerfile.contains("toolchain install 1.90 --profile default --component clippy \\\n"),
        "{dockerfile}"
    );
    // What cargo keeps of the registries that it has used.
    site.write(
        "home/.cargo/registry/index/index.test-0123456789abcdef/config.json",
        r#"{"dl": "https://archives.test:443/{crate}"}"#,
    );
    site.write(
        "home/.cargo/registry/index/crates.acme.test-0123456789abcdef/config.json",
        r#"{"dl": "https://dl.acme.test"}"#,
    );
    site.write(
        "home/.cargo/registry/index/other.test-0123456789abcdef/config.json",
        r#"{"dl": "https://dl.other.test"}"#,
    );
    site.write("home/.cargo/config.toml", "[registries.other]\nindex = \"sparse+https://other.test/\"\n[registries.acme]\nindex = \"sparse+https://crates.acme.test/index/\"\n");
    let found = site.found("shell");
    let hosts: Vec<String> =
        lines(&found).iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(hosts, ["archives.test", "crates.acme.test", "dl.acme.test", "forge.test", "index.test"]);
    assert_eq!(not_known(&found), "[]");
    // A source that is replaced is not asked.
    let config = "[source.x]\nreplace-with = \"mirror\"\n[source.mirror]\nregistry = \"sparse+https://mirror.test/\"\n";
    site.write("app/.cargo/config.toml", config);
    let hosts: Vec<String> =
        lines(&site.found("shell")).iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(hosts, ["crates.acme.test", "dl.acme.test", "forge.test", "mirror.test"]);
    site.init(&["--agent", "shell"]);
}

#[test]
fn pip() {
    let requirements = "# c\n--index-url https://simple.acme.test/simple\n--extra-index-url=https://more.test/simple\na==1\n\
        b @ https://files.test/b.whl\nc @ git+https://forge.test/acme/c.git@v1\n-e git+ssh://git@forge.test/acme/d.git#egg=d\n";
    hosts(
        &[
            ("requirements.txt", requirements),
            ("requirements/dev.txt", "-i https://dev.test/simple\n"),
            (".python-version", "3.12\n"),
        ],
        &[
            "dev.test <- requirements/dev.txt",
            "files.test <- requirements.txt",
            "forge.test /acme/c.git,/acme/d.git +POST <- requirements.txt",
            "more.test <- requirements.txt",
            "simple.acme.test <- requirements.txt",
        ],
    );
    let site = Site::new(&[("requirements.txt", "a==1\n")]);
    assert!(not_known(&site.found("shell")).contains("where pip fetches"));
    let index = "class PackageIndex: ...\n\nDefault = PackageIndex(\"https://index.test/\", file_storage_domain=\"files.test\")\n\
                 Test = PackageIndex(\n    \"https://no.test/\", file_storage_domain=\"no-files.test\"\n)\n";
    site.write("home/.local/lib/python3.12/site-packages/pip/_internal/models/index.py", index);
    assert_eq!(
        lines(&site.found("shell")),
        ["files.test <- pip's own default", "index.test <- pip's own default"]
    );
    site.write(
        "home/.config/pip/pip.conf",
        "[global]\nindex-url = https://me:pw@corp.test/simple\nextra-index-url =\n  https://b.test/simple\n",
    );
    let found = site.found("shell");
    assert_eq!(lines(&found), ["b.test <- ~/.config/pip/pip.conf", "corp.test <- ~/.config/pip/pip.conf"]);
    let manifest = found["manifest"]["text"].as_str().unwrap();
    assert!(
        manifest.contains("PIP_EXTRA_INDEX_URL: \"https://b.test/simple\"")
            || manifest.contains("PIP_EXTRA_INDEX_URL: https://b.test/simple"),
        "{manifest}"
    );
    assert!(!found.to_string().contains("me:pw"));
    site.init(&["--agent", "shell"]);
}

#[test]
fn poetry() {
    let project = "[tool.poetry]\nname = \"x\"\n[tool.poetry.dependencies]\npython = \"~3.11\"\n[[tool.poetry.source]]\nname = \"acme\"\nurl = \"https://poetry.acme.test/simple\"\n";
    let lock = "[[package]]\nname = \"a\"\n[[package]]\nname = \"b\"\n[package.source]\ntype = \"legacy\"\nurl = \"https://legacy.test/simple\"\n\
                [[package]]\nname = \"c\"\n[package.source]\ntype = \"git\"\nurl = \"https://forge.test/acme/c.git\"\n";
    let files = [("pyproject.toml", project), ("poetry.lock", lock)];
    let found = hosts(
        &files,
        &[
            "forge.test /acme/c.git +POST <- poetry.lock",
            "legacy.test <- poetry.lock",
            "poetry.acme.test <- pyproject.toml",
        ],
    );
    assert_eq!(found["languages"]["python"]["version"], "3.11");
    assert!(found["context"]["agent/Dockerfile"].as_str().unwrap().contains("FROM python:3.11-bookworm\n"));
}

#[test]
fn uv() {
    let lock = "version = 1\n[[package]]\nname = \"a\"\nsource = { registry = \"https://uv.test/simple\" }\n\
        sdist = { url = \"https://files.test/a.tar.gz\" }\nwheels = [{ url = \"https://wheels.test/a.whl\" }]\n\
        [[package]]\nname = \"b\"\nsource = { git = \"https://forge.test/acme/b.git?rev=1#0123\" }\n";
    let project = "[project]\nrequires-python = \">=3.10,<3.13\"\n[[tool.uv.index]]\nurl = \"https://idx.test/simple\"\n";
    hosts(
        &[("uv.lock", lock), ("pyproject.toml", project)],
        &[
            "files.test <- uv.lock",
            "forge.test /acme/b.git +POST <- uv.lock",
            "idx.test <- pyproject.toml",
            "uv.test <- uv.lock",
            "wheels.test <- uv.lock",
        ],
    );
}

#[test]
fn go() {
    let module = "module forge.test/acme/app\n\ngo 1.23\n\nrequire (\n\tforge.test/acme/lib v1.0.0 // indirect\n)\nrequire other.test/x/y/v2 v2.0.0\n";
    let site = Site::new(&[("go.mod", module)]);
    assert!(not_known(&site.found("shell")).contains("GOPROXY is not set"));
    site.write("goroot/go.env", "# defaults\nGOPROXY=https://proxy.test,direct\nGOSUMDB=sums.test\n");
    let found = site.found("shell");
    assert_eq!(lines(&found), ["proxy.test <- $GOROOT/go.env", "sums.test <- $GOROOT/go.env"]);
    assert!(found["context"]["agent/Dockerfile"].as_str().unwrap().contains("FROM golang:1.23-bookworm\n"));
    site.write("home/.config/go/env", "GOPROXY=direct\nGOSUMDB=off\n");
    assert_eq!(
        lines(&site.found("shell")),
        ["forge.test /acme/lib +POST <- go.mod", "other.test /x/y +POST <- go.mod"]
    );
    site.init(&["--agent", "shell"]);
}

const SUPER_POM: &str = "<project><repositories><repository><id>x</id><url>https://central.test/maven2</url></repository></repositories></project>";

/// An archive with one stored file (APPNOTE.TXT, 4.3).
fn jar(name: &str, text: &str) -> Vec<u8> {
    let long = |value: usize| u32::try_from(value).unwrap().to_le_bytes().to_vec();
    let short = |value: usize| u16::try_from(value).unwrap().to_le_bytes().to_vec();
    let sizes = [long(0), long(text.len()), long(text.len()), short(name.len()), short(0)].concat();
    let local = [b"PK\x03\x04".to_vec(), vec![0; 10], sizes.clone(), name.into(), text.into()].concat();
    let entry = [b"PK\x01\x02".to_vec(), vec![0; 12], sizes, vec![0; 14], name.into()].concat();
    let end = [b"PK\x05\x06".to_vec(), vec![0; 8], long(entry.len()), long(local.len()), short(0)].concat();
    [local, entry, end].concat()
}

#[test]
fn maven() {
    let pom = "<project xmlns=\"http://maven.test/POM/4.0.0\"><properties><maven.compiler.release>17</maven.compiler.release></properties>\
        <repositories><repository><url>https://repo.test/releases</url></repository></repositories>\
        <distributionManagement><repository><url>https://publish.test/</url></repository></distributionManagement></project>";
    let wrapper = "distributionUrl=https\\://wrapper.test/maven.zip\n";
    let site =
        Site::new(&[("pom.xml", pom), (".mvn/wrapper/maven-wrapper.properties", wrapper), ("mvnw", "")]);
    let found = site.found("shell");
    assert_eq!(
        lines(&found),
        ["repo.test <- pom.xml", "wrapper.test <- .mvn/wrapper/maven-wrapper.properties"]
    );
    assert!(found["context"]["agent/Dockerfile"].as_str().unwrap().contains("FROM eclipse-temurin:17-jdk\n"));
    assert!(not_known(&found).contains("where Maven's own repository is"), "{found}");
    fs_err::create_dir_all(site.root.join("maven/lib")).unwrap();
    let bytes = jar("org/apache/maven/model/pom-4.0.0.xml", SUPER_POM);
    fs_err::write(site.root.join("maven/lib/maven-model-builder-3.9.jar"), bytes).unwrap();
    assert!(lines(&site.found("shell")).contains(&"central.test <- Maven's super POM".to_owned()));
    let mirror = "<settings><servers><server><password>pw0rd</password></server></servers><mirrors><mirror><mirrorOf>*</mirrorOf><url>https://mirror.test/all</url></mirror></mirrors></settings>";
    site.write("home/.m2/settings.xml", mirror);
    let found = site.found("shell");
    let central = lines(&found).iter().any(|line| line.starts_with("central.test"));
    assert!(!central && lines(&found).contains(&"mirror.test <- ~/.m2/settings.xml".to_owned()), "{found}");
    assert!(
        !found.to_string().contains("pw0rd")
            && found["notes"].to_string().contains("copy it to .mvn/settings.xml"),
        "{found}"
    );
    site.init(&["--agent", "shell"]);
}

/// Without a property it is the compiler's own setting, and never a Java that no image has.
#[test]
fn maven_s_compiler_says_which_java() {
    for (asked, image) in [("<source>1.8</source>", "8"), ("<source>1.5</source><release>11</release>", "11")]
    {
        let pom = format!(
            "<project><build><plugins><plugin><artifactId>other</artifactId><source>17</source></plugin>\
             <plugin><artifactId>maven-compiler-plugin</artifactId><configuration>{asked}</configuration></plugin>\
             </plugins></build></project>"
        );
        let found = Site::new(&[("pom.xml", &pom)]).found("shell");
        assert_eq!(found["languages"]["java"]["version"], image, "{asked}");
    }
}

#[test]
fn gradle() {
    let build = "plugins { id 'java' }\njava { toolchain { languageVersion = JavaLanguageVersion.of(21) } }\nrepositories {\n  mavenCentral()\n  \
        maven { url = uri(\"https://gradle.test/repo\") }\n  // maven { url 'https://commented.test' }\n}\n";
    let wrapper = "distributionUrl=https\\://dist.test/gradle-8.zip\n";
    let site = Site::new(&[
        ("build.gradle", build),
        ("gradle/wrapper/gradle-wrapper.properties", wrapper),
        ("gradlew", ""),
    ]);
    fs_err::create_dir_all(site.root.join("maven/lib")).unwrap();
    let bytes = jar("org/apache/maven/model/pom-4.0.0.xml", SUPER_POM);
    fs_err::write(site.root.join("maven/lib/maven-model-builder-3.9.jar"), bytes).unwrap();
    let found = site.found("shell");
    let wanted = [
        "central.test <- Maven's super POM",
        "dist.test <- gradle/wrapper/gradle-wrapper.properties",
        "gradle.test <- build.gradle",
    ];
    assert_eq!(lines(&found), wanted);
    assert!(not_known(&found).contains("Gradle's plugin portal"), "{found}");
    site.init(&["--agent", "shell"]);
}

#[test]
fn several_languages_share_an_image() {
    let site = Site::new(&[
        ("package.json", "{}"),
        ("go.mod", "module x.test/y\n"),
        ("requirements.txt", ""),
        ("Cargo.toml", ""),
        ("pom.xml", "<project/>"),
    ]);
    let found = site.found("claude");
    let text = found["context"]["agent/Dockerfile"].as_str().unwrap();
    assert!(text.contains("\nFROM python:3.13-bookworm\nUSER root\n"), "{text}");
    for stage in ["rust", "go", "java", "node"] {
        assert!(
            text.contains(&format!(" AS {stage}\n")) && text.contains(&format!("COPY --from={stage} ")),
            "{stage}: {text}"
        );
    }
}

#[test]
fn private_names_wait_for_their_range() {
    let found = hosts(&[("package.json", "{}"), (".npmrc", "registry=https://nexus.corp/npm/\n")], &[]);
    let manifest = found["manifest"]["text"].as_str().unwrap();
    assert!(
        manifest.contains(
            "#   - { host: nexus.corp, methods: [GET, HEAD], addresses: [10.0.0.0/8] }  # .npmrc\n"
        ),
        "{manifest}"
    );
}
