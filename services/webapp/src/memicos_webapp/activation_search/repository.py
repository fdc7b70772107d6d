"""SQL of search by text: densities and maximum activations of features."""

from collections.abc import Iterable, Sequence

from sqlalchemy import BigInteger, Integer, and_, bindparam, column, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.activation_search.share_ranking import FeatureKey
from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.features.models import Feature


async def dense_features(session: AsyncSession, sources: Iterable[SourceInfo], max_density: float) -> set[FeatureKey]:
    """Features of `sources` that fire on a larger share of tokens than `max_density`."""
    names = {source.load_id: source.name for source in sources}
    rows = await session.execute(
        select(Feature.load_id, Feature.index).where(Feature.load_id.in_(names), Feature.density > max_density)
    )
    return {(names[row["load_id"]], row["index"]) for row in rows.mappings()}


_KEYS = (
    func.unnest(bindparam("loads", type_=ARRAY(BigInteger)), bindparam("indices", type_=ARRAY(Integer)))
    .table_valued(column("load_id", BigInteger), column("index", Integer))
    .render_derived(name="key")
)
_LARGEST = (
    select(Feature.load_id, Feature.index, Feature.max_activation)
    .select_from(_KEYS)
    .join(Feature, and_(Feature.load_id == _KEYS.c.load_id, Feature.index == _KEYS.c.index))
    .where(Feature.max_activation > 0, Feature.density <= bindparam("max_density"))
)


async def maximum_activations(
    session: AsyncSession, features: Sequence[tuple[SourceInfo, Iterable[int]]], max_density: float | None
) -> dict[FeatureKey, float]:
    """The maximum activation in its dataset of each feature (source, indices) that fires there.

    Features that fire on a larger share of tokens than `max_density` are absent; None: none is left out for that.
    """
    names = {source.load_id: source.name for source, _ in features}
    keys = [(source.load_id, index) for source, indices in features for index in indices]
    values = {
        "loads": [load_id for load_id, _ in keys],
        "indices": [index for _, index in keys],
        "max_density": 1.0 if max_density is None else max_density,
    }
    rows = await session.execute(_LARGEST, values)
    return {(names[row["load_id"]], row["index"]): row["max_activation"] for row in rows.mappings()}
