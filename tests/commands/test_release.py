"""`make release`, in a clone: one version everywhere, CHANGELOG entry, commit and tag; bad releases are refused."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import release
import yaml

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "GIT_"))},
    **{f"GIT_{role}_{field}": "test@example.org" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")},
}


def run(folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=ENVIRONMENT)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    assert run(tmp_path, "git", "clone", "-q", "--no-tags", str(ROOT), str(folder)).returncode == 0
    return folder


def make_release(folder: Path, version: str) -> "subprocess.CompletedProcess[str]":
    return run(folder, "make", "-s", "release", f"VERSION={version}")


def versions(folder: Path) -> dict[str, str]:
    """The version that each place has, read without the patterns of scripts/release.py."""
    found_versions = {}
    for file in sorted(folder.glob("[ps]*/**/pyproject.toml")):
        found_versions[str(file.relative_to(folder))] = tomllib.loads(file.read_text())["project"]["version"]
    for file in (folder / "schemas/openapi").glob("*.yaml"):
        found_versions[file.name] = yaml.safe_load(file.read_text())["info"]["version"]
    for service in ("webapp", "inference", "autointerp"):
        text = (folder / f"services/{service}/src/memicos_{service}/app.py").read_text()
        found_versions[service] = re.findall(r'version="(.*?)"', text)[0]
    typescript = folder / "packages/clients/typescript"
    lock = json.loads((typescript / "package-lock.json").read_text())
    found_versions["package.json"] = json.loads((typescript / "package.json").read_text())["version"]
    found_versions["package-lock.json"], found_versions["package-lock.json root"] = (
        lock["version"],
        lock["packages"][""]["version"],
    )
    for file in (folder / "deploy/docker").glob("*.yaml"):
        for tag in re.findall(r"image: memicos/\S+:\$\{MEMICOS_VERSION:-(.*?)\}", file.read_text()):
            found_versions[f"image in {file.name}"] = tag
    return found_versions


def test_one_version_everywhere_with_entry_commit_and_tag(clone: Path) -> None:
    assert len(versions(clone)) > 20
    result = make_release(clone, "7.8.9")
    assert result.returncode == 0, result.stderr
    assert set(versions(clone).values()) == {"7.8.9"}
    changelog = (clone / "CHANGELOG.md").read_text()
    assert re.search(r"## Unreleased\n\n## 7\.8\.9 \(\d{4}-\d\d-\d\d\)\n\n- ", changelog)
    assert run(clone, "git", "status", "--porcelain").stdout == ""
    assert run(clone, "git", "log", "-1", "--format=%s").stdout == "Release 7.8.9\n"
    assert run(clone, "git", "describe", "--exact-match").stdout == "v7.8.9\n"

    repeated = make_release(clone, "7.8.9")
    assert repeated.returncode != 0 and "7.8.9 is not newer than 7.8.9, which is released" in repeated.stderr
    older = make_release(clone, "7.8.8")
    assert older.returncode != 0 and "not newer" in older.stderr
    empty = make_release(clone, "7.9.0")
    assert empty.returncode != 0 and "CHANGELOG.md has no entries under “## Unreleased”" in empty.stderr
    assert set(versions(clone).values()) == {"7.8.9"}


def test_a_candidate_comes_before_its_version(clone: Path) -> None:
    assert make_release(clone, "7.0.0rc1").returncode == 0
    versions_by_file = versions(clone)
    assert (
        versions_by_file["package.json"] == versions_by_file["package-lock.json"] == "7.0.0-rc.1"
        and versions_by_file["webapp"] == "7.0.0rc1"
    )
    assert release.parse_version("7.0.0rc1") < release.parse_version("7.0.0rc2") < release.parse_version("7.0.0")


@pytest.mark.parametrize("version", ["1.2", "v1.2.3", "1.2.3.4", "01.2.3", "1.2.3-beta", "latest", "1.2.3 "])
def test_a_bad_version_is_refused(version: str) -> None:
    with pytest.raises(release.ReleaseError, match="is not a version"):
        release.parse_version(version)


def test_no_version_and_a_dirty_tree_are_refused(clone: Path) -> None:
    without_version = run(clone, "make", "-s", "release")
    assert without_version.returncode != 0 and "name the version: make release VERSION=1.2.0" in without_version.stdout
    (clone / "README.md").write_text("changed")
    dirty = make_release(clone, "7.8.9")
    assert dirty.returncode != 0 and "the working tree has changes" in dirty.stderr and "README.md" in dirty.stderr
    assert run(clone, "git", "tag").stdout == ""
