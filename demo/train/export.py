"""Writes tensors of train.py as a SAELens folder in float16 (thresholds in float32), then loads and measures it."""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

WIDTH, FEATURES = 576, 4096


def export(work: Path, layer: int, out: Path) -> Path:
    """Write `<layer>-res-4k` under `out`: cfg.json, sae_weights.safetensors, training.json, memicos.json."""
    from sae_lens import JumpReLUSAE, JumpReLUSAEConfig

    trained = work / f"{layer}-res-4k"
    report = json.loads((trained / "training.json").read_text())
    folder = out / f"{layer}-res-4k"
    shutil.rmtree(folder, ignore_errors=True)
    config = JumpReLUSAEConfig(
        d_in=WIDTH,
        d_sae=FEATURES,
        dtype="float32",
        device="cpu",
        apply_b_dec_to_input=False,
        normalize_activations="none",
    )
    config.metadata.model_name = "HuggingFaceTB/SmolLM2-135M-Instruct"
    config.metadata.hook_name = f"blocks.{layer}.hook_resid_post"
    config.metadata.prepend_bos = True
    config.metadata.context_size = 128
    config.metadata.neuronpedia_id = f"smollm2-135m-it/{layer}-res-4k"
    sae = JumpReLUSAE(config)
    sae.load_state_dict(torch.load(trained / "raw.pt", weights_only=True))
    sae.save_model(folder)
    file = folder / "sae_weights.safetensors"
    save_file(
        {name: tensor.float() if name == "threshold" else tensor.half() for name, tensor in load_file(file).items()},
        file,
    )
    (folder / "training.json").write_text(json.dumps(report, indent=1))
    recipe = {"ignored_positions": [0], "norm_cut": report["outlier_norm_cut"]}
    (folder / "memicos.json").write_text(json.dumps(recipe) + "\n")
    return folder


def measure(folder: Path, work: Path, layer: int) -> None:
    """Load `folder` with SAELens and print explained variance and L0 on 2,000 harvested tokens."""
    from sae_lens import SAE

    sae = SAE.load_from_disk(folder)
    stored = np.memmap(work / f"act{layer}.u16", dtype=np.uint16, mode="r").reshape(-1, WIDTH)
    rows = torch.from_numpy(stored[1000:3000].copy()).view(torch.bfloat16).float()
    rows = rows[rows.norm(dim=1) < json.loads((folder / "memicos.json").read_text())["norm_cut"]]
    with torch.no_grad():
        acts = sae.encode(rows)
        error = rows - sae.decode(acts)
    explained = 1 - float(error.pow(2).sum() / (rows - rows.mean(0)).pow(2).sum())
    l0 = float((acts > 0).float().sum(1).mean())
    print(f"{folder}: explained {explained:.4f}, L0 {l0:.1f}, largest activation {float(acts.max()):.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="working folder of train.py")
    parser.add_argument("--layer", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder that receives <layer>-res-4k")
    arguments = parser.parse_args()
    measure(export(arguments.work, arguments.layer, arguments.out), arguments.work, arguments.layer)


if __name__ == "__main__":
    main()
