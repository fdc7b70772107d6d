"""Where corpora are: data sets of a (small) hub, of its cache and of local folders, and texts of installed packages."""

import asyncio
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from huggingface_hub import constants
from memicos_pipeline.corpus.origin import CorpusFiles, corpus_name, find_corpus
from memicos_pipeline.corpus.texts import CorpusError, read_texts
from memicos_testing.models.small_hub import COMMIT, SmallHub, asked_at
from memicos_testing.servers import running

CARD = """---
license: cc-by-4.0
pretty_name: Small stories
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
  - split: test
    path: ["data/test.jsonl"]
- config_name: other
  data_files: other/*.txt
---
# Small stories
"""


def write_data_set(folder: Path, card: str | None = CARD) -> None:
    (folder / "data").mkdir(parents=True)
    for number in range(2):
        table = pa.table({"story": [f"train {number} {row}" for row in range(2)], "label": [0, 1]})
        pq.write_table(table, folder / f"data/train-{number:05d}-of-00002.parquet")
    (folder / "data/test.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    (folder / "other").mkdir()
    (folder / "other/a.txt").write_text("other text")
    if card is not None:
        (folder / "README.md").write_text(card)


def texts(found: CorpusFiles) -> list[str]:
    return [document.text for path in found.files for document in read_texts(path, "c", found.column)]


TRAIN = ["train 0 0", "train 0 1", "train 1 0", "train 1 1"]


def check_data_set_of_the_hub(small: SmallHub) -> None:
    found = find_corpus("hf:ada/stories:train:story")
    assert texts(found) == TRAIN
    assert (found.license, found.url) == ("cc-by-4.0", "https://huggingface.co/datasets/ada/stories")
    assert found.attribution == f"Small stories, ada/stories on the Hugging Face hub, revision {COMMIT[:12]}"
    fetched = [path for path in small.seen if path.startswith("/datasets/")]
    assert not [path for path in fetched if "test.jsonl" in path or "a.txt" in path]
    assert texts(find_corpus("hf:ada/stories:test")) == ["one", "two"]
    assert texts(find_corpus("hf:ada/stories/other")) == ["other text"]
    with pytest.raises(CorpusError, match=r"no split 'dev', only test, train"):
        find_corpus("hf:ada/stories:dev")
    with pytest.raises(CorpusError, match=r"The hub has no repository ada/none"):
        find_corpus("hf:ada/none")


async def test_a_data_set_of_the_hub_and_of_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_data_set(tmp_path / "hub/ada/stories")
    small = SmallHub(tmp_path / "hub")
    async with running(small.app()) as url:
        with asked_at(url, tmp_path / "cache", monkeypatch):
            await asyncio.to_thread(check_data_set_of_the_hub, small)
    with asked_at("http://127.0.0.1:1", tmp_path / "cache", monkeypatch):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        # another revision's name, so that what was found before is not used
        assert texts(find_corpus("hf:ada/stories@main:train:story")) == TRAIN
        with pytest.raises(CorpusError, match=r"ada/none is not in the cache"):
            find_corpus("hf:ada/none@main")


def test_a_local_folder_in_the_hubs_layout(tmp_path: Path) -> None:
    write_data_set(tmp_path / "stories")
    found = find_corpus(f"hf:{tmp_path}/stories:train:story")
    assert texts(found) == TRAIN and found.license == "cc-by-4.0" and found.attribution == "Small stories"
    assert corpus_name(f"hf:{tmp_path}/stories:train:story") == "stories" == corpus_name("hf:ada/stories:train")
    with pytest.raises(CorpusError, match=r"has no column text, only story, label"):
        texts(find_corpus(f"hf:{tmp_path}/stories"))
    with pytest.raises(CorpusError, match="is no folder"):
        find_corpus(f"hf:{tmp_path}/none")
    (tmp_path / "stories/data/train-00001-of-00002.parquet").unlink()
    with pytest.raises(CorpusError, match=r"lacks 1 of 2 files, such as data/train-00001"):
        find_corpus(f"hf:{tmp_path}/stories:train:story")


def test_a_folder_without_a_card_has_splits_by_the_names_of_its_files(tmp_path: Path) -> None:
    write_data_set(tmp_path / "plain", card=None)
    found = find_corpus(f"hf:{tmp_path}/plain")
    # of the formats that are there, Parquet
    assert [path.name for path in found.files] == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    assert found.license is None
    (tmp_path / "lines").mkdir()
    for name in ("part-1.jsonl", "part-2.jsonl"):
        (tmp_path / "lines" / name).write_text(json.dumps({"text": name}) + "\n")
    (tmp_path / "lines/dataset_info.json").write_text("{}")
    assert texts(find_corpus(f"hf:{tmp_path}/lines")) == ["part-1.jsonl", "part-2.jsonl"]
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv/train.csv").write_text("text\n")
    with pytest.raises(CorpusError, match="has no data files"):
        find_corpus(f"hf:{tmp_path}/csv")


def test_several_configurations_have_to_be_named(tmp_path: Path) -> None:
    write_data_set(tmp_path / "stories", CARD.replace("default", "first"))
    with pytest.raises(CorpusError, match="add one of its configurations after the name: /first, /other"):
        find_corpus(f"hf:{tmp_path}/stories")


def test_arrow_files_of_the_library_datasets(tmp_path: Path) -> None:
    rows = [f"row {number}" for number in range(600)]
    Dataset.from_dict({"text": rows}).save_to_disk(tmp_path / "saved", num_shards=2)
    found = find_corpus(f"hf:{tmp_path}/saved")
    assert len(found.files) == 2 and texts(found) == rows


def test_a_text_of_a_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package, info = tmp_path / "storybook", tmp_path / "story_book-1.2.dist-info"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "data/tale.txt").write_text("once upon a time")
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: story-book\nVersion: 1.2\nAuthor: Ada\nLicense-Expression: CC0-1.0\n"
    )
    (info / "top_level.txt").write_text("storybook\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = find_corpus("package:storybook/data/tale.txt")
    assert texts(found) == ["once upon a time"]
    assert (found.license, found.url) == ("CC0-1.0", "https://pypi.org/project/story-book/1.2/")
    assert found.attribution == "Ada, package story-book 1.2"
    for location, message in (
        ("package:storybook/data/none.txt", "the package has no file data/none.txt"),
        ("package:storybook/../story_book-1.2.dist-info/METADATA", "the package has no file"),
        ("package:no_such_package_here/a.txt", "no package 'no_such_package_here' is installed"),
        ("package:storybook", "expected package:<package>/<path"),
    ):
        with pytest.raises(CorpusError, match=message):
            find_corpus(location)


@pytest.mark.parametrize("location", ["hf:", "hf:stories", "hf:a/b@", "hf:a/b::"])
def test_a_location_of_another_form_is_refused(location: str) -> None:
    with pytest.raises(CorpusError, match="expected hf:<owner>/<name>"):
        find_corpus(location)
