"""`memicos sae add`: check sources before they are served, record their metrics, and write them into an env file."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from memicos_engine.atomic_write import write_text_atomically
from memicos_engine.errors import LoadError
from memicos_engine.user_paths import is_folder, real_path, user_path

from memicos_inference import env_files, logs, model_loading
from memicos_inference.loaded_model import LoadedModel, source_set_of
from memicos_inference.settings import Settings

if TYPE_CHECKING:  # imports torch
    from memicos_engine.selftest.reconstruction_record import ReconstructionRecord
    from memicos_engine.selftest.source_checks import MetricCheck
    from memicos_engine.sources.source import SourceInfo
    from memicos_engine.sources.source_specs import SourceSpec


def sae_add(
    spec: Annotated[
        str,
        typer.Argument(
            help="an entry of SAE_SETS: path:FOLDER (a source, or a folder of sources), hf:OWNER/NAME[/FOLDER], the "
            "name of a set of SAE_FOLDER or of SAELens' directory, or neurons; each with an optional @FORMAT"
        ),
    ],
    env_file: Annotated[
        Path | None, typer.Option(help="add to this env file of inference, which names the model")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help=f"a hub id, short name or folder instead: creates {env_files.PREFIX}<model>.<set> here"),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="add it although its metrics show that weights and hook do not match")
    ] = False,
) -> None:
    """Check an SAE against its model, record its metrics on a known text, and add it to an env file of inference.

    Prints L0, explained variance and norms beside the expected values. An SAE that does not match its model is refused
    with the reason, and nothing is written. docs/own-sae.md describes formats, ids, and each refusal.
    """
    if (env_file is None) == (model is None):
        raise typer.BadParameter("give either --env-file or --model", param_hint="--env-file / --model")
    logs.configure("text", logging.CRITICAL)  # a refusal is one line on stderr
    raise typer.Exit(run(spec, env_file, model, force))


@dataclass(frozen=True)
class Target:
    """The env file to write.

    Attributes:
        file: path of the env file.
        text: its new text.
        settings: settings that serve the added entry and nothing else.
        listed: whether the file had the entry before.
    """

    file: Path
    text: str
    settings: Settings
    listed: bool


@dataclass(frozen=True)
class CheckedSource:
    """A source with its metrics on the known text, and their comparison with the expected values."""

    info: SourceInfo
    record: ReconstructionRecord
    metrics: list[MetricCheck]


def run(spec: str, env_file: Path | None, model: str | None, force: bool) -> int:
    """Exit status: 1, with one line on stderr and nothing written, where the source is refused; else 0."""
    try:
        target = _target(spec, env_file, model)
        loaded = model_loading.load_model(target.settings, _progress, require_sources=True)
        checked = []
        for source in _check(loaded):
            _show(source)
            checked.append(source)
        _refuse_mismatches(checked, force)
    except LoadError as error:
        _print_error(f"refused: {error}")
        return 1
    try:
        _write(target, loaded, checked)
    except OSError as error:
        _print_error(f"cannot be written: {error}")
        return 1
    return 0


def _target(text: str, env_file: Path | None, model: str | None) -> Target:
    """Raises LoadError where the entry could not be served together with those of the file."""
    settings = env_files.settings_of(env_file)
    # imports torch, which takes long; a wrong env file is reported before
    from memicos_engine.sources import source_candidates, source_selection, source_specs

    entry = _entry(source_specs.parse_spec(text))
    try:
        content = env_files.text_of(env_file) if env_file else ""
        before = env_files.sets_of(content)
        listed = next((other for other in before if _is_entry(other, entry)), None)
        if env_file is None:
            assert model is not None
            settings = _of_model(settings, model)
        elif not settings.models.configured:
            raise LoadError(f"{env_file} names no model: set MODEL_ID there.")
        sets = before if listed else (*before, entry)
        selection = model_loading.source_selection(settings, model_loading.pick_device(settings.device))
        # all entries that the file will have: of two sources with one id the server would serve the first only
        choice = source_selection.select_sources(replace(selection, sets=sets), _progress)
        source_selection.check_unique_ids(choice.candidates)
        own = settings.model_copy(update={"sae_sets": (listed or entry,)})
        if env_file is None:
            named = [candidate.id for candidate in choice.candidates if candidate.error is None]
            if not named and not choice.include_neurons:
                source_candidates.with_load_errors(choice.candidates[0], choice.candidates[0].read_info, selection)
            env_file = Path(env_files.file_name(settings.model_id, source_set_of(named[0]) if named else "neurons"))
            if env_file.exists():
                raise LoadError(f"{env_file} is there already: add to it by --env-file {env_file}.")
            comment = f"{settings.model_id} with {entry}; written by memicos sae add."
            return Target(env_file, env_files.new_text(own, comment), own, listed=False)
        return Target(env_file, env_files.with_sets(content, sets), own, listed is not None)
    except ValueError as error:
        raise LoadError(f"{env_file or entry}: {error}.") from error


def _entry(spec: SourceSpec) -> str:
    """The entry for SAE_SETS, with an absolute path: a server may be started in another folder."""
    if spec.folder is None:
        return spec.text
    return f"path:{spec.folder.absolute()}{f'@{spec.format}' if spec.format else ''}"


def _is_entry(text: str, entry: str) -> bool:
    """Whether the listed entry `text` is `entry`; one that is invalid, which the server reports, is another."""
    from memicos_engine.sources.source_specs import parse_spec

    try:
        return _entry(parse_spec(text)) == entry
    except LoadError:
        return text == entry


def _of_model(settings: Settings, model: str) -> Settings:
    """Settings for the model; the id of a local model is the name of its folder."""
    folder = user_path(model)
    if not is_folder(folder):
        names = {"model_id": model, "custom_hf_model_id": None}
    else:
        names = {"model_id": real_path(folder).name, "custom_hf_model_id": str(folder.absolute())}
    return settings.model_copy(update={**names, "override_model_id": None})


def _check(loaded: LoadedModel) -> Iterator[CheckedSource]:
    import torch
    from memicos_engine.errors import InvalidRequestError
    from memicos_engine.selftest.reconstruction_record import measure_reconstruction
    from memicos_engine.selftest.source_checks import check_metrics

    for info in loaded.source_cache.infos():
        try:
            record = measure_reconstruction(loaded.model, loaded.source_cache.get(info.id))
        except InvalidRequestError as error:
            raise LoadError(str(error)) from error
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise LoadError(
                f"Source {info.id} and its model do not fit into the memory of {loaded.model.device}. Set MODEL_DTYPE "
                "and SAE_DTYPE, or use a larger device."
            ) from error
        yield CheckedSource(info, record, check_metrics(info, record))


def _refuse_mismatches(checked: list[CheckedSource], force: bool) -> None:
    """Raises LoadError where metrics show that weights and hook do not match, unless forced."""
    mismatches: list[str] = []
    for source in checked:
        problems = [metric.problem for metric in source.metrics if metric.problem]
        if problems:
            mismatches.append(f"Source {source.info.id}: {'; '.join(problems)}")
    if mismatches and not force:
        raise LoadError(
            f"{model_loading.first_and_count(mismatches)}. Check weights, hook_name and model; --force adds it anyway."
        )
    if mismatches:
        _print_error(f"forced, though {model_loading.first_and_count(mismatches)}")


def _write(target: Target, loaded: LoadedModel, checked: list[CheckedSource]) -> None:
    from memicos_engine.selftest.reconstruction_record import record_path, write_record

    folder = target.settings.probes
    for source in checked:
        if math.isfinite(source.record.explained_variance):
            write_record(record_path(folder, loaded.weights, source.info.id), loaded.weights, source.record)
    print(f"recorded in {folder} for the self-test")
    if target.listed:
        print(f"{target.file} has it already")
    else:
        write_text_atomically(target.file, target.text)
        print(f"written to {target.file}: SAE_SETS is {', '.join(env_files.sets_of(target.text))}")
    name = target.file.name
    if target.file.parent.resolve() == Path.cwd() and name.startswith(env_files.PREFIX):
        command = f"make inference-localhost-dev MODEL_SOURCESET={name.removeprefix(env_files.PREFIX)}"
    else:
        command = f"python -m memicos_inference --env-file {target.file}"
    print(f"serve it: {command}")


def _show(source: CheckedSource) -> None:
    info = source.info
    hook = info.hook_name + (f" -> {info.steer_hook}" if info.steer_hook != info.hook_name else "")
    print(f"{info.id}: {info.architecture}, {info.d_in:,} -> {info.d_sae:,} features, at {hook}")
    if not source.metrics:
        print("  the model's own neurons: there are no expected values")
        return
    print(f"  {'':<20}{'found':>10}  expected")
    for metric in source.metrics:
        print(f"  {metric.name:<20}{metric.value:>10}  {'NOT ' if metric.problem else ''}{metric.expected}")
        if metric.remark:
            print(f"  {'':<20}{'note':>10}  {metric.remark}")


def _progress(text: str, _share: float) -> None:
    """Print progress to a terminal only."""
    if sys.stderr.isatty():
        _print_error(text)


def _print_error(text: str) -> None:
    print(text, file=sys.stderr)
