"""The loaded model with its sources and caches, and the checks of requests against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memicos_engine.errors import LoadError

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
    """The model, its sources and its caches. Belongs to the model's thread.

    Attributes:
        settings: settings that it was loaded with.
        accepted_names: ids that requests may give as `model`; the first is the model's own.
        weights: origin of the weights: a hub id or a folder.
        model: the language model.
        source_cache: the sources; weights of those in memory.
        decoder: generates the texts of all requests in one batch.
        text_cache: unsteered texts of earlier requests.
        activation_cache: activations of earlier requests.
        verification: results of the self-test; None where nothing is verified, as in commands.
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
        """The caches by the name that metrics use."""
        return {"texts": self.text_cache, "residuals": self.activation_cache}

    @property
    def sae_sets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(source_set_of(source_id) for source_id in self.source_cache.ids))

    def check_model(self, name: str) -> None:
        if name not in self.accepted_names:
            raise BadInput(f"Unsupported model '{name}': this server runs {' = '.join(self.accepted_names)}.")

    def check_room(self, source_ids: Sequence[str]) -> None:
        """Raises BadInput where the sources of one request exceed what may be in memory together."""
        max_sources, max_bytes = self.settings.max_loaded_saes, self.settings.sae_bytes
        if len(source_ids) > max_sources:
            raise BadInput(
                f"Number of requested SAEs ({len(source_ids)}) exceeds the maximum allowed "
                f"({max_sources}, MAX_LOADED_SAES)."
            )
        if (nbytes := self.source_cache.nbytes(source_ids)) > max_bytes:
            raise BadInput(
                f"The {len(source_ids)} requested SAEs take {nbytes:,} bytes of memory together; at most "
                f"{max_bytes:,} are available (INFERENCE_SAE_BYTES). Request fewer at a time."
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
        """Raises BadInput where the source was removed or replaced since `info` was read."""
        if self.source_info(info.id) is not info:
            raise BadInput(f"Source {info.id} was replaced while this request ran. Send the request again.")

    def _check_known(self, source_id: str) -> None:
        if source_id not in self.source_cache:
            loaded_ids = self.source_cache.ids
            examples = ", ".join(loaded_ids[:6]) + (f" and {len(loaded_ids) - 6} others" if len(loaded_ids) > 6 else "")
            raise BadInput(f"Unknown source '{source_id}': this server has {examples or self._no_sources()}.")

    def check_source_set(self, source_set: str) -> None:
        """Refuse a source set of which no source can be served.

        Raises:
            BadInput: there is no such set.
            LoadError: its sources cannot be loaded.
        """
        if source_set in self.sae_sets:
            return
        for source_id, reason in self.source_cache.unavailable.items():
            if source_set in (source_id, source_set_of(source_id)):
                raise LoadError(reason)
        known = ", ".join(sorted(self.sae_sets)) or self._no_sources()
        raise BadInput(f"Invalid source set '{source_set}': this server has {known}.")

    def _no_sources(self) -> str:
        """What a server without sources has, and why."""
        unavailable = self.source_cache.unavailable
        reason = f", because none of {len(unavailable)} could be loaded: " if unavailable else ""
        return f"no sources{reason}{'; '.join(text.rstrip('.') for text in list(unavailable.values())[:3])}"

    @property
    def prepend_bos(self) -> bool:
        """Whether BOS is prepended to prompts: as the sources were trained; without sources, as the tokenizer does."""
        return self.source_cache.prepend_bos if self.source_cache.ids else self.model.tokenizer_prepends_bos

    def prompts(self, texts: Sequence[list[int]], prepend_bos: bool, field: str = "prompts") -> list[list[int]]:
        """Token ids of each prompt: those of the texts of the request's `field`, with BOS if `prepend_bos`.

        Raises:
            BadInput: a text, or all together, exceed the limits.
        """
        budget = self.settings.batch_tokens
        prompts = [
            self.prompt(ids, prepend_bos, _suffix(field, number, len(texts))) for number, ids in enumerate(texts)
        ]
        n, longest = len(prompts), max(len(ids) for ids in prompts)
        if n > 1 and n * longest > budget:
            raise BadInput(
                f"{n} prompts, the longest of {longest} tokens, are {n * longest} tokens when padded "
                f"to one length; at most {budget} run together (INFERENCE_BATCH_TOKENS). Send fewer at a time, those "
                "of about one length together."
            )
        return prompts

    def prompt(self, ids: list[int], prepend_bos: bool, suffix: str = "") -> list[int]:
        """Token ids of a prompt: those of its text, with BOS if `prepend_bos`. `suffix` names the text in errors.

        Raises BadInput for none or too many tokens.
        """
        ids = self.model.with_bos(ids, prepend_bos)
        self.check_length(ids, suffix)
        if not ids:
            raise BadInput(f"The prompt is empty: it has no tokens{suffix}.")
        return ids

    @property
    def max_prompt_tokens(self) -> int:
        """Largest number of tokens of a prompt."""
        return min(self.settings.token_limit, self.model.max_context)

    @property
    def longest_text(self) -> int:
        """Largest number of tokens of a prompt and its completion."""
        return min(self.settings.token_limit + self.settings.max_completion_tokens, self.model.max_context)

    @property
    def max_text_characters(self) -> int:
        """Largest number of characters of a prompt: more cannot be as few tokens as a prompt may have."""
        return self.max_prompt_tokens * self.model.characters_per_token

    def check_characters(self, counts: Sequence[int], field: str = "prompts") -> None:
        """Check texts before they are tokenised. From any thread.

        Args:
            counts: number of characters of each text of the request's `field`.

        Raises:
            BadInput: a text, or all together, have more characters than the tokens that are allowed can have.
        """
        limit, per_token = self.max_text_characters, self.model.characters_per_token
        for number, count in enumerate(counts):
            if count > limit:
                raise BadInput(
                    f"Text too long: {count:,} characters, max is {limit:,}{_suffix(field, number, len(counts))}: "
                    f"{self.max_prompt_tokens} tokens of at most {per_token} characters each."
                )
        total, budget = sum(counts), self.settings.batch_tokens
        if len(counts) > 1 and total > budget * per_token:
            raise BadInput(
                f"{len(counts)} prompts have {total:,} characters together, max is {budget * per_token:,}: {budget} "
                f"tokens (INFERENCE_BATCH_TOKENS) of at most {per_token} characters each. Send fewer at a time."
            )

    def check_text(self, text: str) -> None:
        """`check_characters` of one text."""
        self.check_characters([len(text)])

    def check_prompt_count(self, count: int) -> None:
        """Raises BadInput for no prompts, or more than INFERENCE_MAX_PROMPTS. From any thread."""
        limit = self.settings.max_prompts
        if not count:
            raise BadInput("At least one prompt is required.")
        if count > limit:
            raise BadInput(f"Batch size {count} exceeds maximum of {limit} (INFERENCE_MAX_PROMPTS).")

    def check_length(self, ids: list[int], suffix: str = "") -> None:
        if len(ids) > self.max_prompt_tokens:
            raise BadInput(f"Text too long: {len(ids)} tokens, max is {self.max_prompt_tokens}{suffix}")

    def check_message_count(self, count: int) -> None:
        """Raises BadInput for a conversation of more messages than a prompt may have tokens."""
        if count > self.max_prompt_tokens:
            raise BadInput(
                f"{count} messages are more than the {self.max_prompt_tokens} tokens that a prompt may have."
            )

    def check_values(self, count: int) -> None:
        """Raises BadInput where a response would have more than INFERENCE_MAX_VALUES activations."""
        limit = self.settings.max_values
        if count > limit:
            raise BadInput(
                f"The response would have {count} activations; at most {limit} are sent (INFERENCE_MAX_VALUES). "
                "Request fewer at a time."
            )


def _suffix(field: str, number: int, count: int) -> str:
    """Names text `number` of `count` in an error; a single text needs no name."""
    return f" ({field}.{number})" if count > 1 else ""


def source_set_of(source_id: str) -> str:
    """The source set of a source id: `res-4k` of `15-res-4k` and of `15-res-4k__other`; `neurons` of a bare layer."""
    return source_id.partition("-")[2].partition("__")[0] or "neurons"
