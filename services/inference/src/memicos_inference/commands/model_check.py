"""`memicos model check`: describe a model from its configuration and tokenizer, without its weights."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from memicos_engine.errors import LoadError
from memicos_engine.model import hub, model_names
from memicos_engine.sources import saelens_registry

from memicos_inference import env_files, logs, model_loading
from memicos_inference.settings import Settings

if TYPE_CHECKING:  # imports torch
    from memicos_engine.model.language_model import LanguageModel

MEGABYTE = 1_000_000
COLUMN = 18


def model_check(
    model: Annotated[str, typer.Argument(help="a hub id, a short name such as gpt2-small, or a local folder")],
) -> None:
    """Describe a model from its configuration and tokenizer alone: memory, BOS, hooks, and the lines of an env file."""
    logs.configure("text", logging.CRITICAL)  # a refusal is one line on stderr
    raise typer.Exit(run(model))


def run(model_name: str) -> int:
    """Exit status: 1, with one line on stderr, where the model called `model_name` could not be served; else 0."""
    settings = env_files.settings_of(None)
    try:
        location = model_names.locate_weights(model_names.ModelNames(model=model_name))
        folder = location.folder or _fetch(location, settings)
        model = model_loading.load_outline(location, folder)
    except LoadError as error:
        print(f"refused: {error}", file=sys.stderr)
        return 1
    owners = saelens_registry.matching_models([location.repo or folder.resolve().name])
    published = {owner: sorted(saelens_registry.published_saes(owner)) for owner in owners}
    for name, text in report_lines(model, location, folder, settings):
        print(f"{name:<{COLUMN}} {text}")
    for owner, sets in published.items():
        print(f"{'sources':<{COLUMN}} SAELens' directory has for {owner}: {', '.join(sets)}")
    print("\nIn an env file:\n")
    print("\n".join(_env_lines(model, model_name, location, folder, next(iter(published.values()), []))))
    return 0


def _fetch(location: model_names.WeightsLocation, settings: Settings) -> Path:
    assert location.repo is not None
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    return hub.fetch(location.repo, token, lambda text, share: None, 0, hub.CONFIGURATION_FILES)


def report_lines(
    model: LanguageModel, location: model_names.WeightsLocation, folder: Path, settings: Settings
) -> Iterator[tuple[str, str]]:
    """Pairs of a name and what `model check` says of it. `model` needs no weights."""
    from memicos_engine.generation.generation import kv_cache_bytes

    heads = f"{model.n_layers} layers of width {model.d_model:,}, vocabulary {model.d_vocab:,}"
    yield "model", f"{location.display_name}: {type(model.hf).__name__}, {heads}, context {model.max_context:,}"
    parameters = sum(parameter.numel() for parameter in model.hf.parameters())
    yield "weights", f"{parameters:,} parameters: {_size(4 * parameters)} in float32, {_size(2 * parameters)} in 16 bit"
    yield "", _stored(location, folder)
    if numbers := kv_cache_bytes(model, 1, 1) // model.dtype.itemsize:
        n_tokens, limit = settings.kv_bytes // (4 * numbers), f"INFERENCE_KV_BYTES={settings.kv_bytes}"
        yield "keys and values", f"{4 * numbers:,} bytes a token in float32, {2 * numbers:,} in 16 bit"
        yield "", f"{limit} holds {n_tokens:,} tokens of float32, {2 * n_tokens:,} of 16 bit"
    else:
        yield "keys and values", "none: the model's state has one size for texts of all lengths"
    yield from _lengths(model)
    yield "BOS", _bos(model)
    template = "the model's own template" if model.has_chat_template else "no template: conversations are ChatML"
    yield "chat", template
    if tokens := model.tokens_without_embedding:
        named = ", ".join(f"{token} ({i})" for token, i in list(tokens.items())[:4])
        more = f" and {len(tokens) - 4} more" if len(tokens) > 4 else ""
        yield "warning", f"no embedding row for {named}{more}: texts with such a token are refused"
    yield from _hooks(model)


def _lengths(model: LanguageModel) -> Iterator[tuple[str, str]]:
    """The lengths beyond which parts of the model compute differently."""
    from memicos_engine.selftest.length_check import checked_boundaries

    boundaries = checked_boundaries(model, None)
    if not boundaries:
        yield "lengths", "texts of all lengths are computed alike"
        return
    yield "lengths", "longer texts are computed differently beyond, in tokens:"
    for boundary, kinds in boundaries.items():
        yield "", f"  {boundary:<26,}{', '.join(kinds)}"
    first = next(iter(boundaries))
    yield "", f"unverified beyond {first:,} tokens until the server's self-test has passed on both sides, which it runs"
    yield "", "where TOKEN_LIMIT and INFERENCE_MAX_COMPLETION_TOKENS together reach past a boundary"


def _hooks(model: LanguageModel) -> Iterator[tuple[str, str]]:
    from memicos_engine.model import hook_modules, hook_points

    # torch logs what cannot be run without values; the lines below report it
    logging.getLogger("torch._subclasses.fake_tensor").disabled = True
    try:
        steered = {
            name: hook_points.steering_module(model, name.replace(".N.", ".0."))[1]
            for name in hook_points.steerable_hooks(model)
        }
        not_steered = hook_points.unsteerable_hooks(model)
    except RuntimeError:
        yield "hooks", "those that can be steered are known after the weights are loaded: this model needs them to run"
        return
    yield "steered, captured", "in every layer N, by width; sums of parts are checked when the weights are loaded"
    for name, width in steered.items():
        yield "", f"  {name:<26}{width:,}"
    for name, reason in not_steered.items():
        yield "not steered", f"{name}: {reason}"
    reason = hook_modules.unsupported_reason(model.hf)
    supported = f"knows {type(model.hf).__name__}: the other hooks of its bridge are captured as well"
    # the column's name is the sentence's subject
    unsupported = f"{str(reason).removeprefix('TransformerLens ')}: no other hooks are captured"
    yield "TransformerLens", supported if reason is None else unsupported


def _stored(location: model_names.WeightsLocation, folder: Path) -> str:
    dtype = _dtype(folder)
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        size = _json(index).get("metadata", {}).get("total_size")
        return f"stored in {dtype}" + (f", {_size(size)}" if size else "")
    files = list(folder.glob("*.safetensors"))
    if location.folder and not files:
        return "not there as safetensors: it cannot be served from this folder as it is"
    return f"stored in {dtype}" + (f", {_size(sum(file.stat().st_size for file in files))}" if files else "")


def _dtype(folder: Path) -> str:
    """Data type of the stored weights; transformers' default where the configuration has none."""
    config = _json(folder / "config.json")
    parts = (config, config.get("text_config", {}))
    dtypes = [part.get(name) for part in parts for name in ("dtype", "torch_dtype")]
    return next((str(dtype) for dtype in dtypes if dtype), "float32")


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _bos(model: LanguageModel) -> str:
    if model.bos_token_id is None:
        return "none: nothing is prepended, and position 0 is a token of the text"
    tokenizer = "prepends it by default" if model.tokenizer_prepends_bos else "does not prepend it by default"
    return f"{model.tokenizer.bos_token} ({model.bos_token_id}); the tokenizer {tokenizer}, a source's recipe decides"


def _env_lines(
    model: LanguageModel, model_name: str, location: model_names.WeightsLocation, folder: Path, sets: Sequence[str]
) -> list[str]:
    path = str(location.folder.absolute()) if location.folder else model_name
    name = folder.resolve().name if location.folder else model_name
    dtype = _dtype(folder)
    common = [
        f"MODEL_DTYPE={dtype if dtype in ('float16', 'bfloat16') else 'float32'}",
        f"TOKEN_LIMIT={min(env_files.TOKEN_LIMIT, model.max_context)}",
    ]
    return [
        f"# with sources of its own{', of SAELens directory or yours' if sets else ''} (memicos sae add)",
        f"MODEL_ID={name}",
        *([f"CUSTOM_HF_MODEL_ID={path}"] if location.folder else []),
        f"SAE_SETS='{json.dumps(sets[:1])}'",
        *common,
        "",
        f"# with sources of another model of {model.n_layers} layers of width {model.d_model:,}, its base say",
        "MODEL_ID=<the model that the sources belong to>",
        f"{'CUSTOM_HF_MODEL_ID' if location.folder else 'OVERRIDE_MODEL_ID'}={path}",
        "SAE_SETS='[\"<their set>\"]'",
        *common,
    ]


def _size(number: int) -> str:
    return f"{number / MEGABYTE:,.0f} MB" if number >= 10 * MEGABYTE else f"{number / MEGABYTE:,.2f} MB"
