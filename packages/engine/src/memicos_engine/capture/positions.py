"""Which positions of a context count by a source's recipe."""

from collections.abc import Sequence

import torch

from memicos_engine.sources.recipe import SourceRecipe


def bos_at_start(
    ids: Sequence[int], bos_token_id: int | None, recipe: SourceRecipe, prepend_bos: bool | None = None
) -> bool:
    """Whether position 0 of a prompt is the BOS that the recipe, or the request by `prepend_bos`, asks for.

    Where neither asks for one, a text may begin with the same id, which is then a token like any other.
    """
    bos_requested = recipe.prepend_bos or prepend_bos is True
    return bos_requested and bos_token_id is not None and len(ids) > 0 and ids[0] == bos_token_id


def ignored_positions(recipe: SourceRecipe, has_bos: bool) -> list[int]:
    """Positions that the recipe ignores whatever the norm of their activations.

    `has_bos`: whether position 0 is BOS (`bos_at_start`). Without it, position 0 of a recipe that prepends BOS is a
    token of the text, which counts. A BOS that the recipe does not prepend is ignored: the source was not trained on
    it.
    """
    if has_bos == recipe.prepend_bos:
        return list(recipe.ignored_positions)
    if has_bos:
        return sorted({0, *recipe.ignored_positions})
    return [position for position in recipe.ignored_positions if position != 0]


def recipe_has_bos(recipe: SourceRecipe, bos_token_id: int | None) -> bool:
    """Whether position 0 of the recipe's own prompts is BOS: it prepends one, and the model has one."""
    return recipe.prepend_bos and bos_token_id is not None


def included_positions(hidden: torch.Tensor, recipe: SourceRecipe, has_bos: bool) -> torch.Tensor:
    """Boolean (B, T) or (T,) for `hidden` (B, T, D) or (T, D): False where ignored and above the recipe's norm cut.

    `has_bos`: as for `ignored_positions`, the same for all rows.
    """
    counted = torch.ones(hidden.shape[:-1], dtype=torch.bool, device=hidden.device)
    inside = [position for position in ignored_positions(recipe, has_bos) if position < hidden.shape[-2]]
    counted[..., inside] = False
    if recipe.norm_cut is not None:
        counted &= hidden.float().norm(dim=-1) <= recipe.norm_cut
    return counted
