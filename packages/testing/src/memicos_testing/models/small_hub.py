"""A fake hub: the routes that loading uses, over local folders, and error responses on demand.

`published` writes the repositories of `gpt2-small.res-jb` at a hundredth of the size: a GPT-2 with random weights, and
SAEs in their authors' layout, the format of SAELens before 6.0.
"""

import hashlib
import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import constants
from safetensors.numpy import save_file
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

COMMIT = "0123456789abcdef0123456789abcdef01234567"
GPT2 = "openai-community/gpt2"
RES_JB = "jbloom/GPT2-Small-SAEs-Reformatted"
WIDTH, FEATURES, LAYERS = 32, 96, 2


class SmallHub:
    """Serves `<folder>/<owner>/<name>/...` as repositories, of models and of data sets, all at revision `commit`.

    `refusals` has the kind of refusal by repository.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commit = COMMIT
        self.refusals: dict[str, str] = {}
        self.seen: list[str] = []
        self.tokens: set[str] = set()

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/api/models/{owner}/{name}/revision/{revision}", self.info),
                Route("/api/models/{owner}/{name}/tree/{revision}", self.tree),
                Route("/{owner}/{name}/resolve/{revision}/{path:path}", self.file),
                Route("/api/datasets/{owner}/{name}/revision/{revision}", self.info),
                Route("/api/datasets/{owner}/{name}/tree/{revision}", self.tree),
                Route("/datasets/{owner}/{name}/resolve/{revision}/{path:path}", self.file),
            ]
        )

    def _refused(self, request: Request, meta: bool) -> Response | None:
        repo = "{owner}/{name}".format(**request.path_params)
        self.seen.append(request.url.path)
        self.tokens.add(request.headers.get("authorization", "").removeprefix("Bearer "))
        how = self.refusals.get(repo) or ("" if (self.folder / repo).is_dir() else "missing")
        answers = {
            "missing": (404, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}),
            "limited": (429, {"Retry-After": "120"}),
            "down": (502, {}),
            "bad token": (401, {"X-Error-Message": "Invalid credentials in Authorization header"}),
            # the file list of a gated repository is public, its files are not
            "gated": (200, {}) if meta else (401, {"X-Error-Code": "GatedRepo"}),
        }
        status, headers = answers.get(how, (200, {}))
        return None if status == 200 else JSONResponse({"error": how}, status, headers)

    def _repo(self, request: Request) -> Path:
        return self.folder / request.path_params["owner"] / request.path_params["name"]

    async def info(self, request: Request) -> Response:
        repo = self._repo(request)
        refused = self._refused(request, meta=True)
        return refused or JSONResponse({"id": f"{repo.parent.name}/{repo.name}", "sha": self.commit, "siblings": []})

    async def tree(self, request: Request) -> Response:
        repo = self._repo(request)
        files = [file for file in sorted(repo.rglob("*")) if file.is_file()]
        entries = [
            {"type": "file", "path": str(file.relative_to(repo)), "size": file.stat().st_size, "oid": _etag(file)}
            for file in files
        ]
        return self._refused(request, meta=True) or JSONResponse(entries)

    async def file(self, request: Request) -> Response:
        if refused := self._refused(request, meta=False):
            return refused
        file = self._repo(request) / request.path_params["path"]
        if not file.is_file():
            return JSONResponse({}, 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": self.commit})
        return FileResponse(file, headers={"X-Repo-Commit": self.commit, "ETag": f'"{_etag(file)}"'})


def _etag(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()


@contextmanager
def asked_at(url: str, cache: Path, monkeypatch: pytest.MonkeyPatch):
    """Make huggingface_hub in this process use the hub at `url` and the cache folder `cache`."""
    with monkeypatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", url)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.delenv("HF_TOKEN", raising=False)
        yield


def published(folder: Path) -> Path:
    """Write both repositories into `folder` and return it."""
    _gpt2(folder / GPT2)
    for layer in range(LAYERS):
        _sae(folder / RES_JB / f"blocks.{layer}.hook_resid_pre", layer)
    return folder


def _gpt2(folder: Path) -> None:
    import torch

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<|endoftext|>": 0} | {letter: 1 + i for i, letter in enumerate(alphabet)}
    bpe = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    end = "<|endoftext|>"
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=end, eos_token=end, unk_token=end)
    torch.manual_seed(1)
    config = GPT2Config(
        vocab_size=len(vocabulary),
        n_positions=128,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.2,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # a second copy in another format, as in many repositories
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.safetensors").write_bytes(b"not asked for")


def _sae(folder: Path, layer: int) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(layer)
    weights = {
        "W_enc": rng.normal(size=(WIDTH, FEATURES)),
        "b_enc": rng.normal(size=FEATURES),
        # of any length: the server normalises directions to length 1
        "W_dec": rng.normal(size=(FEATURES, WIDTH)) * rng.uniform(0.5, 2, size=(FEATURES, 1)),
        "b_dec": rng.normal(size=WIDTH),
    }
    save_file({name: value.astype(np.float32) for name, value in weights.items()}, folder / "sae_weights.safetensors")
    save_file({"sparsity": np.zeros(FEATURES, np.float32)}, folder / "sparsity.safetensors")
    config: dict[str, Any] = {
        "model_name": "gpt2-small",
        "hook_point": f"blocks.{layer}.hook_resid_pre",
        "hook_point_layer": layer,
        "d_in": WIDTH,
        "d_sae": FEATURES,
        "context_size": 128,
        "dtype": "torch.float32",
        "device": "mps",
    }
    (folder / "cfg.json").write_text(json.dumps(config))
