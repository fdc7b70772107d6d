"""`sae add`: foreign SAEs added and served with their own values; unsuitable ones refused without writing a file."""

import asyncio
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from memicos_cli.main import app
from memicos_inference import env_files, logs, model_loading
from memicos_inference.app import create_app
from memicos_inference.http.errors import Unavailable
from memicos_inference.settings import Settings, read
from memicos_inference.verification.state import Verification
from memicos_testing.models import plain_model
from memicos_testing.models.foreign_saes import (
    LAYOUTS,
    Weights,
    fitted_weights,
    random_weights,
    write_openai,
    write_saelens,
)
from memicos_testing.models.small_model import NAME, hidden_on_sample, small_sae
from memicos_testing.servers import running
from safetensors.numpy import load_file, save_file

TEXT = "Alice was beginning to get very tired of sitting by her sister"
Add = Callable[..., tuple[int, str, str]]


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Add:
    """Run the command in an empty folder; return its status and output."""
    monkeypatch.chdir(tmp_path)
    for field in Settings.model_fields.values():
        for name in getattr(field.validation_alias, "choices", [field.validation_alias]):
            monkeypatch.delenv(str(name), raising=False)
    monkeypatch.setattr(logs, "configure", lambda *_: None)  # pytest's own handlers stay
    monkeypatch.setenv("DEVICE", "cpu")

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = app(["sae", "add", *arguments], standalone_mode=False)
        output, problem = capsys.readouterr()
        return status, output, problem

    return run


def fitted(name: str, layer: int) -> Weights:
    layout = LAYOUTS[name]
    return fitted_weights(layer, hidden_on_sample(layer), layout.centred, layout.normalized)


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


async def test_every_format_is_added_and_served_with_the_right_values(
    add: Add, model_folder: Path, hf: Any, tokenize: Any, tmp_path: Path
) -> None:
    layer, file = 2, f".env.inference.{NAME}.saelens"
    weights = {name: fitted(name, layer) for name in LAYOUTS}
    for number, (name, source_weights) in enumerate(weights.items()):
        LAYOUTS[name].write(tmp_path / "saes" / name, source_weights)
        target_options = ("--env-file", file) if number else ("--model", str(model_folder))
        status, output, problem = add(f"path:saes/{name}", *target_options)
        assert (status, problem) == (0, ""), (name, output, problem)
        assert f"80 features, at blocks.{layer}.hook_resid_post" in output
        assert f"written to {file}: SAE_SETS is" in output and f"path:{tmp_path}/saes/{name}" in output
        assert f"serve it: make inference-localhost-dev MODEL_SOURCESET={NAME}.saelens" in output
    settings = read(Path(file))
    assert len(settings.sae_sets) == len(LAYOUTS) and settings.model_id == NAME and settings.token_limit == 1024
    assert len(list((tmp_path / ".data" / "probes").iterdir())) == len(LAYOUTS)

    ids = tokenize(TEXT)
    hidden = plain_model.residuals(hf, ids, [layer])[layer]
    async with (
        running(create_app(settings)) as url,
        httpx.AsyncClient(base_url=url, timeout=60) as http,
    ):
        while not (health := (await http.get("/health")).json())["ready"]:
            assert health["state"] != "failed", health["progress"]
            await asyncio.sleep(0.02)
        for name, source_weights in weights.items():
            values, near_threshold = LAYOUTS[name].encode(source_weights, hidden)
            index = int(np.where(near_threshold, 0, values).sum(0).argmax())
            body = {"model": NAME, "prompt": TEXT, "source": f"{layer}-{name}", "index": index}
            response = await http.post("/v1/activation/single", json=body)
            assert response.status_code == 200, response.text
            actual = response.json()["activation"]["values"]
            assert max(actual) > 1
            np.testing.assert_allclose(
                np.where(near_threshold[:, index], 0, actual),
                np.where(near_threshold, 0, values)[:, index],
                rtol=1e-3,
                atol=1e-3,
            )
        checks = (await http.get("/health")).json()["selftest"]["checks"]
        of_sources = [check for check in checks if check["source"]]
        assert len(of_sources) == len(LAYOUTS) and all(check["passed"] for check in of_sources)


class Harmful:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def damaged(folder: Path, name: str, change: Callable[[np.ndarray], None]) -> Path:
    """An SAE with one tensor changed."""
    small_sae(folder, 1, 32)
    tensors = load_file(folder / "sae_weights.safetensors")
    change(tensors[name])
    save_file(tensors, folder / "sae_weights.safetensors")
    return folder


def truncated(folder: Path) -> None:
    file = small_sae(folder, 1, 32) / "sae_weights.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def pickled(folder: Path) -> None:
    write_openai(folder, fitted("openai", 1))
    (folder / "1.pt").write_bytes(pickle.dumps(Harmful(folder.parent / "it ran")))


def moved(folder: Path, hook: str) -> None:
    """An SAE of layer 0 whose configuration names another hook."""
    write_saelens(folder, fitted("saelens", 0))
    (folder / "memicos.json").write_text(json.dumps({"hook_name": hook}))


def silent(folder: Path) -> None:
    weights = fitted("saelens", 1)
    weights.tensors["threshold"][:] = 1e6
    write_saelens(folder, weights)


def loud(folder: Path) -> None:
    weights = fitted("saelens", 1)
    weights.tensors["b_enc"][:] += 100
    write_saelens(folder, weights)


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "width": (
        lambda folder: write_saelens(folder, random_weights(1, 64, 32)),
        "takes activations of width 64, but blocks.1",
    ),
    "hook": (lambda item: moved(item, "blocks.1.hook_nothing"), "Unknown hook 'blocks.1.hook_nothing'"),
    "layer": (lambda item: moved(item, "blocks.7.hook_resid_post"), "the model has layers 0 to 3"),
    "other": (lambda item: moved(item, "blocks.1.hook_attn_out"), "explained variance is -"),
    "nan": (lambda item: damaged(item, "W_dec", lambda w: w[3].fill(np.nan)), "W_dec has numbers that are not finite"),
    "inf": (lambda item: damaged(item, "W_dec", lambda w: w[3].fill(np.inf)), "W_dec has numbers that are not finite"),
    "bias": (
        lambda item: damaged(item, "b_enc", lambda w: w[3:].fill(np.nan)),
        "b_enc has numbers that are not finite",
    ),
    "truncated": (truncated, "is not a source that can be loaded"),
    "pickle": (pickled, "holds other objects than tensors, which are not read because a pickle can run code"),
    "silent": (silent, "L0 is 0: no feature fires at any of"),
    "loud": (loud, "more than half of the 80 features fire"),
    "empty": (lambda item: item.mkdir(), "holds no source, nor does a folder in it"),
    "gone": (lambda item: None, "is no folder"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_source_that_does_not_fit_is_refused_in_one_line_and_nothing_is_written(
    name: str, add: Add, model_folder: Path, tmp_path: Path
) -> None:
    write, message = REFUSED[name]
    write(tmp_path / "1-mine")
    env_file = tmp_path / "some.env"
    env_file.write_text(f"MODEL_ID={NAME}\nCUSTOM_HF_MODEL_ID={model_folder}\n")
    before = files(tmp_path)
    # neither a new nor an existing file is written
    target_options = (
        ("--model", str(model_folder)) if name in ("other", "nan", "empty") else ("--env-file", str(env_file))
    )
    status, _, error_output = add("path:1-mine", *target_options)
    assert status == 1
    (line,) = error_output.splitlines()
    assert line.startswith("refused: ") and message in line, line
    assert files(tmp_path) == before


def test_a_malicious_pickle_would_run_if_it_were_unpickled(tmp_path: Path) -> None:
    """Shows that the test above can fail."""
    pickled(tmp_path / "1-mine")
    pickle.loads((tmp_path / "1-mine" / "1.pt").read_bytes())  # noqa: S301
    assert (tmp_path / "it ran").exists()


def test_a_forced_source_is_added_with_a_warning(add: Add, model_folder: Path, tmp_path: Path) -> None:
    moved(tmp_path / "1-mine", "blocks.1.hook_attn_out")
    status, output, problem = add("path:1-mine", "--model", str(model_folder), "--force")
    assert status == 0 and "NOT well above 0" in output
    assert problem.startswith("forced, though Source 1-mine: explained variance is -") and problem.count("\n") == 1
    assert (tmp_path / f".env.inference.{NAME}.mine").exists()
    # --force does not accept wrong shapes
    write_saelens(tmp_path / "1-narrow", random_weights(1, 64, 32))
    assert add("path:1-narrow", "--env-file", f".env.inference.{NAME}.mine", "--force")[0] == 1


def test_all_sources_of_an_entry_or_none(add: Add, model_folder: Path, tmp_path: Path) -> None:
    for layer in (0, 1):
        write_saelens(tmp_path / "run" / f"{layer}-run", fitted("saelens", layer))
    truncated(tmp_path / "run" / "2-run")
    before = files(tmp_path)
    status, _, error_output = add("path:run", "--model", str(model_folder))
    assert status == 1 and "Source" in error_output and "run/2-run is not a source that can be loaded" in error_output
    assert files(tmp_path) == before
    shutil.rmtree(tmp_path / "run" / "2-run")
    status, error_output, _ = add("path:run", "--model", str(model_folder))
    assert status == 0 and "0-run: jumprelu" in error_output and "1-run: jumprelu" in error_output
    assert read(tmp_path / f".env.inference.{NAME}.run").sae_sets == (f"path:{tmp_path}/run",)


def test_measured_metrics_are_shown_beside_the_expected_ones(add: Add, model_folder: Path, tmp_path: Path) -> None:
    """Metrics that files state about themselves."""
    for name, folder in (("openai", "topk"), ("gemma-scope", "average_l0_72"), ("saelens", "1-cut")):
        LAYOUTS[name].write(tmp_path / "run" / folder, fitted(name, 1))
    (tmp_path / "run" / "1-cut" / "memicos.json").write_text('{"norm_cut": 25, "set": "cut"}')
    (tmp_path / "run" / "topk" / "memicos.json").write_text(
        json.dumps(json.loads((tmp_path / "run" / "topk" / "memicos.json").read_text()) | {"set": "topk"})
    )
    status, output, problem = add("path:run", "--model", str(model_folder))
    assert status == 0, problem
    parts = {part.partition(":")[0]: part for part in f"\n{output}".split("\n1-")}
    assert "at most k = 8 of 80 features" in parts["topk"]
    assert "72 is recorded, on other text" in parts["run"]
    assert (
        "up to 25, its norm cut" in parts["cut"] and "many are left out: is the norm cut that of this hook?" in output
    )
    assert output.count("silent features") == 3


def test_an_env_file_keeps_its_other_lines(add: Add, model_folder: Path, tmp_path: Path) -> None:
    small_sae(tmp_path / "saes" / "1-first", 1, 32)
    write_saelens(tmp_path / "2-mine", fitted("saelens", 2))
    file = tmp_path / ".env.inference.my.set"
    text = (
        f"# my model\r\nMODEL_ID={NAME}\r\n\r\nexport CUSTOM_HF_MODEL_ID='{model_folder}' # here\r\n"
        f"SAE_FOLDER={tmp_path}/saes\r\nSAE_SETS='[\"first\"]'   # the first\r\nSECRET=sesame\r\n# end"
    )
    file.write_bytes(text.encode())
    file.chmod(0o600)
    link = tmp_path / "link.env"
    link.symlink_to(file)
    status, output, problem = add("path:2-mine", "--env-file", "link.env")
    assert (status, problem) == (0, "")
    assert "serve it: python -m memicos_inference --env-file link.env" in output and "sesame" not in output
    expected = text.replace('["first"]', f'["first", "path:{tmp_path}/2-mine"]')
    assert file.read_bytes() == expected.encode() and link.is_symlink() and file.stat().st_mode & 0o777 == 0o600
    assert read(file).sae_sets == ("first", f"path:{tmp_path}/2-mine")
    assert not [
        item for item in tmp_path.iterdir() if item.name.startswith(".") and item.name not in (file.name, ".data")
    ]
    # added once, however the path is written
    for spec in ("path:2-mine", f"path:{tmp_path}/2-mine", "first"):
        status, output, _ = add(spec, "--env-file", str(file))
        assert status == 0 and f"{file} has it already" in output
    assert file.read_bytes() == expected.encode()


def test_a_source_that_the_server_would_not_serve_is_refused(add: Add, model_folder: Path, tmp_path: Path) -> None:
    small_sae(tmp_path / "saes" / "1-mine", 1, 32)
    write_saelens(tmp_path / "1-mine", fitted("saelens", 1))
    model = f"MODEL_ID={NAME}\nCUSTOM_HF_MODEL_ID={model_folder}\nSAE_FOLDER={tmp_path}/saes\n"
    (tmp_path / "same.env").write_text(model + "SAE_SETS='[\"mine\"]'\n")
    (tmp_path / "chosen.env").write_text(model + "SAE_SETS='[]'\nINCLUDE_SAE='[\"^2-\"]'\n")
    (tmp_path / "none.env").write_text("SAE_SETS='[]'\n")
    (tmp_path / "malformed.env").write_text(model + "SAE_SETS=mine\n")
    (tmp_path / f".env.inference.{NAME}.mine").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    before = files(tmp_path)
    for spec, target_options, message in (
        ("path:1-mine", ("--env-file", "same.env"), "Two sources have the id 1-mine"),
        ("path:1-mine", ("--env-file", "chosen.env"), "No source is left by INCLUDE_SAE=['^2-']"),
        ("path:1-mine", ("--env-file", "none.env"), "none.env names no model: set MODEL_ID there"),
        (
            "path:1-mine",
            ("--model", str(model_folder)),
            f"is there already: add to it by --env-file .env.inference.{NAME}",
        ),
        ("path:1-mine", ("--model", "no such"), "no such (MODEL_ID) is neither a folder nor a hub id"),
        ("path:1-mine@zip", ("--env-file", "none.env"), "there is no format zip"),
        ("theirs", ("--env-file", "same.env"), "There is no source set theirs (SAE_SETS)"),
        ("theirs", ("--model", str(model_folder)), "There is no source set theirs (SAE_SETS)"),
        ("path:~nosuchuser/x", ("--env-file", "same.env"), "no home folder of ~nosuchuser"),
        ("path:" + "x" * 990, ("--env-file", "same.env"), "File name too long"),
        ("path:loop", ("--model", str(model_folder)), "symbolic links"),
        ("path:1-mine", ("--model", "~nosuchuser/x"), "no home folder of ~nosuchuser"),
        ("path:1-mine", ("--model", "loop"), "loop (MODEL_ID) is neither a folder nor a hub id"),
    ):
        status, output, problem = add(spec, *target_options)
        assert (status, output) == (1, "") and problem.startswith("refused: ") and message in problem, problem
        assert problem.count("\n") == 1
    for target_options, message in (
        ("gone.env", "there is no env file gone.env"),
        ("x" * 990, "there is no env file x"),
        ("loop", "there is no env file loop"),
        ("malformed.env", "should be a JSON list"),
    ):
        with pytest.raises(SystemExit, match=message):
            add("path:1-mine", "--env-file", target_options)
    assert files(tmp_path) == before


def test_a_source_changed_after_it_was_added_is_not_served(add: Add, model_folder: Path, tmp_path: Path) -> None:
    folder = write_saelens(tmp_path / "1-mine", fitted("saelens", 1))
    assert add("path:1-mine", "--model", str(model_folder))[0] == 0
    settings = read(tmp_path / f".env.inference.{NAME}.mine")

    def used() -> None:
        served = model_loading.load_model(settings, lambda step, share: None)
        verification = Verification(settings)
        for _ in verification.check_source_steps(served, served.source_cache.get("1-mine")):
            pass
        verification.require_source("1-mine")

    used()
    weights = load_file(folder / "sae_weights.safetensors")
    weights["W_enc"][:, 5] *= 4
    save_file(weights, folder / "sae_weights.safetensors")
    with pytest.raises(Unavailable, match="reconstruction 1-mine"):
        used()
    # until it is added again; a record beside the weights does not override that
    assert add("path:1-mine", "--env-file", f".env.inference.{NAME}.mine")[0] == 0
    (folder / "probe.json").write_text("{}")
    used()
    shutil.rmtree(tmp_path / ".data")
    with pytest.raises(Unavailable, match=r"probe\.json of 1-mine is not a reconstruction record"):
        used()


def test_neurons_are_added(add: Add, model_folder: Path, tmp_path: Path) -> None:
    status, output, _ = add("neurons", "--model", str(model_folder))
    assert status == 0 and output.count("there are no expected values") == 4
    assert read(tmp_path / f".env.inference.{NAME}.neurons").sae_sets == ("neurons",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "SAE_SETS=NEW\n"),
        ("A=1", "A=1\nSAE_SETS=NEW\n"),
        ("SAE_SETS=[]\nA=1\n", "SAE_SETS=NEW\nA=1\n"),
        ("SAE_SETS=[] # none\nA='x\ny'\n", "SAE_SETS=NEW # none\nA='x\ny'\n"),
        ("SAE_SETS\n", "SAE_SETS=NEW\n"),
        ('# x\n\n  export SAE_SETS = "[]"\n\n# y', "# x\n\n  export SAE_SETS =NEW\n\n# y"),
        ("SAE_SETS='[]'\nSAE_SETS='[\"b\"]'\n", "SAE_SETS='[]'\nSAE_SETS=NEW\n"),
        ("#SAE_SETS='[]'\n", "#SAE_SETS='[]'\nSAE_SETS=NEW\n"),
    ],
)
def test_only_the_list_of_sources_is_replaced(text: str, expected: str) -> None:
    sets = ("a", 'path:/data/it\'s "mine" \\ é#1')
    new = env_files.with_sets(text, sets)
    assert env_files.sets_of(new) == sets
    line = env_files.with_sets("", sets).removeprefix("SAE_SETS=").removesuffix("\n")
    assert new == expected.replace("NEW", line)


def test_a_path_that_an_env_file_would_change_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        env_files.with_sets("", ("path:/data/${HOME}",))
