"""Scores an explanation by what the feature does to the model's output."""

from memicos_autointerp_core.scorers import output_effects, statistics
from memicos_autointerp_core.scorers.interface import MIN_PER_CLASS
from memicos_embeddings.embedder import EmbedderError
from memicos_embeddings.registry import EmbedderRegistry

from memicos_autointerp.errors import BadInput, EmbeddingFailed
from memicos_autointerp.score.schemas import OutputText, ScoreOutputRequest, ScoreOutputResponse
from memicos_autointerp.score.service import score_fields
from memicos_autointerp.settings import Settings

METHODS: dict[str, output_effects.Method] = {"TEXTS": output_effects.TEXTS, "TOKENS": output_effects.TOKENS}


def _check(body: ScoreOutputRequest, settings: Settings) -> None:
    """Refuse a request with too few or too many texts.

    Raises:
        BadInput: it is refused.
    """
    for name, texts in (("raised", body.raised), ("others", body.others)):
        if len(texts) < MIN_PER_CLASS:
            raise BadInput(f"A score needs at least {MIN_PER_CLASS} texts in {name}: {len(texts)} were sent.")
    texts = [*body.raised, *body.others]
    if len(texts) > settings.max_activations:
        raise BadInput(
            f"{len(texts)} texts were sent; at most {settings.max_activations} are taken (AUTOINTERP_MAX_ACTIVATIONS)."
        )
    characters = sum(map(len, texts))
    if characters > settings.max_characters:
        raise BadInput(
            f"The texts have {characters} characters; at most {settings.max_characters} are taken "
            "(AUTOINTERP_MAX_CHARACTERS)."
        )


async def score_output(
    body: ScoreOutputRequest, settings: Settings, embedders: EmbedderRegistry
) -> ScoreOutputResponse:
    """The share of pairs of a raised and another text in which the raised one is nearer to the explanation.

    Raises:
        BadInput: the request exceeds a limit, or has too few texts.
        EmbeddingFailed: the embedder gave no vectors.
    """
    _check(body, settings)
    embedder = embedders.by_key[embedders.preferred]
    try:
        score = await output_effects.score(
            METHODS[body.kind], body.explanation, body.raised, body.others, embedder.embed, embedder.title, body.seed
        )
    except EmbedderError as error:
        raise EmbeddingFailed(error.message) from None
    breakdown = [
        OutputText(index=row.text.context or 0, raised=row.truth, text=row.text.text, similarity=row.probability or 0.0)
        for row in score.breakdown
    ]
    return ScoreOutputResponse(**score_fields(score, statistics.AUC, score.model), breakdown=breakdown)
