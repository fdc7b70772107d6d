"""A feature's values over a text of the user's own."""

from dataclasses import dataclass

from memicos_webapp import recipes
from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Database
from memicos_webapp.features import service as features
from memicos_webapp.features.rows import FeatureRow
from memicos_webapp.inference.prompts import Prompt
from memicos_webapp.inference.service import Inference
from memicos_webapp.recipes import Recipe


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


async def get_feature(
    database: Database, viewer: Viewer, model: str, source: str, index: int | str
) -> tuple[SourceInfo, FeatureRow]:
    """The feature that a text is run for; `index` may be a segment of a page's address.

    Raises:
        NotFound: model, source or index is unknown.
    """
    async with database.snapshot() as session:
        number = (
            await features.index_in_path(session, viewer, model, source, index) if isinstance(index, str) else index
        )
        return await features.get(session, viewer, model, source, number)


async def run(
    inference: Inference, model: str, source: str, index: int, prompt: Prompt, ignore_bos: bool
) -> TextActivations:
    """The feature's values over `prompt`; `ignore_bos` leaves ignored positions out of the maximum."""
    response = await inference.single(model, source, index, prompt, ignore_bos)
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
