"""The configuration of `memicos generate`: refusals name the key, and docs/dataset.md has every key."""

from pathlib import Path

import pytest
from memicos_pipeline.config import ConfigError, read_config, settings_tables

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "demo" / "generate.toml"


def test_every_key_is_documented() -> None:
    document = (ROOT / "docs" / "dataset.md").read_text()
    # the whole text of the tables; after a change of the classes print it and copy it here
    assert settings_tables() in document


def test_the_tables_have_every_key_of_the_dashboard() -> None:
    table = settings_tables().split("`[dashboard]`")[1].split("`[execution]`")[0]
    keys = ["top_examples", "quantile_groups", "examples_per_group", "histogram_bins", "logits", "neighbours"]
    assert [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")] == keys


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "context_size = 128",
            "context_size = 40000",
            "corpus.context_size: Input should be less than or equal to 32767",
        ),
        ("[corpus]", "[dashboard]\nquantile_groups = 200\n[corpus]", "dashboard.quantile_groups: .* equal to 127"),
        ("seed = 0", "sead = 0", "corpus.sead: Extra inputs are not permitted"),
        ("seed = 0", "seed = ", "Invalid value"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, old: str, new: str, problem: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(DEMO.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError, match=f"{path}: {problem}"):
        read_config(path)


def test_the_demo_is_valid() -> None:
    assert read_config(DEMO).dashboard.top_examples == 12
