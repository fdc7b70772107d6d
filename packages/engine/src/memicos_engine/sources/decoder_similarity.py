"""Features of a source whose decoder rows are most similar to a direction."""

import torch

from memicos_engine.errors import InvalidRequestError
from memicos_engine.sources.source import Source

_ROWS_AT_A_TIME = 8192


@torch.inference_mode()
def most_similar(source: Source, direction: torch.Tensor, limit: int) -> list[tuple[int, float]]:
    """(index, cosine) of the `limit` decoder rows with the largest cosine to `direction` (D,); ties by index.

    Rows of length 0 have no direction and are left out. Computed in float32.

    Raises:
        InvalidRequestError: the direction is zero, not finite, or of another width than the source's rows.
    """
    rows = source.decoder_rows()
    if len(direction) != rows.shape[1]:
        raise InvalidRequestError(
            f"The direction has {len(direction)} numbers; those of source {source.id} have {rows.shape[1]}."
        )
    target = direction.to(rows.device).double()
    if not target.any() or not target.isfinite().all():
        raise InvalidRequestError("The direction is zero or not finite.")
    target /= target.abs().max()  # avoids overflow in the squares of large numbers
    unit = (target / target.norm()).float()
    cosines = torch.cat([_cosines(chunk.float(), unit) for chunk in rows.split(_ROWS_AT_A_TIME)])
    order = cosines.sort(descending=True, stable=True).indices[:limit]
    return [
        (index, cosine)
        for index, cosine in zip(order.tolist(), cosines[order].tolist(), strict=True)
        if cosine > -torch.inf
    ]


def _cosines(rows: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
    """Cosines (n,) of `rows` (n, D) with `unit`; minus infinity for a row of length 0."""
    cosines = rows @ unit / rows.norm(dim=1)
    return torch.where(cosines.isfinite(), cosines, -torch.inf)
