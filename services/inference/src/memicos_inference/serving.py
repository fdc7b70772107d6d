"""What the worker's thread holds once the model is loaded, and the checks that every request passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from memicos_inference.errors import BadInput
from memicos_inference.settings import Settings
from memicos_inference.verification import Verification
from memicos_inference.worker import Budget

if TYPE_CHECKING:  # torch is imported in the worker's thread, not with the routes
    from memicos_engine.model import LanguageModel
    from memicos_engine.shelf import Shelf
    from memicos_engine.sources import Source


@dataclass(frozen=True)
class Served:
    """`names` are the ids that requests may give as `model`; the first is the model's own.

    `kv` is the memory for keys and values, in bytes, that generations share.
    """

    settings: Settings
    names: tuple[str, ...]
    weights: str
    model: LanguageModel
    shelf: Shelf
    sae_sets: tuple[str, ...]
    kv: Budget
    verification: Verification | None = None

    def check_model(self, name: str) -> None:
        if name not in self.names:
            raise BadInput(f"Unsupported model '{name}': this server runs {' = '.join(self.names)}.")

    def source(self, source_id: str) -> Source:
        """Loads it where it is not in memory, and compares it with its record when it is first used."""
        if source_id not in self.shelf:
            known = self.shelf.ids
            some = ", ".join(known[:6]) + (f" and {len(known) - 6} others" if len(known) > 6 else "")
            raise BadInput(f"Unknown source '{source_id}': this server has {some or 'no sources'}.")
        source = self.shelf.get(source_id)
        if self.verification:
            self.verification.check_source(self.model, source)
        return source

    @property
    def prepend_bos(self) -> bool:
        """Whether prompts get a BOS: as the sources were trained, or as the tokenizer does without sources."""
        return self.shelf.prepend_bos if self.shelf.ids else self.model.tokenizer_prepends_bos

    def ids(self, text: str, prepend_bos: bool) -> list[int]:
        """Token ids within the limit."""
        ids = self.model.token_ids(text, prepend_bos)
        self.check_length(ids)
        if not ids:
            raise BadInput("The prompt is empty: it has no tokens.")
        return ids

    def check_length(self, ids: list[int]) -> None:
        limit = min(self.settings.token_limit, self.model.max_context)
        if len(ids) > limit:
            raise BadInput(f"Text too long: {len(ids)} tokens, max is {limit}")


def set_of(source_id: str) -> str:
    """The source set of a source id: `res-4k` of `15-res-4k` and of `15-res-4k__other`."""
    return source_id.partition("-")[2].partition("__")[0]
