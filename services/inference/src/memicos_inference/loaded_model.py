"""What the model's thread holds once the model is loaded, and the checks that every request passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memicos_inference.http.errors import BadInput
from memicos_inference.scheduler.caches import ActivationCache, Cache, TextCache
from memicos_inference.settings import Settings
from memicos_inference.verification.state import Verification

if TYPE_CHECKING:  # torch is imported in the model's thread, not with the routes
    from memicos_engine.generation.decoder import Decoder
    from memicos_engine.model.language_model import LanguageModel
    from memicos_engine.sources.source import SourceInfo
    from memicos_engine.sources.source_cache import SourceCache


@dataclass(frozen=True)
class LoadedModel:
    """`names` are the ids that requests may give as `model`; the first is the model's own.

    `decoder` writes the texts of all requests; `texts` and `residuals` are what is kept of earlier ones.
    """

    settings: Settings
    accepted_names: tuple[str, ...]
    weights: str
    model: LanguageModel
    source_cache: SourceCache
    decoder: Decoder
    text_cache: TextCache
    activation_cache: ActivationCache
    verification: Verification | None = None

    @property
    def caches(self) -> dict[str, Cache]:
        """By name."""
        return {"texts": self.text_cache, "residuals": self.activation_cache}

    @property
    def sae_sets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(source_set_of(source_id) for source_id in self.source_cache.ids))

    def check_model(self, name: str) -> None:
        if name not in self.accepted_names:
            raise BadInput(f"Unsupported model '{name}': this server runs {' = '.join(self.accepted_names)}.")

    def check_room(self, source_ids: Sequence[str]) -> None:
        """Sources that one request uses are in memory together."""
        most, most_bytes = self.settings.max_loaded_saes, self.settings.sae_bytes
        if len(source_ids) > most:
            raise BadInput(
                f"Number of requested SAEs ({len(source_ids)}) exceeds the maximum allowed ({most}, MAX_LOADED_SAES)."
            )
        if (nbytes := self.source_cache.nbytes(source_ids)) > most_bytes:
            raise BadInput(
                f"The {len(source_ids)} requested SAEs take {nbytes:,} bytes of memory together; at most "
                f"{most_bytes:,} are given (INFERENCE_SAE_BYTES). Ask for fewer at a time."
            )

    def source_info(self, source_id: str) -> SourceInfo:
        """A source without its weights.

        Raises:
            BadInput: there is no source of that id.
            LoadError: it cannot be loaded.
        """
        self._check_known(source_id)
        return self.source_cache.info(source_id)

    def check_current(self, info: SourceInfo) -> None:
        """Raises BadInput where the source was removed, or replaced by another, since `info` was read."""
        if self.source_info(info.id) is not info:
            raise BadInput(f"Source {info.id} was replaced while this request ran. Send the request again.")

    def _check_known(self, source_id: str) -> None:
        if source_id not in self.source_cache:
            known = self.source_cache.ids
            some = ", ".join(known[:6]) + (f" and {len(known) - 6} others" if len(known) > 6 else "")
            raise BadInput(f"Unknown source '{source_id}': this server has {some or 'no sources'}.")

    @property
    def prepend_bos(self) -> bool:
        """Whether prompts get a BOS: as the sources were trained, or as the tokenizer does without sources."""
        return self.source_cache.prepend_bos if self.source_cache.ids else self.model.tokenizer_prepends_bos

    def prompts(self, texts: Sequence[str], prepend_bos: bool) -> list[list[int]]:
        """Token ids of one text or several, within the limits of each and of all together."""
        most, budget = self.settings.max_prompts, self.settings.batch_tokens
        if not texts:
            raise BadInput("At least one prompt is required.")
        if len(texts) > most:
            raise BadInput(f"Batch size {len(texts)} exceeds maximum of {most} (INFERENCE_MAX_PROMPTS).")
        places = [f" (prompts.{number})" if len(texts) > 1 else "" for number in range(len(texts))]
        found = [self.ids(text, prepend_bos, place) for text, place in zip(texts, places, strict=True)]
        longest = max(len(ids) for ids in found)
        if len(found) > 1 and len(found) * longest > budget:
            raise BadInput(
                f"{len(found)} prompts, the longest of {longest} tokens, are {len(found) * longest} tokens when padded "
                f"to one length; at most {budget} run together (INFERENCE_BATCH_TOKENS). Send fewer at a time, those "
                "of about one length together."
            )
        return found

    def ids(self, text: str, prepend_bos: bool, place: str = "") -> list[int]:
        """Token ids within the limit. `place` says in an error which text it was."""
        ids = self.model.token_ids(text, prepend_bos)
        self.check_length(ids, place)
        if not ids:
            raise BadInput(f"The prompt is empty: it has no tokens{place}.")
        return ids

    @property
    def most_tokens(self) -> int:
        """Of a prompt."""
        return min(self.settings.token_limit, self.model.max_context)

    def check_length(self, ids: list[int], place: str = "") -> None:
        if len(ids) > self.most_tokens:
            raise BadInput(f"Text too long: {len(ids)} tokens, max is {self.most_tokens}{place}")

    def check_values(self, count: int) -> None:
        """Whether an answer may have so many activations."""
        most = self.settings.max_values
        if count > most:
            raise BadInput(
                f"The answer would have {count} activations; at most {most} are sent (INFERENCE_MAX_VALUES). "
                "Ask for less at a time."
            )


def source_set_of(source_id: str) -> str:
    """The source set of a source id: `res-4k` of `15-res-4k` and of `15-res-4k__other`; `neurons` of a bare layer."""
    return source_id.partition("-")[2].partition("__")[0] or "neurons"
