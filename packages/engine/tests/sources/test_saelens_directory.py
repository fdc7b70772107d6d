"""docs/saelens-directory is that of the installed SAELens, and what the hub decides is recorded from a hub."""

import json
import time
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import saelens_directory
from memicos_testing.models.small_hub import RES_JB, SmallHub, asked_at, published
from memicos_testing.servers import in_thread
from sae_lens.loading import pretrained_saes_directory
from sae_lens.loading.pretrained_saes_directory import PretrainedSAELookup, get_pretrained_saes_directory

RELEASE = "gpt2-small-res-jb"


def test_the_table_is_that_of_the_installed_saelens() -> None:
    data = saelens_directory.directory_data(saelens_directory.recorded_outcomes())
    assert saelens_directory.DATA.read_text() == saelens_directory.data_text(data), "run `make saelens-directory`"
    assert saelens_directory.DOCUMENT.read_text() == saelens_directory.document_text(data), (
        "run `make saelens-directory`"
    )


def test_the_counts_add_up() -> None:
    data = json.loads(saelens_directory.DATA.read_text())
    directory = get_pretrained_saes_directory()
    assert {row["release"] for row in data["releases"]} == set(directory)
    assert data["total"]["saes"] == sum(len(entry.saes_map) for entry in directory.values())
    for row in (*data["releases"], data["total"]):
        assert sum(row[status] for status in saelens_directory.STATUSES) == row["saes"]


def test_what_searches_of_saelens_file_count_twice_is_in_the_table() -> None:
    """Its lines name more repositories and paths than it has: the document says so, and nothing is left out."""
    lines = (files("sae_lens") / "pretrained_saes.yaml").read_text().splitlines()
    repo_ids, paths = (sum(line.lstrip(" -").startswith(name) for line in lines) for name in ("repo_id:", "path:"))
    total = json.loads(saelens_directory.DATA.read_text())["total"]
    copies = saelens_directory.copies_in_entries()
    assert (repo_ids, paths) == (total["releases"] + len(copies), total["saes"] + sum(len(c[2]) for c in copies))
    directory = get_pretrained_saes_directory()
    for release, repository, copied in copies:
        assert repository == directory[release].repo_id
        assert set(copied) <= set(directory[release].saes_map.values())
    if copies:
        document = " ".join(saelens_directory.DOCUMENT.read_text().split())
        assert f"find {repo_ids:,} and {paths:,}" in document


def test_a_new_release_is_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    new = PretrainedSAELookup("new", "some/new", "gpt2", None, {"a": "a"}, {}, {}, {}, {}, None)
    monkeypatch.setitem(get_pretrained_saes_directory(), "new", new)
    data = saelens_directory.directory_data({})
    assert saelens_directory.data_text(data) != saelens_directory.DATA.read_text()
    monkeypatch.setitem(get_pretrained_saes_directory(), "new", replace(new, conversion_func="x"))
    with pytest.raises(KeyError):
        saelens_directory.directory_data({})


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both documents, in a folder of their own."""
    monkeypatch.setattr(saelens_directory, "DATA", tmp_path / "table.json")
    monkeypatch.setattr(saelens_directory, "DOCUMENT", tmp_path / "table.md")
    return tmp_path / "table.json"


def small_directory(monkeypatch: pytest.MonkeyPatch, *others: str) -> None:
    """SAELens' directory with few releases."""
    directory = get_pretrained_saes_directory()
    few_releases = {name: directory[name] for name in (RELEASE, *others)}
    monkeypatch.setattr(pretrained_saes_directory, "get_pretrained_saes_directory", lambda: few_releases)
    monkeypatch.setattr(saelens_directory, "get_pretrained_saes_directory", lambda: few_releases)


def test_what_the_hub_decides_is_recorded(tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_directory(monkeypatch, "gpt2-small-mlp-tm", "goodfire-llama-3.1-8b-instruct")
    hub = SmallHub(published(tmp_path / "hub"))
    refused = hub.folder / RES_JB / "blocks.2.hook_resid_pre"
    refused.mkdir()
    config: dict[str, Any] = json.loads((refused.parent / "blocks.1.hook_resid_pre" / "cfg.json").read_text())
    (refused / "cfg.json").write_text(json.dumps(config | {"activation_fn_str": "tanh-relu"}))
    with in_thread(hub.app()) as url, asked_at(url, tmp_path / "cache", monkeypatch):
        assert saelens_directory.main(["hub"]) == 0
    outcome = json.loads(output.read_text())["on_hub"]
    assert list(outcome) == [RELEASE]  # the other repository is not on this hub, and goodfire is served anyway
    assert outcome[RELEASE]["served"] == {"standard": 2}
    assert list(outcome[RELEASE]["refused"].values()) == [1]
    assert next(iter(outcome[RELEASE]["refused"])).startswith("its activation function is tanh-relu")
    assert sum(outcome[RELEASE]["not read"].values()) == 10
    assert "| sae_lens | 2 | 25 | 0 | 0 | 25 |" in output.with_suffix(".md").read_text()
    assert "| 2 served, 1 refused, 10 not read |" in output.with_suffix(".md").read_text()
    assert not [path for path in hub.seen if path.endswith(".safetensors")]


def test_a_hub_that_cannot_be_reached_is_not_tried(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One request tells: the hub's client repeats each of thousands of requests for half a minute."""
    small_directory(monkeypatch)
    saelens_directory.write({})
    before = output.read_bytes(), output.with_suffix(".md").read_bytes()
    started = time.monotonic()
    with asked_at("http://127.0.0.1:9", tmp_path / "cache", monkeypatch):
        assert saelens_directory.main(["hub"]) == saelens_directory.NOT_TRIED == 2
    assert time.monotonic() - started < 10
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("not tried: no configuration was read, and nothing was written, because http://127.0.0.1:9")
    assert (output.read_bytes(), output.with_suffix(".md").read_bytes()) == before


def test_without_a_hub_the_record_stays(tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_directory(monkeypatch)
    outcome = {"served": {"standard": 13}, "refused": {}, "not read": {}}
    saelens_directory.write({RELEASE: outcome})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with asked_at("http://127.0.0.1:9", tmp_path / "cache", monkeypatch):
        assert saelens_directory.main(["hub"]) == 1
    assert json.loads(output.read_text())["on_hub"] == {RELEASE: outcome}
