"""Which positions of a context count."""

import torch

from memicos_engine.recipe import Recipe


def counted_positions(hidden: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Boolean (B, T) for `hidden` (B, T, D): False at the recipe's ignored positions and above its norm cut."""
    counted = torch.ones(hidden.shape[:-1], dtype=torch.bool, device=hidden.device)
    inside = [position for position in recipe.ignored_positions if position < hidden.shape[-2]]
    counted[..., inside] = False
    if recipe.norm_cut is not None:
        counted &= hidden.float().norm(dim=-1) <= recipe.norm_cut
    return counted
