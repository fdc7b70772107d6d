"""Limits of the texts of a request."""

from collections.abc import Sequence

from memicos_autointerp.errors import BadInput
from memicos_autointerp.explain.schemas import Activation
from memicos_autointerp.settings import Settings


def check_size(activations: Sequence[Activation], further_tokens: Sequence[str], settings: Settings) -> None:
    """Refuse a request with too many texts, or too many characters in texts and `further_tokens`.

    Raises:
        BadInput: a limit is exceeded.
    """
    if len(activations) > settings.max_activations:
        raise BadInput(
            f"{len(activations)} activations were sent; at most {settings.max_activations} are taken "
            "(AUTOINTERP_MAX_ACTIVATIONS)."
        )
    characters = sum(len(token) for activation in activations for token in activation.tokens)
    characters += sum(len(token) for token in further_tokens)
    if characters > settings.max_characters:
        raise BadInput(
            f"The activations have {characters} characters; at most {settings.max_characters} are taken "
            "(AUTOINTERP_MAX_CHARACTERS)."
        )
