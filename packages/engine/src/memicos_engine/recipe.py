"""How text becomes the activations that a source was trained on."""

import json
from dataclasses import dataclass
from pathlib import Path

FILE_NAME = "memicos.json"


@dataclass(frozen=True)
class Recipe:
    """`ignored_positions` and tokens whose norm at the hook exceeds `norm_cut` mean nothing to the source.

    `hook_name_out` is where a transcoder's output belongs; None for a source that reconstructs its own input.
    """

    hook_name: str
    prepend_bos: bool
    context_size: int
    ignored_positions: tuple[int, ...] = ()
    norm_cut: float | None = None
    hook_name_out: str | None = None


class RecipeError(ValueError):
    """A recipe file that cannot be used."""


def read_extras(folder: Path) -> dict[str, tuple[int, ...] | float | None]:
    """Ignored positions and norm cut from `memicos.json` beside a source's weights; SAELens has no place for them.

    Without the file nothing but a prepended BOS is ignored, and no norm is cut.

    Raises:
        RecipeError: the file is there and is not what it should be.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        positions = tuple(int(position) for position in content.get("ignored_positions", ()))
        cut = content.get("norm_cut")
        return {"ignored_positions": positions, "norm_cut": None if cut is None else float(cut)}
    except (ValueError, TypeError, AttributeError) as error:
        raise RecipeError(
            f'{path}: expected {{"ignored_positions": [int], "norm_cut": number or null}} ({error})'
        ) from error
