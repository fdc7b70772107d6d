"""`memicos recompute` against running servers: a dataset that the engine made, and inference on the same weights."""

import asyncio
import json
import re
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from itertools import islice
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from memicos_cli.main import app
from memicos_inference.app import create_app as create_inference
from memicos_inference.settings import Settings as InferenceSettings
from memicos_pipeline.generate import generate
from memicos_testing.models.small_model import SAMPLE, small_model, small_sae, write_extras
from memicos_testing.models.tiny_generate import tiny_config
from memicos_testing.servers import free_port, in_thread
from memicos_webapp.app import create_app as create_webapp
from memicos_webapp.database.embedded import temporary
from memicos_webapp.database.migrate import migrate
from memicos_webapp.database.packed_numbers import pack_reals, unpack
from memicos_webapp.datasets.service import load
from memicos_webapp.settings import Settings as WebappSettings
from typer.testing import CliRunner, Result

SOURCES = {"1-res": "jumprelu", "2-res": "topk", "3-res": "gated"}
TEXT = SAMPLE[:150] + ' It\'s "quoted".'
MESSAGES = [
    {"role": "user", "content": 'Who is "Alice"?\nIt\'s a question.'},
    {"role": "assistant", "content": "A girl 今"},
]
TEMPLATE = (
    "{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
NORM_CUT = 42.0
"""Norm cut of 3-res: a fifth of positions exceed it."""


@dataclass(frozen=True)
class Stack:
    folder: Path
    database: str
    inference: str
    webapp: str

    def feature(self, source: str, index: int) -> dict[str, Any]:
        return httpx.get(f"{self.webapp}/api/feature/glass/{source}/{index}").raise_for_status().json()

    def live(self, source: str, count: int = 1) -> list[int]:
        """Indices of features that fire."""
        return list(islice((i for i in range(48) if self.feature(source, i)["activations"]), count))

    def execute(self, sql: str, *values: object) -> Any:
        """The value that a statement gives; None where it gives none."""

        async def execute() -> Any:
            connection = await asyncpg.connect(self.database)
            try:
                return await connection.fetchval(sql, *values)
            finally:
                await connection.close()

        return asyncio.run(execute())


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    small_model(folder / "model")
    (folder / "model" / "chat_template.jinja").write_text(TEMPLATE)
    for name, architecture in SOURCES.items():
        small_sae(folder / "saes" / name, int(name[0]), 48, seed=int(name[0]), architecture=architecture)
        write_extras(folder / "saes" / name, [0], NORM_CUT if name == "3-res" else None)
    config = tiny_config(folder, list(SOURCES), 32, 24)
    generate(config, lambda line: None)
    inference = InferenceSettings(
        model_id="glass",
        custom_hf_model_id=str(folder / "model"),
        sae_folder=folder / "saes",
        sae_sets=("res",),
        device="cpu",
    )
    with (
        temporary() as database,
        in_thread(create_inference(inference)) as inference_url,
    ):
        asyncio.run(migrate(database))
        asyncio.run(load(config.out, database))
        own: Any = {"database_url": database, "inference_url": inference_url, "embed_every_seconds": 0}
        with in_thread(create_webapp(WebappSettings(_env_file=None, **own))) as webapp_url:  # pyright: ignore[reportCallIssue]
            while not httpx.get(f"{inference_url}/health").json()["ready"]:
                time.sleep(0.05)
            yield Stack(folder, database, inference_url, webapp_url)


def recompute(stack: Stack, source: str, index: int, *options: str, sae: str | None = None) -> Result:
    places = ["--model", str(stack.folder / "model"), "--sae", str(stack.folder / "saes" / (sae or source))]
    return CliRunner().invoke(app, ["recompute", f"{stack.webapp}/glass/{source}/{index}", *places, *options])


@pytest.mark.parametrize("source", SOURCES)
def test_examples_agree(stack: Stack, source: str) -> None:
    for index in stack.live(source, 2):
        result = recompute(stack, source, index)
        assert result.exit_code == 0, result.output
        lines = result.output.splitlines()
        assert lines[-1].startswith("agrees within 0.001: worst relative difference ")
        # a dataset keeps 15 bits of its values, so the difference is smaller
        assert float(lines[-1].split("difference ")[1].split()[0]) < 1e-4
        example_lines = [line.split() for line in lines if line.startswith("example ")]
        examples = stack.feature(source, index)["activations"]
        assert [float(parts[2]) for parts in example_lines] == pytest.approx(
            [example["maxValue"] for example in examples], rel=1e-4
        )


@pytest.mark.parametrize("source", SOURCES)
def test_a_text_agrees(stack: Stack, source: str) -> None:
    (index,) = stack.live(source)
    result = recompute(stack, source, index, "--text", TEXT)
    assert result.exit_code == 0, result.output
    assert "agrees within 0.001" in result.output and "your text" in result.output
    assert f"blocks.{source[0]}.hook_resid_post, BOS in front" in result.output


@pytest.mark.parametrize("messages", [MESSAGES[:1], MESSAGES])
def test_a_conversation_agrees_by_the_command_of_the_page(stack: Stack, messages: list[dict[str, str]]) -> None:
    (index,) = stack.live("1-res")
    fields = {name: [message[name] for message in messages] for name in ("role", "content")}
    page = httpx.post(f"{stack.webapp}/glass/1-res/{index}/test", data={"input": "chat", **fields}).raise_for_status()
    field = re.search(r'<textarea[^>]* id="recompute-text"[^>]*>([^<]*)<', page.text)
    assert field
    program, command, address, option, conversation = shlex.split(unescape(field[1]))
    assert (program, command, option) == ("memicos", "recompute", "--messages")
    assert address == f"{stack.webapp}/glass/1-res/{index}" and json.loads(conversation) == messages
    result = recompute(stack, "1-res", index, "--messages", conversation)
    assert result.exit_code == 0, result.output
    (line,) = [line.split() for line in result.output.splitlines() if line.startswith("your chat")]
    maximum = re.search(r'max <b class="num">([^<]+)</b>', page.text)
    assert maximum and float(line[2]) == pytest.approx(float(maximum[1]), rel=1e-2)
    assert "agrees within 0.001" in result.output and "hook_resid_post, no BOS" in result.output


def test_a_conversation_in_a_file_and_bos(stack: Stack, tmp_path: Path) -> None:
    (index,) = stack.live("1-res")
    file = tmp_path / "chat.json"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(MESSAGES).encode())
    for prompt in (["--messages", str(file)], ["--text", TEXT]):
        for option, at_start in (("--prepend-bos", "BOS in front"), ("--no-prepend-bos", "no BOS")):
            result = recompute(stack, "1-res", index, *prompt, option)
            assert result.exit_code == 0, result.output
            assert "agrees within 0.001" in result.output and at_start in result.output


def test_the_maximum_of_a_text_is_the_one_on_the_page(stack: Stack) -> None:
    """Position 0 is ignored: these features have a larger value there than at any counted position."""
    with_larger_bos = 0
    for source in SOURCES:
        for index in stack.live(source, 48):
            body = {"feature": {"modelId": "glass", "source": source, "index": index}, "customText": TEXT}
            response = httpx.post(f"{stack.webapp}/api/activation/new", json=body).raise_for_status().json()
            counting = [v for i, v in enumerate(response["values"]) if i not in response["ignoredPositions"]]
            if max(response["values"]) <= max(counting) or max(counting) == 0:
                continue
            with_larger_bos += 1
            page = httpx.post(f"{stack.webapp}/glass/{source}/{index}/test", data={"text": TEXT}).raise_for_status()
            maximum = re.search(r'max <b class="num">([^<]+)</b>', page.text)
            result = recompute(stack, source, index, "--text", TEXT)
            assert result.exit_code == 0, result.output
            (line,) = [line.split() for line in result.output.splitlines() if line.startswith("your text")]
            assert float(line[2]) == pytest.approx(max(counting), rel=1e-4)
            assert float(line[3]) == pytest.approx(max(counting), rel=1e-3)
            assert maximum and float(maximum[1].replace(",", "")) == pytest.approx(max(counting), rel=1e-2)
            break
    assert with_larger_bos


def test_without_options_weights_are_where_the_demo_has_them(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (index,) = stack.live("1-res")
    feature = ["recompute", f"{stack.webapp}/api/feature/glass/1-res/{index}"]
    result = CliRunner().invoke(app, feature)
    assert result.exit_code == 2 and "name their folder with --model" in result.output
    Path(".data/models").mkdir(parents=True)
    Path(".data/models/glass").symlink_to(stack.folder / "model")
    result = CliRunner().invoke(app, feature)
    assert result.exit_code == 2 and "name it with --sae" in result.output
    Path("demo").mkdir()
    Path("demo/sources").symlink_to(stack.folder / "saes")
    result = CliRunner().invoke(app, feature)
    assert result.exit_code == 0, result.output


def test_a_value_that_was_altered_is_found(stack: Stack) -> None:
    (index,) = stack.live("1-res")
    select = """SELECT "values" FROM feature
                WHERE index = $1 AND load_id = (SELECT current_load_id FROM source WHERE name = '1-res')"""
    update = """UPDATE feature SET "values" = $2
                WHERE index = $1 AND load_id = (SELECT current_load_id FROM source WHERE name = '1-res')"""
    stored = stack.execute(select, index)
    lengths = [
        sum(value > 0 for value in example["values"]) for example in stack.feature("1-res", index)["activations"]
    ]
    for factor, status in ((1.002, 1), (1.0005, 0)):
        # the last value of the second example in the feature's row
        values = unpack(stored)
        values[sum(lengths[:2]) - 1] *= factor
        stack.execute(update, index, pack_reals(values))
        result = recompute(stack, "1-res", index)
        stack.execute(update, index, stored)
        assert result.exit_code == status, result.output
        if status:
            assert "does not agree: example 2, by more than 0.001" in result.output
            (line,) = [line for line in result.output.splitlines() if "at token" in line]
            assert line.startswith("example 2 ")


def test_other_weights_are_found(stack: Stack) -> None:
    (index,) = stack.live("1-res")
    small_sae(stack.folder / "saes" / "other", 1, 48, seed=7)
    for options in ([], ["--text", TEXT]):
        result = recompute(stack, "1-res", index, *options, sae="other")
        assert result.exit_code == 1 and "does not agree" in result.output, result.output


def test_a_tolerance_can_be_given(stack: Stack) -> None:
    (index,) = stack.live("1-res")
    assert recompute(stack, "1-res", index, "--tolerance", "1e-9").exit_code == 1
    assert recompute(stack, "1-res", index, "--tolerance", "-1").exit_code == 2


def failed(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["recompute", *arguments])
    assert result.exit_code == 2 and len(result.output.splitlines()) == 1, result.output
    return result.output


def test_what_cannot_be_compared_is_one_line(stack: Stack, tmp_path: Path) -> None:
    (index,) = stack.live("1-res")
    feature = f"{stack.webapp}/glass/1-res/{index}"
    model = ["--model", str(stack.folder / "model")]
    assert "has no feature 48; its features are 0 to 47" in failed(f"{stack.webapp}/glass/1-res/48")
    assert "There is no model 'nope'; available: glass" in failed(f"{stack.webapp}/nope/1-res/1", "--text", "a")
    assert "does not answer" in failed(f"http://127.0.0.1:{free_port()}/glass/1-res/1")
    assert "not as a memicos" in failed(f"{stack.inference}/glass/1-res/1")
    assert "Text too long" in failed(feature, "--text", "word " * 300)
    assert "no folder" in failed(feature, *model, "--sae", str(tmp_path / "nowhere"))
    no_conversation = "is no conversation: it has to be a list"
    for value in ("[]", '{"role": "user"}', '[{"role": "user"}]', '[{"role": "user", "content": 1}]'):
        assert no_conversation in failed(feature, "--messages", value)
    for value in ("[1", "[" * 100_000):
        assert "--messages is not JSON" in failed(feature, "--messages", value)
    assert "neither JSON nor a readable file" in failed(feature, "--messages", str(tmp_path / "nowhere"))
    robot = '[{"role": "robot", "content": "a"}]'
    assert "the role 'robot' is not known; it is one of assistant" in failed(feature, "--messages", robot)
    assert "are alternatives" in failed(feature, "--messages", json.dumps(MESSAGES), "--text", "a")
    assert "is an option of --text and --messages" in failed(feature, "--no-prepend-bos")
    assert "no folder" in failed(feature, "--model", str(tmp_path / "nowhere"))
    stack.execute(
        """UPDATE load SET recipe = jsonb_set(recipe, '{hook_name}', '"blocks.1.hook_q"')
           WHERE source_id = (SELECT id FROM source WHERE name = '2-res')"""
    )
    try:
        result = recompute(stack, "2-res", stack.live("2-res")[0])
    finally:
        stack.execute(
            """UPDATE load SET recipe = jsonb_set(recipe, '{hook_name}', '"blocks.2.hook_resid_post"')
               WHERE source_id = (SELECT id FROM source WHERE name = '2-res')"""
        )
    assert result.exit_code == 2 and "error: blocks.1.hook_q is not covered; covered hooks" in result.output
    assert "of llama: attn.hook_z, " in result.output
