"""`make release VERSION=1.2.0`: one version for packages, images and clients, a CHANGELOG entry, a commit and a tag.

    python scripts/release.py 1.2.0

Nothing is pushed or published. An impossible release is refused before any file is changed.
"""

from __future__ import annotations

import argparse
import datetime
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHANGELOG = "CHANGELOG.md"
UNRELEASED = "## Unreleased"
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:rc([1-9]\d*))?")
NEVER_RELEASED = float("inf")
"""Candidate number of a final version, which sorts after its candidates."""
PLACES = (
    ("packages/*/pyproject.toml", r'^version = "([^"]+)"$'),
    ("packages/clients/*/pyproject.toml", r'^version = "([^"]+)"$'),
    ("services/*/pyproject.toml", r'^version = "([^"]+)"$'),
    ("services/*/src/*/app.py", r'^ +version="([^"]+)",$'),
    ("schemas/openapi/*.yaml", r"^  version: (\S+)$"),
    ("packages/clients/typescript/package.json", r'^  "version": "([^"]+)",$'),
    ("packages/clients/typescript/package-lock.json", r'\A\{\n  "name": "[^"]+",\n  "version": "([^"]+)",$'),
    (
        "packages/clients/typescript/package-lock.json",
        r'^    "": \{\n      "name": "[^"]+",\n      "version": "([^"]+)",$',
    ),
    ("deploy/docker/*.yaml", r"\$\{MEMICOS_VERSION:-([^}]+)\}"),
)
"""Places of the version: files, and a pattern whose group is the version. Every file has to match."""
OPTIONAL = ("deploy/docker/*.yaml",)
"""Files of which only some name an image."""


class ReleaseError(Exception):
    """A release is refused; the message states the reason in one line."""


def parse_version(text: str) -> tuple[float, ...]:
    """
    Raises:
        ReleaseError: it is not MAJOR.MINOR.PATCH, or MAJOR.MINOR.PATCHrcN.
    """
    match = VERSION.fullmatch(text)
    if match is None:
        raise ReleaseError(f"{text!r} is not a version: write VERSION=1.2.0, or 1.2.0rc1 for a candidate")
    *numbers, candidate = match.groups()
    return (*map(int, numbers), int(candidate) if candidate else NEVER_RELEASED)


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def check(version: str) -> None:
    """
    Raises:
        ReleaseError: the version is malformed, not newer than the newest tag or has a tag, or the tree is not clean.
    """
    parsed = parse_version(version)
    if changed := git("status", "--porcelain"):
        raise ReleaseError(f"the working tree has changes; commit or remove them first:\n{changed}")
    released = [tag[1:] for tag in git("tag", "--list", "v*").split() if VERSION.fullmatch(tag[1:])]
    if released and parsed <= parse_version(newest := max(released, key=parse_version)):
        raise ReleaseError(f"{version} is not newer than {newest}, which is released")


def changed_files(version: str, today: datetime.date) -> dict[Path, str]:
    """Every file of a release with its new text.

    Raises:
        ReleaseError: a file has no version where one is expected, or the CHANGELOG has no new entries.
    """
    texts: dict[Path, str] = {}
    for pattern, expression in PLACES:
        files = sorted(ROOT.glob(pattern))
        if not files:
            raise ReleaseError(f"there is no {pattern}: adapt PLACES in scripts/release.py")
        for file in files:
            text = texts.get(file) or file.read_text(encoding="utf-8")
            new, count = re.subn(expression, lambda match: _replaced(match, version), text, flags=re.MULTILINE)
            if count:
                texts[file] = new
            elif pattern not in OPTIONAL:
                raise ReleaseError(f"{file.relative_to(ROOT)} has no version: adapt PLACES in scripts/release.py")
    changelog = ROOT / CHANGELOG
    texts[changelog] = new_changelog(changelog.read_text(encoding="utf-8"), version, today)
    return texts


def _replaced(match: re.Match[str], version: str) -> str:
    if "{" in match[0][:1] or '"version"' in match[0]:
        version = version.replace("rc", "-rc.")  # as npm writes candidates
    begin, end = match.start(1) - match.start(), match.end(1) - match.start()
    return match[0][:begin] + version + match[0][end:]


def new_changelog(text: str, version: str, today: datetime.date) -> str:
    """The CHANGELOG with its unreleased entries under the version.

    Raises:
        ReleaseError: there is no section of unreleased entries, or it is empty.
    """
    before, mark, rest = text.partition(f"{UNRELEASED}\n")
    entries = re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0].strip()
    if not mark or not entries:
        raise ReleaseError(f"{CHANGELOG} has no entries under “{UNRELEASED}”: list the changes there")
    return f"{before}{UNRELEASED}\n\n## {version} ({today.isoformat()})\n{rest}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="release", description="Set one version everywhere, commit and tag it.")
    parser.add_argument("version")
    version = parser.parse_args().version
    try:
        check(version)
        texts = changed_files(version, datetime.datetime.now(tz=datetime.UTC).date())
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    for file, text in texts.items():
        file.write_text(text, encoding="utf-8")
    git("commit", "--quiet", "--all", "--message", f"Release {version}")
    git("tag", "--annotate", f"v{version}", "--message", f"memicos {version}")
    print(f"committed and tagged v{version}. Publish it: git push --follow-tags; images: make webapp-localhost-build …")
    return 0


if __name__ == "__main__":
    sys.exit(main())
