"""Which positions of a context count by a source's recipe."""

import torch

from memicos_engine.sources.recipe import SourceRecipe


def ignored_positions(recipe: SourceRecipe, has_bos: bool) -> list[int]:
    """Positions that the recipe ignores whatever the norm of their activations.

    Position 0 of a recipe that prepends BOS is that BOS. If the model has no BOS (`has_bos` False), the text begins at
    position 0, which then counts.
    """
    no_bos = recipe.prepend_bos and not has_bos
    return [position for position in recipe.ignored_positions if not (no_bos and position == 0)]


def included_positions(hidden: torch.Tensor, recipe: SourceRecipe, has_bos: bool) -> torch.Tensor:
    """Boolean (B, T) or (T,) for `hidden` (B, T, D) or (T, D): False where ignored and above the recipe's norm cut."""
    counted = torch.ones(hidden.shape[:-1], dtype=torch.bool, device=hidden.device)
    inside = [position for position in ignored_positions(recipe, has_bos) if position < hidden.shape[-2]]
    counted[..., inside] = False
    if recipe.norm_cut is not None:
        counted &= hidden.float().norm(dim=-1) <= recipe.norm_cut
    return counted
