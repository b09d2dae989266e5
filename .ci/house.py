#!/usr/bin/env python3
"""Checks of the house that no compiler makes. Prints every finding; exits 1 if there is one.

Dependency arrows between the crates, no column engine under `boundary`, one version of the crates whose types cross our
interfaces, licences of everything that is linked, dependencies that no line uses, and what stands at the top level.
"""
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ARROWS = {  # who may depend on whom
    "manifests": set(),
    "boundary": {"manifests"},
    "formats": {"manifests"},
    "arcs": {"manifests", "formats"},
    "project": {"manifests", "boundary", "arcs"},
    "tests": {"manifests", "boundary", "arcs", "project"},
}
NOT_UNDER_BOUNDARY = ("arrow", "parquet", "datafusion")
ONE_VERSION = ("arrow", "arrow-array", "parquet", "object_store", "datafusion", "bytes", "chrono", "tokio")
LICENCES = {
    "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib", "Unlicense", "CC0-1.0",
    "Unicode-3.0", "0BSD", "BSL-1.0", "bzip2-1.0.6", "blessing",
}
FOR_THEIR_FEATURES = ("getrandom", "rand")  # dependencies that only align features between the program and its tests
TOP = re.compile(
    r"^(\..*|Cargo\.(toml|lock)|boundary|arcs|manifests|project|docker|tests|README\.md|ARCHITECTURE\.md|CONTRIBUTING\.md|CHANGELOG\.md|LICENSE)$"
)


def run(*command):
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def is_allowed(expression):
    """Whether a licence expression can be met from LICENCES: AND needs all, OR any."""
    expression = expression.replace("/", " OR ")
    choices = [part.strip(" ()") for part in re.split(r"\bOR\b", expression)]
    return any(all(word.strip(" ()") in LICENCES for word in re.split(r"\bAND\b", choice)) for choice in choices)


def arrows(members):
    for member in members:
        ours = {d["name"] for d in member["dependencies"] if d["name"] in ARROWS}
        for other in sorted(ours - ARROWS[member["name"]]):
            yield "%s must not depend on %s" % (member["name"], other)


def under_boundary():
    tree = run("cargo", "tree", "--locked", "-p", "boundary", "-e", "normal", "--prefix", "none")
    for name in sorted({line.split()[0] for line in tree.splitlines() if line}):
        if name.split("-")[0] in NOT_UNDER_BOUNDARY:
            yield "boundary links %s" % name


def versions(packages):
    for name in ONE_VERSION:
        found = sorted({p["version"] for p in packages if p["name"] == name})
        if len(found) > 1:
            yield "%s is there in versions %s" % (name, ", ".join(found))


def licences(packages):
    for package in packages:
        if package["source"] and not is_allowed(package["license"] or ""):
            yield "%s %s has licence %s" % (package["name"], package["version"], package["license"])


def unused(members):
    for member in members:
        folder = pathlib.Path(member["manifest_path"]).parent
        text = "\n".join(path.read_text() for path in folder.rglob("*.rs") if "fuzz" not in path.parts)
        for dependency in member["dependencies"]:
            word = (dependency["rename"] or dependency["name"]).replace("-", "_")
            if word not in FOR_THEIR_FEATURES and not re.search(r"\b%s\b" % word, text):
                yield "%s does not use %s" % (member["name"], dependency["name"])


def top_level():
    for name in sorted({line.split("/")[0] for line in run("git", "ls-files").splitlines()}):
        if not TOP.match(name):
            yield "%s stands at the top level, beyond the design" % name


def main():
    metadata = json.loads(run("cargo", "metadata", "--locked", "--format-version", "1"))
    packages = metadata["packages"]
    members = [p for p in packages if p["id"] in metadata["workspace_members"]]
    checks = [arrows(members), under_boundary(), versions(packages), licences(packages), unused(members), top_level()]
    findings = [finding for check in checks for finding in check]
    print("\n".join(findings) if findings else "the house is in order: %d packages" % len(packages))
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
