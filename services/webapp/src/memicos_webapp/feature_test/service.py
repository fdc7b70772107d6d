"""Values of a feature, or of a vector in its place, over a text of the user's own."""

from dataclasses import dataclass

from memicos_webapp import recipes
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Database
from memicos_webapp.features import service as features
from memicos_webapp.inference.prompts import Prompt
from memicos_webapp.inference.service import Inference
from memicos_webapp.recipes import Recipe
from memicos_webapp.vectors import service as vectors
from memicos_webapp.vectors.names import is_vector_source
from memicos_webapp.vectors.rows import VectorRow


@dataclass(frozen=True)
class TextActivations:
    """`values` has one number for each of `tokens`; `ignored` are the positions where the number has no meaning.

    The maximum is over all positions or, with `ignore_bos`, over those that are not ignored.
    """

    tokens: list[str]
    token_ids: list[int]
    values: list[float]
    ignored: list[int]
    max_value: float
    max_index: int
    prepended_bos: bool
    recipe: Recipe

    @property
    def max_text(self) -> str:
        """Text of the strongest token; of a part of a character, the character."""
        return next((token for token in self.tokens[self.max_index :] if token), "")


@dataclass(frozen=True)
class Target:
    """The feature or, where `vector` is not None, the vector that a text is run for.

    `max_activation` is the largest in the corpus, or in a vector's texts; 0 where there is none.
    """

    model_id: str
    source: str
    index: int
    max_activation: float
    vector: VectorRow | None = None

    @property
    def source_path(self) -> str:
        return f"/{self.model_id}/{self.source}"

    @property
    def path(self) -> str:
        return f"{self.source_path}/{self.index}"


async def get_target(database: Database, viewer: Viewer, model: str, source: str, index: int | str) -> Target:
    """What a text is run for; `index` may be a segment of a page's address.

    Raises:
        NotFound: model, source or index is unknown.
    """
    async with database.snapshot() as session:
        if is_vector_source(source):
            number = vectors.index_in_path(index) if isinstance(index, str) else index
            row = await vectors.get(session, viewer, model, source, number)
            return Target(row.model_id, row.source, row.index, await vectors.max_value(session, row), row)
        number = (
            await features.index_in_path(session, viewer, model, source, index) if isinstance(index, str) else index
        )
        info, feature = await features.get(session, viewer, model, source, number)
        return Target(info.model_id, info.name, feature.index, feature.max_activation)


async def run(inference: Inference, target: Target, prompt: Prompt, ignore_bos: bool) -> TextActivations:
    """The values over `prompt`; `ignore_bos` leaves ignored positions out of the maximum."""
    if target.vector is not None:
        return await _project(inference, target.vector, prompt, ignore_bos)
    response = await inference.single(target.model_id, target.source, target.index, prompt, ignore_bos)
    return TextActivations(
        tokens=response.tokens,
        token_ids=response.token_ids,
        values=response.activation.values,
        ignored=response.ignored_positions,
        max_value=response.activation.max_value,
        max_index=response.activation.max_value_index,
        prepended_bos=response.prepended_bos is True,
        recipe=recipes.inference_recipe(response.recipe),
    )


async def _project(inference: Inference, vector: VectorRow, prompt: Prompt, ignore_bos: bool) -> TextActivations:
    """A vector has no recipe that says which positions to ignore: it is a special token at the beginning.

    Models attend to the first token whatever it is, and its activation is many times as large as the others.
    """
    response = await inference.project(vector.model_id, vector.values, vector.hook_name, prompt)
    values = response.activation.values
    ignored = [0] if response.tokens_is_special[0] and len(values) > 1 else []
    counted = range(len(ignored) if ignore_bos else 0, len(values))
    max_index = max(counted, key=values.__getitem__)
    recipe = recipes.inference_recipe(response.recipe)
    return TextActivations(
        tokens=response.tokens,
        token_ids=response.token_ids,
        values=values,
        ignored=ignored,
        max_value=values[max_index],
        max_index=max_index,
        prepended_bos=response.prepended_bos is True,
        recipe=recipe.model_copy(update={"ignored_positions": ignored}),
    )
