"""`model check` gives the verdict of a load for every class of language model, though it has no weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from memicos_engine.errors import LoadError
from memicos_engine.model import hook_points, model_names
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.selftest.length_check import checked_boundaries
from memicos_inference import model_loading
from memicos_inference.commands.model_check import report_lines
from memicos_inference.settings import Settings
from memicos_testing.models.model_classes import CASES, REFUSED, write_model

FAST = ("phimoe longrope", "mixtral", "gemma3", "bloom", "mamba", "bart", "deepseek_v4")
"""Tested in `make test`; `make test-models` tests all others."""
WITHOUT_HOOKS = ("jetmoe",)
"""Served classes of which only a load shows the hooks: shapes depend on the values of a router."""
CLASSES = {**CASES, **{name: case for name, (case, _) in REFUSED.items()}}


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in CLASSES]
)
def test_the_verdict_is_that_of_a_load(
    name: str, settings: Callable[..., Settings], model_folder: Path, tmp_path: Path
) -> None:
    folder = write_model(tmp_path / "model", CLASSES[name], model_folder)
    own = settings(custom_hf_model_id=str(folder), sae_sets=())
    location = model_names.locate_weights(own.models)
    loaded = result_or_refusal(lambda: model_loading.load_model(own, lambda text, fraction: None).model)
    outline = result_or_refusal(lambda: model_loading.load_outline(location, folder))
    assert isinstance(loaded, str) == (name in REFUSED)
    if isinstance(loaded, str) or isinstance(outline, str):
        assert outline == loaded
        return
    assert checked_boundaries(outline, None) == checked_boundaries(loaded, None)
    assert outline.max_context == loaded.max_context
    assert "keys and values" in dict(report_lines(outline, location, folder, own))
    if name in WITHOUT_HOOKS:
        with pytest.raises(RuntimeError):
            hook_points.steerable_hooks(outline)
    else:
        # that a block's parts sum to its output shows when the weights are loaded
        widths = {name: width for name, (_, width) in outline.hook_modules.by_name.items()}
        for hook, (_, width) in loaded.hook_modules.by_name.items():
            assert widths[hook] == width


def result_or_refusal(load: Callable[[], LanguageModel]) -> Any:
    try:
        return load()
    except LoadError as error:
        return str(error)
