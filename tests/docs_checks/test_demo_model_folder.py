"""`make demo` gives inference its folders for any MEMICOS_DATA."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ENV_FILE = ROOT / ".env.inference.smollm2-135m-it.res-4k"


@pytest.fixture
def demo_options(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(ROOT / "demo"))
    monkeypatch.delitem(sys.modules, "demo_options", raising=False)
    import demo_options  # pyright: ignore[reportMissingImports]

    yield demo_options
    sys.modules.pop("demo_options")


def test_the_model_is_in_the_data_folder(demo_options: Any, tmp_path: Path) -> None:
    expected = {"CUSTOM_HF_MODEL_ID": str(tmp_path / "models/smollm2-135m-it")}
    assert demo_options.model_setting(ENV_FILE, tmp_path, {}) == expected


def test_other_settings_stay(demo_options: Any, tmp_path: Path) -> None:
    assert demo_options.model_setting(ENV_FILE, ROOT / ".data", {}) == {}
    assert demo_options.model_setting(ENV_FILE, tmp_path, {"CUSTOM_HF_MODEL_ID": "/models/own"}) == {}
    own = tmp_path / "own.env"
    own.write_text("CUSTOM_HF_MODEL_ID=/models/own\n")
    assert demo_options.model_setting(own, tmp_path, {}) == {}


def test_results_of_the_self_test_are_in_the_data_folder(demo_options: Any, tmp_path: Path) -> None:
    name = "INFERENCE_SELFTEST_RESULTS"
    assert demo_options.selftest_setting(ENV_FILE, tmp_path, {}) == {name: str(tmp_path / "selftest")}
    assert demo_options.selftest_setting(ENV_FILE, tmp_path, {name: "/results"}) == {}
    own = tmp_path / "own.env"
    own.write_text(f"{name}=/results\n")
    assert demo_options.selftest_setting(own, tmp_path, {}) == {}
