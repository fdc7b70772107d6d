"""Bodies of /health and /v1/capabilities."""

from collections.abc import Collection
from math import isfinite

from memicos_inference import recipes
from memicos_inference.loaded_model import LoadedModel, source_set_of
from memicos_inference.scheduler.scheduler import Progress
from memicos_inference.status.limitations import limitations
from memicos_inference.status.schemas import (
    CapabilitiesResponse,
    HealthResponse,
    Limits,
    Selftest,
    SelftestCheck,
    SourceInfo,
    UnavailableSource,
    UnsteerableHook,
)
from memicos_inference.verification.state import Verification, affected_paths

ENDPOINTS = (
    "/v1/tokenize",
    "/v1/apply-chat-template",
    "/v1/activation/single",
    "/v1/activation/all",
    "/v1/activation/topk-by-token",
    "/v1/activation/single-batch",
    "/v1/activation/all-batch",
    "/v1/activation/topk-by-token-batch",
    "/v1/activation/source",
    "/v1/activation/raw",
    "/v1/steer/completion",
    "/v1/steer/completion-chat",
    "/v1/util/sae-vector",
    "/v1/util/sae-topk-by-decoder-cossim",
    "/v1/admin/sources",
)


def health(progress: Progress, verification: Verification, load: int) -> HealthResponse:
    return HealthResponse(
        status="healthy",
        ready=progress.state == "ready",
        state=progress.state,
        progress=progress.text,
        progress_fraction=progress.fraction,
        load=load,
        selftest=selftest(verification),
    )


def selftest(verification: Verification) -> Selftest:
    return Selftest(
        state=verification.state,
        allowed=verification.allowed,
        seconds=verification.seconds,
        checks=[
            SelftestCheck(
                name=check.name,
                passed=check.passed,
                measured=check.measured if check.measured is not None and isfinite(check.measured) else None,
                tolerance=check.tolerance,
                words=check.detail,
                source=check.source,
                endpoints=list(affected_paths(check)),
                measured_at=check.measured_at,
            )
            for check in verification.checks
        ],
        unverified_beyond=verification.unverified_beyond,
    )


def describe(loaded: LoadedModel, verification: Verification) -> CapabilitiesResponse:
    """The capabilities of the model and its sources. In the model's thread: it reads the source cache."""
    from memicos_engine.capture.positions import ignored_positions, recipe_has_bos
    from memicos_engine.generation import steering
    from memicos_engine.model import hook_points

    model, settings = loaded.model, loaded.settings
    sources = [
        SourceInfo(
            id=source.id,
            source_set=source_set_of(source.id),
            hook=source.hook_name,
            steer_hook=source.steer_hook,
            layer=source.layer,
            d_in=source.d_in,
            d_sae=source.d_sae,
            architecture=source.architecture,
            prepend_bos=source.recipe.prepend_bos,
            context_size=source.recipe.context_size,
            ignored_positions=ignored_positions(source.recipe, recipe_has_bos(source.recipe, model.bos_token_id)),
            norm_cut=source.recipe.norm_cut,
            loaded=source.id in loaded.source_cache.loaded,
            recipe=recipes.source_recipe(loaded, source),
        )
        for source in loaded.source_cache.infos()
    ]
    limits = Limits(
        token_limit=loaded.max_prompt_tokens,
        max_text_characters=loaded.max_text_characters,
        context=model.max_context,
        max_completion_tokens=settings.max_completion_tokens,
        max_prompts=settings.max_prompts,
        batch_tokens=settings.batch_tokens,
        capture_bytes=settings.capture_bytes,
        max_values=settings.max_values,
        max_hooks=settings.max_hooks,
        max_num_results=settings.max_num_results,
        max_top_k=settings.max_top_k,
        max_steered=settings.max_steered,
        max_logprobs=10,
        max_loaded_saes=settings.max_loaded_saes,
        sae_bytes=settings.sae_bytes,
        max_waiting=settings.max_waiting,
        body_bytes=settings.body_bytes,
    )
    return CapabilitiesResponse(
        model=loaded.accepted_names[0],
        accepted_models=list(loaded.accepted_names),
        weights=loaded.weights,
        origin=model.origin,
        dtype=settings.model_dtype,
        sae_dtype=settings.sae_dtype,
        device=str(model.device),
        num_layers=model.n_layers,
        d_model=model.d_model,
        d_vocab=model.d_vocab,
        chat_template=model.has_chat_template,
        sae_sets=list(loaded.sae_sets),
        sources=sources,
        unavailable_sources=[
            UnavailableSource(id=source_id, error=message)
            for source_id, message in loaded.source_cache.unavailable.items()
        ],
        steer_methods=list(steering.METHODS),
        steer_hooks=list(hook_points.steerable_hooks(model)),
        unsteerable_hooks=[
            UnsteerableHook(hook=hook, reason=reason) for hook, reason in hook_points.unsteerable_hooks(model).items()
        ],
        endpoints=list(ENDPOINTS),
        limitations=limitations(loaded),
        limits=limits,
        selftest=selftest(verification),
    )


def capabilities(
    described: CapabilitiesResponse, loaded_ids: Collection[str], verification: Verification
) -> CapabilitiesResponse:
    """Earlier capabilities with the present results of the self-test and the ids of the sources in memory."""
    sources = [source.model_copy(update={"loaded": source.id in loaded_ids}) for source in described.sources]
    return described.model_copy(update={"sources": sources, "selftest": selftest(verification)})
