"""SQL that reads and writes vectors."""

from collections.abc import Sequence

from sqlalchemy import delete as delete_from
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog.models import Visibility
from memicos_webapp.catalog.visibility import Viewer, visible_vectors
from memicos_webapp.database.mapping import from_row
from memicos_webapp.vectors.models import Vector, VectorExample
from memicos_webapp.vectors.rows import VectorExampleRow, VectorRow


async def vector(session: AsyncSession, viewer: Viewer, model_id: str, source: str, index: int) -> VectorRow | None:
    statement = visible_vectors(viewer).where(
        Vector.model_id == model_id, Vector.source == source, Vector.index == index
    )
    row = (await session.execute(statement)).mappings().one_or_none()
    return from_row(VectorRow, row) if row else None


async def own_vectors(session: AsyncSession, viewer: Viewer) -> list[VectorRow]:
    """The vectors of the viewer's account, the newest first."""
    statement = visible_vectors(viewer).where(Vector.owner_id == viewer.account_id)
    rows = (await session.execute(statement.order_by(Vector.id.desc()))).mappings()
    return [from_row(VectorRow, row) for row in rows]


async def own_labels(session: AsyncSession, viewer: Viewer, model_id: str) -> list[tuple[str, int, str]]:
    """(source, index, label) of the account's vectors of a model, the newest first."""
    statement = visible_vectors(viewer).with_only_columns(
        Vector.source, Vector.index, Vector.label, maintain_column_froms=True
    )
    own = statement.where(Vector.owner_id == viewer.account_id, Vector.model_id == model_id)
    rows = await session.execute(own.order_by(Vector.id.desc()))
    return [(source, index, label) for source, index, label in rows]


async def lock_account(session: AsyncSession, viewer: Viewer) -> int:
    """The number of the account's vectors; until the transaction ends no other one adds any."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"vectors of {viewer.account_id}"))))
    statement = select(func.count()).select_from(Vector).where(Vector.owner_id == viewer.account_id)
    return await session.scalar(statement) or 0


async def add(
    session: AsyncSession,
    viewer: Viewer,
    *,
    model_id: str,
    source: str,
    index: int,
    layer: int,
    hook_name: str,
    label: str,
    values: Sequence[float],
    default_strength: float | None,
    visibility: Visibility,
) -> bool:
    """Store a vector of the viewer's; False where its address exists."""
    statement = (
        insert(Vector)
        .values(
            model_id=model_id,
            source=source,
            index=index,
            layer=layer,
            hook_name=hook_name,
            label=label,
            values=list(values),
            default_strength=default_strength,
            visibility=visibility,
            owner_id=viewer.account_id,
        )
        .on_conflict_do_nothing()
        .returning(Vector.id)
    )
    return await session.scalar(statement) is not None


async def delete(session: AsyncSession, row: VectorRow) -> None:
    await session.execute(delete_from(Vector).where(Vector.id == row.id))


async def lock_examples(session: AsyncSession, row: VectorRow) -> int:
    """The number of the vector's examples; until the transaction ends no other one adds any."""
    await session.execute(select(Vector.id).where(Vector.id == row.id).with_for_update())
    statement = select(func.count()).select_from(VectorExample).where(VectorExample.vector_id == row.id)
    return await session.scalar(statement) or 0


async def add_examples(session: AsyncSession, row: VectorRow, examples: Sequence[VectorExampleRow]) -> None:
    rows = [
        {"vector_id": row.id, "tokens": item.tokens, "values": item.values, "max_value": item.max_value}
        for item in examples
    ]
    await session.execute(insert(VectorExample), rows)


async def examples(session: AsyncSession, row: VectorRow, limit: int) -> list[VectorExampleRow]:
    """The vector's examples, those with the largest value first."""
    statement = (
        select(VectorExample.tokens, VectorExample.values, VectorExample.max_value)
        .where(VectorExample.vector_id == row.id)
        .order_by(VectorExample.max_value.desc(), VectorExample.id)
        .limit(limit)
    )
    return [from_row(VectorExampleRow, item) for item in (await session.execute(statement)).mappings()]
