"""Vectors that users upload: store, read, list and delete them, and add texts with their values."""

import math
import secrets
from collections.abc import Sequence

from memicos_dataset.wording import quantity
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog.rows import ModelInfo
from memicos_webapp.catalog.service import get_model
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.errors import BadInput, Conflict, NotFound, Refused
from memicos_webapp.features.service import parse_index
from memicos_webapp.settings import Settings, variable
from memicos_webapp.vectors import repository
from memicos_webapp.vectors.names import hook_name, source_name
from memicos_webapp.vectors.rows import VectorExampleRow, VectorRow
from memicos_webapp.vectors.schemas import NewVectorRequest, UploadedActivation

NO_ACCOUNT = (
    "Only an account has vectors. Sign in as the owner (`memicos owner-link`), or send an API key as X-Api-Key."
)
MAX_LENGTH = 1e30
"""Largest L2 norm: products with activations stay finite in float32."""
_FIRST_INDEX, _INDICES = 100_000_000, 900_000_000
"""Indices have nine digits, drawn at random: an unlisted vector is not found by counting."""


async def new(session: AsyncSession, viewer: Viewer, settings: Settings, body: NewVectorRequest) -> VectorRow:
    """Store a vector of the viewer's account.

    Raises:
        BadInput: the layer, the number of values, their values, the label or the strength is wrong.
        NotFound: the model is unknown.
        Conflict: the account has as many vectors as it may have.
    """
    model = await get_model(session, viewer, body.model_id)
    _check(settings, model, body)
    if await repository.lock_account(session, viewer) >= settings.vectors_per_account:
        raise Conflict(
            f"The account has {quantity(settings.vectors_per_account, 'vector')}, the most that it may have "
            f"({variable('vectors_per_account')}): delete one first."
        )
    source = source_name(body.layer_number, body.hook_type)
    while True:
        index = _FIRST_INDEX + secrets.randbelow(_INDICES)
        stored = await repository.add(
            session,
            viewer,
            model_id=model.id,
            source=source,
            index=index,
            layer=body.layer_number,
            hook_name=hook_name(body.layer_number, body.hook_type),
            label=body.vector_label,
            values=body.vector,
            default_strength=body.vector_default_steer_strength,
            visibility=body.visibility,
        )
        if stored:
            return await get(session, viewer, model.id, source, index)


def _check(settings: Settings, model: ModelInfo, body: NewVectorRequest) -> None:
    if body.layer_number >= model.layers:
        raise BadInput(f"{model.id} has no layer {body.layer_number}; its layers are 0 to {model.layers - 1}.")
    if len(body.vector) != model.d_model:
        raise BadInput(
            f"vector has {quantity(len(body.vector), 'number')}; the residual stream of {model.id} is "
            f"{model.d_model} wide."
        )
    if not any(body.vector):
        raise BadInput("Every number of vector is 0: it has no direction.")
    if math.hypot(*body.vector) > MAX_LENGTH:
        raise BadInput(f"vector has a length (L2 norm) of more than {MAX_LENGTH:g}: models compute in 32 bits or less.")
    if len(body.vector_label) > settings.vector_label_characters:
        raise BadInput(
            f"vectorLabel has {len(body.vector_label):,} characters; at most {settings.vector_label_characters} are "
            f"allowed ({variable('vector_label_characters')})."
        )
    strength = body.vector_default_steer_strength
    if strength is not None and abs(strength) > settings.steer_strength:
        raise BadInput(
            f"vectorDefaultSteerStrength is {strength:g}; allowed is -{settings.steer_strength:g} to "
            f"{settings.steer_strength:g}."
        )


def index_in_path(text: str) -> int:
    """The index in a page's address.

    Raises:
        NotFound: it is no index.
    """
    try:
        return parse_index(text)
    except BadInput as fault:
        raise NotFound(fault.message) from None


async def get(session: AsyncSession, viewer: Viewer, model_id: str, source: str, index: int) -> VectorRow:
    """A vector that the viewer may read.

    Raises:
        NotFound: there is none, or the model is unknown.
    """
    row = await repository.vector(session, viewer, model_id, source, index)
    if row is None:
        model = await get_model(session, viewer, model_id)
        raise NotFound(f"{model.id} has no vector {source}/{index}. POST /api/vector/list-owned lists your own.")
    return row


async def own(session: AsyncSession, viewer: Viewer) -> list[VectorRow]:
    """The vectors of the viewer's account, the newest first.

    Raises:
        Refused: the request has no account.
    """
    if viewer.account_id is None:
        raise Refused(NO_ACCOUNT)
    return await repository.own_vectors(session, viewer)


def may_change(viewer: Viewer, row: VectorRow) -> bool:
    """Whether the viewer is the vector's owner; one without an owner belongs to administrators."""
    return viewer.admin or (row.owner_id is not None and row.owner_id == viewer.account_id)


async def get_own(session: AsyncSession, viewer: Viewer, model_id: str, source: str, index: int) -> VectorRow:
    """A vector that the viewer may change.

    Raises:
        NotFound: there is none, or the model is unknown.
        Refused: it is of another account.
    """
    row = await get(session, viewer, model_id, source, index)
    if not may_change(viewer, row):
        raise Refused(f"{row.model_id}/{row.name} is another account's: only its owner may change it.")
    return row


async def delete(session: AsyncSession, viewer: Viewer, model_id: str, source: str, index: int) -> None:
    """Delete a vector with its examples; `get_own` has the errors."""
    await repository.delete(session, await get_own(session, viewer, model_id, source, index))


async def add_examples(
    session: AsyncSession,
    viewer: Viewer,
    settings: Settings,
    address: tuple[str, str, int],
    activations: Sequence[UploadedActivation],
) -> None:
    """Store texts with a vector's values.

    Args:
        address: model, source and index of the vector.

    Raises:
        BadInput: a text has another number of values than tokens, or is too long.
        Conflict: the vector would have more texts than it may have.
        NotFound, Refused: as for `get_own`.
    """
    row = await get_own(session, viewer, *address)
    for number, item in enumerate(activations):
        if len(item.values) != len(item.tokens):
            raise BadInput(
                f"activations.{number} has {quantity(len(item.tokens), 'token')} and "
                f"{quantity(len(item.values), 'value')}."
            )
        if len(item.tokens) > settings.vector_example_tokens:
            raise BadInput(
                f"activations.{number} has {len(item.tokens):,} tokens; at most {settings.vector_example_tokens:,} are "
                f"allowed ({variable('vector_example_tokens')})."
            )
    stored = await repository.lock_examples(session, row)
    if stored + len(activations) > settings.vector_examples:
        raise Conflict(
            f"{row.model_id}/{row.name} has {quantity(stored, 'text')}; {quantity(len(activations), 'text')} more "
            f"would exceed {settings.vector_examples} ({variable('vector_examples')})."
        )
    examples = [VectorExampleRow(item.tokens, item.values, max(item.values)) for item in activations]
    await repository.add_examples(session, row, examples)


async def max_value(session: AsyncSession, row: VectorRow) -> float:
    """The largest value in the vector's texts; 0 where it has none, or no positive one."""
    strongest = await repository.examples(session, row, limit=1)
    return max(0.0, strongest[0].max_value) if strongest else 0.0


async def examples(session: AsyncSession, row: VectorRow, settings: Settings) -> list[VectorExampleRow]:
    """The texts of a vector, those with the largest value first."""
    return await repository.examples(session, row, settings.vector_examples)
