"""Limitations of the endpoints with the loaded model and its sources, with reasons."""

from collections.abc import Iterator

from memicos_inference.loaded_model import LoadedModel
from memicos_inference.status.schemas import Limitation

SOURCES_ON_PROMPTS = (
    "/v1/activation/all",
    "/v1/activation/topk-by-token",
    "/v1/activation/all-batch",
    "/v1/activation/topk-by-token-batch",
    "/v1/activation/source",
)
FEATURES_ONLY = (*SOURCES_ON_PROMPTS, "/v1/util/sae-vector", "/v1/util/sae-topk-by-decoder-cossim")
"""Endpoints that take features only."""
FEATURES_OR_VECTORS = (
    "/v1/activation/single",
    "/v1/activation/single-batch",
    "/v1/steer/completion",
    "/v1/steer/completion-chat",
)
"""Endpoints that take features or vectors."""
WITH_ATTRIBUTION = (
    "/v1/activation/single",
    "/v1/activation/all",
    "/v1/activation/single-batch",
    "/v1/activation/all-batch",
)
ON_SOURCES = ("/v1/activation/single", "/v1/activation/single-batch", *SOURCES_ON_PROMPTS)
ON_PROMPTS = (*ON_SOURCES, "/v1/activation/raw")
"""Endpoints that take texts or conversations."""
CHAT, STEER = "/v1/steer/completion-chat", "/v1/steer/completion"
ADMIN = "/v1/admin/sources"
TEMPLATE = "/v1/apply-chat-template"


def limitations(loaded: LoadedModel) -> list[Limitation]:
    groups = (
        *_source_limitations(loaded),
        *_attribution_limitations(loaded),
        *_bos_limitations(loaded),
        *_chat_limitations(loaded),
        *_steering_limitations(),
        *_admin_limitations(loaded),
    )
    return [
        Limitation(endpoint=endpoint, cannot=cannot, why=why)
        for endpoints, cannot, why in groups
        for endpoint in endpoints
    ]


_LimitationGroups = Iterator[tuple[tuple[str, ...], str, str]]
"""Endpoints, what they cannot do, and the reason."""


def _source_limitations(loaded: LoadedModel) -> _LimitationGroups:
    sources, limit = loaded.source_cache.ids, loaded.settings.max_loaded_saes
    if not sources:
        yield FEATURES_ONLY, "answer", "this server has no sources (SAE_SETS)"
        yield FEATURES_OR_VECTORS, "take features, only vectors", "this server has no sources (SAE_SETS)"
    elif len(sources) > limit:
        why = f"no more are held in memory (MAX_LOADED_SAES); there are {len(sources)}"
        sources_at_once = f"{limit} source" if limit == 1 else f"{limit} sources"
        yield ("/v1/activation/all", "/v1/activation/all-batch"), f"take more than {sources_at_once} at a time", why


def _attribution_limitations(loaded: LoadedModel) -> _LimitationGroups:
    from memicos_engine.capture.attribution import attribution_hooks, reads_attention_heads

    infos = loaded.source_cache.infos()
    attention = [source for source in infos if reads_attention_heads(source)]
    if not infos:
        return
    if not attention:
        why = "attribution needs a source that reads attention heads (attn.hook_z); there is none"
        yield WITH_ATTRIBUTION, "give dfa_values, dfa_max_value and dfa_target_index: they are null", why
    elif not attribution_hooks(loaded.model, attention[0]):
        why = "this model forms no attention pattern that can be read"
        yield WITH_ATTRIBUTION, "give dfa_values, dfa_max_value and dfa_target_index: they are null", why
    elif len(attention) < len(infos):
        names = _first_names([source.id for source in attention])
        why = f"only sources that read attention heads have attribution: {names}"
        yield WITH_ATTRIBUTION, "give dfa_values, dfa_max_value and dfa_target_index for every source", why


def _bos_limitations(loaded: LoadedModel) -> _LimitationGroups:
    if loaded.model.bos_token_id is None:
        why = "the tokenizer has none"
        yield ("/v1/tokenize", "/v1/activation/raw"), "prepend BOS", why
        if any(source.recipe.prepend_bos for source in loaded.source_cache.infos()):
            why += ", although sources were trained with BOS"
        yield (STEER, *ON_SOURCES), "prepend BOS", why


def _chat_limitations(loaded: LoadedModel) -> _LimitationGroups:
    if not loaded.model.has_chat_template:
        yield (TEMPLATE, CHAT), "use the model's own chat format: it is ChatML", "the model has no chat template"
        yield (TEMPLATE,), "take chat_template_kwargs", "ChatML has no variables"
        yield ON_PROMPTS, "take messages", "the model has no chat template"
    if not loaded.model.tokenizer.is_fast:
        yield (TEMPLATE,), "answer", "the tokenizer gives no character offsets of its tokens"


def _steering_limitations() -> _LimitationGroups:
    yield (CHAT,), "take is_assistant_axis", "this server has no assistant-axis directions"
    why = "the direction of a feature is its source's decoder row; vectors take any other"
    yield (STEER, CHAT), "take steering_vector in a feature", why


def _admin_limitations(loaded: LoadedModel) -> _LimitationGroups:
    if loaded.settings.secret is None:
        yield (ADMIN,), "add or remove sources", "no secret is set (INFERENCE_SECRET)"
    elif not loaded.settings.sae_roots:
        why = "no folder or repository is allowed (INFERENCE_SAE_ROOTS)"
        yield (ADMIN,), "add sources from folders or the hub", why


def _first_names(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} others" if len(names) > 6 else "")
