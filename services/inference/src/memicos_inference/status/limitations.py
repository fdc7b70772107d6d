"""What endpoints of this server can't do, with this model and these sources, and why."""

from collections.abc import Iterator

from memicos_inference.loaded_model import LoadedModel
from memicos_inference.status.schemas import Limitation

ON_PROMPTS = (
    "/v1/activation/all",
    "/v1/activation/topk-by-token",
    "/v1/activation/all-batch",
    "/v1/activation/topk-by-token-batch",
    "/v1/activation/source",
)
OF_SOURCES = (*ON_PROMPTS, "/v1/util/sae-vector", "/v1/util/sae-topk-by-decoder-cossim")
"""They take nothing but features."""
OF_BOTH = (
    "/v1/activation/single",
    "/v1/activation/single-batch",
    "/v1/steer/completion",
    "/v1/steer/completion-chat",
)
"""They take features or vectors."""
ATTRIBUTED = ("/v1/activation/single", "/v1/activation/all", "/v1/activation/single-batch", "/v1/activation/all-batch")
WITH_BOS = ("/v1/tokenize", "/v1/activation/raw")
"""They let the request say whether BOS is prepended."""
CHAT, STEER = "/v1/steer/completion-chat", "/v1/steer/completion"
ADMIN = "/v1/admin/sources"
TEMPLATE = "/v1/apply-chat-template"


def limitations(loaded: LoadedModel) -> list[Limitation]:
    found = (
        *_of_sources(loaded),
        *_of_attribution(loaded),
        *_of_bos(loaded),
        *_of_chats(loaded),
        *_of_steering(),
        *_of_admin(loaded),
    )
    return [
        Limitation(endpoint=endpoint, cannot=cannot, why=why)
        for endpoints, cannot, why in found
        for endpoint in endpoints
    ]


_Found = Iterator[tuple[tuple[str, ...], str, str]]
"""Endpoints, what they can't do, and why."""


def _of_sources(loaded: LoadedModel) -> _Found:
    sources, most = loaded.source_cache.ids, loaded.settings.max_loaded_saes
    if not sources:
        yield OF_SOURCES, "answer", "this server has no sources (SAE_SETS)"
        yield OF_BOTH, "take features, only vectors", "this server has no sources (SAE_SETS)"
    elif len(sources) > most:
        why = f"no more are held in memory (MAX_LOADED_SAES); there are {len(sources)}"
        yield ("/v1/activation/all", "/v1/activation/all-batch"), f"take more than {most} sources at a time", why


def _of_attribution(loaded: LoadedModel) -> _Found:
    from memicos_engine.capture.attribution import attribution_hooks, reads_attention_heads

    facts = loaded.source_cache.infos()
    attention = [source for source in facts if reads_attention_heads(source)]
    if not facts:
        return
    if not attention:
        why = "only a source at attention heads (attn.hook_z) is written from other positions; there is none"
        yield ATTRIBUTED, "give dfa_values, dfa_max_value and dfa_target_index: they are null", why
    elif not attribution_hooks(loaded.model, attention[0]):
        why = "this model forms no attention pattern that can be read"
        yield ATTRIBUTED, "give dfa_values, dfa_max_value and dfa_target_index: they are null", why
    elif len(attention) < len(facts):
        why = (
            f"only sources at attention heads are written from other positions: {_some([one.id for one in attention])}"
        )
        yield ATTRIBUTED, "give dfa_values, dfa_max_value and dfa_target_index for every source", why


def _of_bos(loaded: LoadedModel) -> _Found:
    if loaded.model.bos_token_id is None:
        yield WITH_BOS, "prepend BOS", "the tokenizer has none"
        if any(source.recipe.prepend_bos for source in loaded.source_cache.infos()):
            why = "the tokenizer has none, though sources were trained with one where there is one"
            yield (*OF_BOTH[:3], *ON_PROMPTS), "prepend BOS", why


def _of_chats(loaded: LoadedModel) -> _Found:
    if not loaded.model.has_chat_template:
        yield (TEMPLATE, CHAT), "write a chat in the model's own way: it is ChatML", "the model has no chat template"
        yield (TEMPLATE,), "take chat_template_kwargs", "ChatML has no variables"
    if not loaded.model.tokenizer.is_fast:
        yield (TEMPLATE,), "answer", "the tokenizer gives no character offsets of its tokens"


def _of_steering() -> _Found:
    yield (CHAT,), "take is_assistant_axis", "there are no directions of that kind for any model here"
    why = "the direction of a feature is its source's decoder row; vectors take any other"
    yield (STEER, CHAT), "take steering_vector in a feature", why


def _of_admin(loaded: LoadedModel) -> _Found:
    if loaded.settings.secret is None:
        yield (ADMIN,), "add or remove sources", "no secret is set (INFERENCE_SECRET)"
    elif not loaded.settings.sae_roots:
        why = "nothing is allowed to be added from there (INFERENCE_SAE_ROOTS)"
        yield (ADMIN,), "add sources from folders or the hub", why


def _some(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} others" if len(names) > 6 else "")
