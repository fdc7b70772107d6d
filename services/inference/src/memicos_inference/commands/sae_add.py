"""`memicos sae add`: check sources before they are served, record their metrics, and write them into an env file."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from memicos_engine.atomic_write import write_text_atomically
from memicos_engine.errors import LoadError

from memicos_inference import env_files, logs, model_loading
from memicos_inference.loaded_model import LoadedModel, source_set_of
from memicos_inference.settings import Settings

if TYPE_CHECKING:  # imports torch
    from memicos_engine.selftest.reconstruction_record import ReconstructionRecord
    from memicos_engine.selftest.source_checks import MetricCheck
    from memicos_engine.sources.source import SourceInfo


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
    """The env file, its text as it will be, and settings that serve what is added and nothing else.

    `listed`: it was there before.
    """

    file: Path
    text: str
    settings: Settings
    listed: bool


@dataclass(frozen=True)
class Checked:
    facts: SourceInfo
    probe: ReconstructionRecord
    figures: list[MetricCheck]


def run(spec: str, env_file: Path | None, model: str | None, force: bool) -> int:
    """Exit status: 1, with one line on stderr and nothing written, where the source is refused; else 0."""
    try:
        target = _target(spec, env_file, model)
        loaded = model_loading.load_model(target.settings, _progress)
        if loaded.source_cache.unavailable:
            raise LoadError(_and_others(list(loaded.source_cache.unavailable.values())))
        checked = []
        for one in _check(loaded):
            _show(one)
            checked.append(one)
        _judge(checked, force)
    except LoadError as error:
        _say(f"refused: {error}")
        return 1
    try:
        _write(target, loaded, checked)
    except OSError as error:
        _say(f"cannot be written: {error}")
        return 1
    return 0


def _target(text: str, env_file: Path | None, model: str | None) -> Target:
    """Raises LoadError where it could not be served beside what the file has."""
    settings = env_files.settings_of(env_file)
    # imports torch, which a wrong env file must not wait for
    from memicos_engine.sources import source_selection, source_specs

    entry = _entry(source_specs.parse_spec(text))
    try:
        content = env_files.text_of(env_file) if env_file else ""
        before = env_files.sets_of(content)
        listed = next((one for one in before if _entry(source_specs.parse_spec(one)) == entry), None)
        if env_file is None:
            assert model is not None
            settings = _of_model(settings, model)
        elif not settings.models.configured:
            raise LoadError(f"{env_file} names no model: set MODEL_ID there.")
        sets = before if listed else (*before, entry)
        wanted = model_loading.source_selection(settings, model_loading.pick_device(settings.device))
        # all that the file will have: two sources of one id would end the server's start
        choice = source_selection.select_sources(replace(wanted, sets=sets), _progress)
        own = settings.model_copy(update={"sae_sets": (listed or entry,)})
        if env_file is None:
            named = [one.id for one in choice.candidates if one.id != one.location]
            env_file = Path(env_files.file_name(settings.model_id, source_set_of(named[0]) if named else "neurons"))
            if env_file.exists():
                raise LoadError(f"{env_file} is there already: add to it by --env-file {env_file}.")
            comment = f"{settings.model_id} with {entry}; written by memicos sae add."
            return Target(env_file, env_files.fresh(own, comment), own, listed=False)
        return Target(env_file, env_files.with_sets(content, sets), own, listed is not None)
    except ValueError as error:
        raise LoadError(f"{env_file or entry}: {error}.") from error


def _entry(spec: Any) -> str:
    """As it is written: a server may be started in another folder than this."""
    if spec.kind != "path":
        return spec.text
    return f"path:{Path(spec.name).expanduser().absolute()}{f'@{spec.format}' if spec.format else ''}"


def _of_model(settings: Settings, model: str) -> Settings:
    """A folder's name is the model's id, as requests give it."""
    folder = Path(model).expanduser()
    if not folder.is_dir():
        names = {"model_id": model, "custom_hf_model_id": None}
    else:
        names = {"model_id": folder.resolve().name, "custom_hf_model_id": str(folder.absolute())}
    return settings.model_copy(update={**names, "override_model_id": None})


def _check(loaded: LoadedModel) -> Iterator[Checked]:
    import torch
    from memicos_engine.errors import InvalidRequestError
    from memicos_engine.selftest.reconstruction_record import measure_reconstruction
    from memicos_engine.selftest.source_checks import check_metrics

    for facts in loaded.source_cache.infos():
        try:
            probe = measure_reconstruction(loaded.model, loaded.source_cache.get(facts.id))
        except InvalidRequestError as error:
            raise LoadError(str(error)) from error
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise LoadError(
                f"Source {facts.id} and its model do not fit into the memory of {loaded.model.device}. Set MODEL_DTYPE "
                "and SAE_DTYPE, or use a larger device."
            ) from error
        yield Checked(facts, probe, check_metrics(facts, probe))


def _judge(checked: list[Checked], force: bool) -> None:
    """Raises LoadError where figures show that weights and hook do not belong together, unless forced."""
    problems = {one.facts.id: [figure.problem for figure in one.figures if figure.problem] for one in checked}
    found = [f"Source {source_id}: {'; '.join(those)}" for source_id, those in problems.items() if those]
    if found and not force:
        raise LoadError(f"{_and_others(found)}. Right weights, hook_name and model? --force adds it all the same.")
    if found:
        _say(f"forced, though {_and_others(found)}")


def _write(target: Target, loaded: LoadedModel, checked: list[Checked]) -> None:
    from memicos_engine.selftest.reconstruction_record import record_path, write_record

    folder = target.settings.probes
    for one in checked:
        if math.isfinite(one.probe.explained_variance):
            write_record(record_path(folder, loaded.weights, one.facts.id), loaded.weights, one.probe)
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


def _show(one: Checked) -> None:
    facts = one.facts
    hook = facts.hook_name + (f" -> {facts.steer_hook}" if facts.steer_hook != facts.hook_name else "")
    print(f"{facts.id}: {facts.architecture}, {facts.d_in:,} -> {facts.d_sae:,} features, at {hook}")
    if not one.figures:
        print("  the model's own neurons: nothing is expected of them")
        return
    print(f"  {'':<20}{'found':>10}  expected")
    for figure in one.figures:
        print(f"  {figure.name:<20}{figure.value:>10}  {'NOT ' if figure.problem else ''}{figure.expected}")
        if figure.remark:
            print(f"  {'':<20}{'note':>10}  {figure.remark}")


def _and_others(reasons: list[str]) -> str:
    more = len(reasons) - 1
    return reasons[0].rstrip(".") + (f" (and {more} more)" if more else "")


def _progress(words: str, _share: float) -> None:
    """What takes long, for whoever waits."""
    if sys.stderr.isatty():
        _say(words)


def _say(words: str) -> None:
    print(words, file=sys.stderr)
