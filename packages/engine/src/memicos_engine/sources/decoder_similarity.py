"""Which features of a source point the way that a direction does."""

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
    wanted = direction.to(rows.device).double()
    if not wanted.any() or not wanted.isfinite().all():
        raise InvalidRequestError("The direction is zero or not finite: it points nowhere.")
    wanted /= wanted.abs().max()  # squares of large numbers are none
    unit = (wanted / wanted.norm()).float()
    cosines = torch.cat([_cosines(some.float(), unit) for some in rows.split(_ROWS_AT_A_TIME)])
    order = cosines.sort(descending=True, stable=True).indices[:limit]
    return [
        (index, cosine)
        for index, cosine in zip(order.tolist(), cosines[order].tolist(), strict=True)
        if cosine > -torch.inf
    ]


def _cosines(rows: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
    """(n,) for `rows` (n, D); minus infinity where a row has no direction."""
    found = rows @ unit / rows.norm(dim=1)
    return torch.where(found.isfinite(), found, -torch.inf)
