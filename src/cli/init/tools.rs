//! Finding the files of tools that say where they fetch from. Nothing is run: they are read as text.

use crate::cli::folders::real;
use crate::init::{Sources, Tool, ToolFile, jar};
use crate::programs;
use crate::tree::{Folder, LARGEST, read_plain};
use camino::{Utf8Path, Utf8PathBuf};

/// Names of a folder that are looked at.
const NAMES: usize = 1000;

const SUPER_POM: &str = "org/apache/maven/model/pom-4.0.0.xml";

/// A variable that is set to something.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Adds what is on this machine; a program in the project is none of its tools.
pub(super) fn add(project: &Utf8Path, sources: &mut Sources) {
    let mut found = Found { project, sources };
    found.npm();
    found.yarn();
    found.pip();
    found.cargo();
    found.go();
    found.maven();
}

struct Found<'a> {
    project: &'a Utf8Path,
    sources: &'a mut Sources,
}

impl Found<'_> {
    /// A program on the PATH, without links, with the folders that it lies in, the nearest first.
    fn above(&self, program: &str) -> Vec<Utf8PathBuf> {
        self.each_above(program).into_iter().next().unwrap_or_default()
    }

    /// The same for each program of that name on the PATH: one can be a script that chooses another.
    fn each_above(&self, program: &str) -> Vec<Vec<Utf8PathBuf>> {
        let path = programs::path();
        let folders =
            std::env::split_paths(&path).filter_map(|folder| Utf8PathBuf::from_path_buf(folder).ok());
        let programs = folders.map(|folder| folder.join(program)).filter(|path| path.is_file());
        let real = programs.map(|path| real(&path)).filter(|path| !path.starts_with(self.project));
        real.map(|program| program.ancestors().skip(1).take(5).map(Utf8Path::to_owned).collect()).collect()
    }

    fn bytes(&self, path: &Utf8Path) -> Option<Vec<u8>> {
        let path = real(path);
        if !path.is_file() || path.starts_with(self.project) {
            return None;
        }
        read_plain(&path, LARGEST).ok()
    }

    /// Adds the file, if it is there.
    fn take(&mut self, tool: Tool, path: &Utf8Path, label: &str) -> bool {
        let Some(bytes) = self.bytes(path) else { return false };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        self.sources.tools.push(ToolFile { tool, label: label.to_owned(), text });
        true
    }

    fn npm(&mut self) {
        let places = [
            "node_modules/@npmcli/config/lib/definitions/definitions.js",
            "@npmcli/config/lib/definitions/definitions.js",
            "lib/utils/config/definitions.js",
        ];
        for folder in self.above("npm") {
            if places.iter().any(|place| self.take(Tool::Npm, &folder.join(place), "npm's own default")) {
                return;
            }
        }
    }

    fn yarn(&mut self) {
        let mut places: Vec<Utf8PathBuf> =
            self.above("yarn").iter().map(|folder| folder.join("lib/cli.js")).collect();
        if let Some(home) = variable("HOME").map(Utf8PathBuf::from) {
            let kept = home.join(".cache/node/corepack/v1/yarn");
            places.extend(names(&kept).iter().rev().map(|version| kept.join(version).join("yarn.js")));
        }
        for place in places {
            if self.take(Tool::Yarn, &place, "yarn's own default") {
                return;
            }
        }
    }

    fn pip(&mut self) {
        // PREFIX/bin/python3; Debian has what pip itself installed in PREFIX/local.
        let found = self.each_above("python3").into_iter().filter_map(|folders| folders.into_iter().nth(1));
        let mut prefixes: Vec<Utf8PathBuf> =
            found.flat_map(|prefix| [prefix.join("local"), prefix]).collect();
        if let Some(home) = variable("HOME").map(Utf8PathBuf::from) {
            prefixes.push(home.join(".local"));
            let kept = home.join(".pyenv/versions");
            prefixes.extend(names(&kept).iter().rev().map(|version| kept.join(version)));
        }
        for prefix in prefixes {
            let lib = prefix.join("lib");
            for python in names(&lib).iter().filter(|name| name.starts_with("python3")) {
                for packages in ["site-packages", "dist-packages"] {
                    let file = lib.join(python).join(packages).join("pip/_internal/models/index.py");
                    if self.take(Tool::Pip, &file, "pip's own default") {
                        return;
                    }
                }
            }
        }
    }

    fn cargo(&mut self) {
        let home = variable("HOME").map(|home| Utf8PathBuf::from(home).join(".cargo"));
        let Some(cargo) = variable("CARGO_HOME").map(Utf8PathBuf::from).or(home) else { return };
        let index = cargo.join("registry/index");
        for registry in names(&index) {
            let label = format!("$CARGO_HOME/registry/index/{registry}/config.json");
            self.take(Tool::Cargo, &index.join(&registry).join("config.json"), &label);
        }
    }

    fn go(&mut self) {
        let root = variable("GOROOT").map(Utf8PathBuf::from);
        let roots: Vec<Utf8PathBuf> = root.into_iter().chain(self.above("go")).collect();
        for root in roots {
            if self.take(Tool::Go, &root.join("go.env"), "$GOROOT/go.env") {
                return;
            }
        }
    }

    fn maven(&mut self) {
        let set = ["MAVEN_HOME", "M2_HOME"].into_iter().filter_map(variable).map(Utf8PathBuf::from);
        let homes: Vec<Utf8PathBuf> = set.chain(self.above("mvn")).collect();
        for home in homes {
            let lib = home.join("lib");
            let jars = names(&lib).into_iter().filter(|name| {
                name.starts_with("maven-model-builder") && Utf8Path::new(name).extension() == Some("jar")
            });
            for jar in jars {
                let pom = self.bytes(&lib.join(&jar)).and_then(|bytes| jar::entry(&bytes, SUPER_POM));
                if let Some(pom) = pom {
                    let text = String::from_utf8_lossy(&pom).into_owned();
                    self.sources.tools.push(ToolFile {
                        tool: Tool::Maven,
                        label: "Maven's super POM".to_owned(),
                        text,
                    });
                    return;
                }
            }
        }
    }
}

/// The names in a folder, sorted; none where there is no such folder.
fn names(folder: &Utf8Path) -> Vec<String> {
    let listed = Folder::open(folder).and_then(|folder| folder.list_at_most(NAMES));
    listed.map(|(names, _)| names.into_iter().map(|(name, _)| name).collect()).unwrap_or_default()
}
