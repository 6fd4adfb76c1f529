"""What a release says of itself, as JSON or text on stdout. `scripts/release` calls it.

sbom, notices: from `cargo metadata --filter-platform TARGET` on stdin; provenance: from the lines of SHA256SUMS.
The same input gives the same bytes: time is SOURCE_DATE_EPOCH, and nothing is random.
"""

import argparse
import datetime
import hashlib
import json
import os
import pathlib
import re
import sys
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def now():
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    return datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def linked(metadata, tree):
    """The packages that a build compiles, by id, each with the ids that it needs.

    `cargo metadata` knows how packages depend on each other, and `cargo tree` which of them the features of this build
    bring in: a line `NAME vVERSION …` each.
    """
    built = {tuple(line.split()[:2]) for line in pathlib.Path(tree).read_text().splitlines()}
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found, waiting = {}, [metadata["resolve"]["root"]]
    while waiting:
        identity = waiting.pop()
        if identity in found:
            continue
        needs = [
            dependency["pkg"]
            for dependency in nodes[identity]["deps"]
            if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"])
            and (packages[dependency["pkg"]]["name"], "v" + packages[dependency["pkg"]]["version"]) in built
        ]
        found[identity] = needs
        waiting += needs
    return {identity: (packages[identity], needs) for identity, needs in found.items()}


def checksums():
    entry = re.compile(r'\[\[package\]\]\nname = "(.*)"\nversion = "(.*)"\nsource = ".*"\nchecksum = "(.*)"\n')
    return {(name, version): digest for name, version, digest in entry.findall((ROOT / "Cargo.lock").read_text())}


def reference(package):
    kind = "cargo" if package["source"] else "generic"
    return f"pkg:{kind}/{package['name']}@{package['version']}"


def component(package, digests):
    said = {
        "type": "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
    }
    if package["license"]:
        said["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    digest = digests.get((package["name"], package["version"]))
    if digest:
        said["hashes"] = [{"alg": "SHA-256", "content": digest}]
    return said


def outside(name, version, licence):
    """What is in a static binary and in no lock file."""
    purl = f"pkg:generic/{name}@{version}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "licenses": [{"expression": licence}],
    }


def sbom(arguments):
    metadata = json.load(sys.stdin)
    packages, digests = linked(metadata, arguments.tree), checksums()
    root = metadata["resolve"]["root"]
    more = [
        outside("glibc", arguments.libc, "LGPL-2.1-or-later"),
        outside("rust-std", arguments.rust, "MIT OR Apache-2.0"),
    ]
    components = [component(package, digests) for identity, (package, _) in packages.items() if identity != root]
    dependencies = [
        {"ref": reference(package), "dependsOn": sorted({reference(packages[need][0]) for need in needs})}
        for package, needs in packages.values()
    ]
    for entry in dependencies:
        if entry["ref"] == reference(packages[root][0]):
            entry["dependsOn"] = sorted(entry["dependsOn"] + [one["bom-ref"] for one in more])
    said = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": now(),
            "component": {**component(packages[root][0], digests), "type": "application"},
        },
        "components": sorted(components + more, key=lambda one: one["bom-ref"]),
        "dependencies": sorted(dependencies, key=lambda one: one["ref"]),
    }
    said["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(said, sort_keys=True)).urn
    return said


def notices(arguments):
    """The licence texts of all that is linked; one that many crates have stands once."""
    texts = {}
    named = re.compile(r"(licen[cs]e|copying|notice|unlicense)", re.IGNORECASE)
    for package, _ in linked(json.load(sys.stdin), arguments.tree).values():
        if not package["source"]:
            continue
        title = f"{package['name']} {package['version']} ({package['license']})"
        folder = pathlib.Path(package["manifest_path"]).parent
        files = sorted(file for file in folder.iterdir() if named.match(file.name) and file.is_file())
        for file in files:
            text = file.read_text(errors="replace").strip()
            texts.setdefault(text, set()).add(title)
        if not files:
            texts.setdefault("(its archive has no text of a licence)", set()).add(title)
    said = [
        "What is linked into bottle, and under which licence. Its own is in LICENSE.",
        "The GNU C Library (LGPL-2.1-or-later) is linked statically: bottle's source is public, so that it can be",
        "linked with another version of it. Rust's standard library is under MIT or Apache-2.0.",
        "",
    ]
    for text, titles in sorted(texts.items(), key=lambda entry: sorted(entry[1])):
        said += ["=" * 80, *sorted(titles), "=" * 80, text, ""]
    return "\n".join(said)


def provenance(arguments):
    """An in-toto statement with SLSA's predicate. It is a claim, and worth what its signature is worth."""
    lines = [line.split("  ", 1) for line in sys.stdin.read().splitlines()]
    lock = hashlib.sha256((ROOT / "Cargo.lock").read_bytes()).hexdigest()
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest}} for digest, name in lines],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:bottle:build:release:1",
                "externalParameters": {"profile": arguments.profile, "targets": arguments.targets},
                "internalParameters": {"rust": arguments.rust, "sourceDateEpoch": now()},
                "resolvedDependencies": [
                    {"name": "source", "digest": {"gitCommit": arguments.commit}},
                    {"name": "Cargo.lock", "digest": {"sha256": lock}},
                ],
            },
            "runDetails": {"builder": {"id": arguments.builder}},
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(required=True)
    for make, options in (
        (sbom, ["--tree", "--rust", "--libc"]),
        (notices, ["--tree"]),
        (provenance, ["--rust", "--commit", "--builder", "--profile"]),
    ):
        verb = verbs.add_parser(make.__name__)
        verb.set_defaults(make=make)
        for name in options:
            verb.add_argument(name, required=True)
        if make is provenance:
            verb.add_argument("targets", nargs="+")
    arguments = parser.parse_args()
    said = arguments.make(arguments)
    print(said if isinstance(said, str) else json.dumps(said, indent=2))


main()
