"""Train one BatchTopK SAE on harvested residuals (Bussmann et al. 2024, arXiv:2412.06410).

Reads `act<layer>.u16` and `progress.json` of harvest.py from the working folder; writes there, folded into
raw units, `<layer>-res-4k/raw.pt` (a JumpReLU SAE's tensors) and `training.json`.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

WIDTH, FEATURES, K, BATCH = 576, 4096, 32, 4096
LEARNING_RATE = 8e-4
WARM_UP_STEPS = 50
DEAD_AFTER = 300_000
"""Number of tokens without activation after which a latent is dead and takes part in the auxiliary loss."""
AUXILIARY_K = 64
AUXILIARY_WEIGHT = 1 / 16
BLOCK = 4096
"""Rows that are read together; 16 blocks are shuffled together."""


class Residuals:
    """Rows of one layer's residual file (tokens, 576); the last `held_out` are kept for measuring.

    Rows whose norm reaches `cut` (4 times the median: attention sinks) are never used.
    """

    def __init__(self, folder: Path, layer: int, held_out: int, sample: int, seed: int) -> None:
        file = folder / f"act{layer}.u16"
        stored = file.stat().st_size // (2 * WIDTH)
        self.total = min(json.loads((folder / "progress.json").read_text())["done"], stored)
        self.training = self.total - held_out
        self.map = np.memmap(file, dtype=np.uint16, mode="r", shape=(stored, WIDTH))
        self.rng = np.random.default_rng(seed)
        chosen = self.rows(np.sort(self.rng.choice(self.training, min(sample, self.training), replace=False)))
        norms = chosen.norm(dim=1)
        self.cut = float(4 * norms.median())
        print("share above cut", float((norms >= self.cut).float().mean()))
        chosen = self.keep(chosen)
        self.mean = chosen.mean(0)
        self.scale = (chosen - self.mean).norm(dim=1).mean() / math.sqrt(WIDTH)
        print(f"layer {layer}: {self.training:,} tokens, scale {float(self.scale):.3f}, cut {self.cut:.1f}")

    def rows(self, index: slice | np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.array(self.map[index])).view(torch.bfloat16).float()

    def keep(self, rows: torch.Tensor) -> torch.Tensor:
        return rows[rows.norm(dim=1) < self.cut]

    def normalised(self, rows: torch.Tensor) -> torch.Tensor:
        return (rows - self.mean) / self.scale

    def batches(self) -> Iterator[torch.Tensor]:
        """Yield normalised batches (4096, 576) without end; 16 blocks of rows are shuffled together."""
        while True:
            starts = self.rng.permutation(np.arange(0, self.training - BLOCK, BLOCK))
            for i in range(0, len(starts) - 15, 16):
                rows = self.keep(torch.cat([self.rows(slice(s, s + BLOCK)) for s in starts[i : i + 16]]))
                rows = rows[torch.randperm(len(rows))]
                for j in range(0, len(rows) - BATCH + 1, BATCH):
                    yield self.normalised(rows[j : j + BATCH])

    def held_out(self) -> torch.Tensor:
        return self.normalised(self.keep(self.rows(slice(self.training, self.total))))


@dataclass(frozen=True)
class Weights:
    """Encoder (576, 4096) and decoder (4096, 576) with their biases, on normalised residuals."""

    w_enc: torch.Tensor
    b_enc: torch.Tensor
    w_dec: torch.Tensor
    b_dec: torch.Tensor

    def all(self) -> list[torch.Tensor]:
        return [self.w_enc, self.b_enc, self.w_dec, self.b_dec]

    def before_threshold(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.relu((rows - self.b_dec) @ self.w_enc + self.b_enc)

    def decode(self, acts: torch.Tensor) -> torch.Tensor:
        return acts @ self.w_dec + self.b_dec


def start_weights() -> Weights:
    w_dec = torch.randn(FEATURES, WIDTH)
    w_dec /= w_dec.norm(dim=1, keepdim=True)
    weights = Weights(w_dec.t().clone(), torch.zeros(FEATURES), w_dec, torch.zeros(WIDTH))
    for tensor in weights.all():
        tensor.requires_grad_(True)
    return weights


def threshold(pre: torch.Tensor, draws: int) -> torch.Tensor:
    """Estimate, from `draws` random entries, the value that K of FEATURES entries of `pre` exceed."""
    sample = pre.flatten()[torch.randint(0, pre.numel(), (draws,))].float()
    return sample.topk(int(draws * K / FEATURES)).values[-1]


def train(data: Residuals, steps: int) -> Weights:
    weights = start_weights()
    optimiser = torch.optim.Adam(weights.all(), lr=LEARNING_RATE, betas=(0.9, 0.999))
    silent = torch.zeros(FEATURES)
    batches = data.batches()
    started_at = time.time()
    for step in range(steps):
        rows = next(batches)
        for group in optimiser.param_groups:
            warm, decay = (step + 1) / WARM_UP_STEPS, (steps - step) / (0.25 * steps)
            group["lr"] = LEARNING_RATE * (min(1, warm) * min(1, decay))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            pre = weights.before_threshold(rows)
            with torch.no_grad():
                limit = threshold(pre, 400_000)
            mask = pre > limit
            reconstructed = weights.decode(pre * mask)
        error = rows - reconstructed.float()
        loss = error.pow(2).sum(1).mean()
        with torch.no_grad():
            silent = torch.where(mask.any(0), 0.0, silent + BATCH)
            dead = (silent > DEAD_AFTER).nonzero().squeeze(1)
        if len(dead) > 8 and step > 60:
            loss = loss + AUXILIARY_WEIGHT * auxiliary_loss(pre, error, dead, weights.w_dec)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        step_on_unit_rows(optimiser, weights)
        if step % 20 == 0:
            centred = (rows - rows.mean(0)).pow(2).sum()
            explained = 1 - float(error.detach().pow(2).sum() / centred)
            l0 = float(mask.float().sum(1).mean())
            speed = (step + 1) * BATCH / (time.time() - started_at)
            print(
                f"{step}: loss {float(loss.detach()):.2f}, explained {explained:.4f}, L0 {l0:.1f}, "
                f"dead {len(dead)}, {speed:.0f} tokens a second",
                flush=True,
            )
    return weights


def auxiliary_loss(pre: torch.Tensor, error: torch.Tensor, dead: torch.Tensor, w_dec: torch.Tensor) -> torch.Tensor:
    """Error of reconstructing the residual error from the dead latents alone (Gao et al. 2024, arXiv:2406.04093)."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        of_dead = pre[:, dead]
        values, index = of_dead.float().topk(min(AUXILIARY_K, len(dead)), dim=1)
        acts = torch.zeros_like(of_dead, dtype=torch.float32).scatter(1, index, values)
        reconstructed = acts @ w_dec[dead]
    return (error.detach() - reconstructed.float()).pow(2).sum(1).mean()


def step_on_unit_rows(optimiser: torch.optim.Optimizer, weights: Weights) -> None:
    """An optimiser step that keeps decoder rows at norm 1: the gradient's parallel part is removed."""
    w_dec = weights.w_dec
    assert w_dec.grad is not None
    with torch.no_grad():
        w_dec.grad -= (w_dec.grad * w_dec).sum(1, keepdim=True) * w_dec
    torch.nn.utils.clip_grad_norm_(weights.all(), 50.0)
    optimiser.step()
    with torch.no_grad():
        w_dec /= w_dec.norm(dim=1, keepdim=True)


@torch.no_grad()
def measure(data: Residuals, weights: Weights) -> tuple[torch.Tensor, dict[str, float]]:
    """The threshold that gives L0 = K on held-out rows, and the SAE's figures there."""
    rows = data.held_out()
    pre = torch.cat([weights.before_threshold(part) for part in rows.split(4096)])
    limit = threshold(pre, 4_000_000)
    acts = pre * (pre > limit)
    error = rows - weights.decode(acts)
    density = (acts > 0).float().mean(0)
    return limit, {
        "explained_variance": round(1 - float(error.pow(2).sum() / (rows - rows.mean(0)).pow(2).sum()), 4),
        "l0": round(float((acts > 0).float().sum(1).mean()), 2),
        "never_fired_on_heldout": int((density == 0).sum()),
        "dense_over_10pct": int((density > 0.1).sum()),
    }


@torch.no_grad()
def folded(data: Residuals, weights: Weights, limit: torch.Tensor) -> dict[str, torch.Tensor]:
    """The same SAE on raw residuals: mean and scale go into biases and threshold.

    f = relu(((x - mean) / scale - b_dec) W_enc + b_enc) and x = scale (f W_dec + b_dec) + mean, with f
    rescaled by `scale`, so that decoder rows keep norm 1 and activations are in the residual's units.
    """
    mean, scale = data.mean, data.scale
    b_enc = (weights.b_enc + (-mean / scale - weights.b_dec) @ weights.w_enc) * scale
    return {
        "W_enc": weights.w_enc.detach().contiguous(),
        "b_enc": b_enc.detach(),
        "W_dec": weights.w_dec.detach().contiguous(),
        "b_dec": (scale * weights.b_dec + mean).detach(),
        "threshold": torch.full((FEATURES,), float(limit * scale)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="working folder of harvest.py")
    parser.add_argument("--layer", type=int, required=True)
    parser.add_argument("--steps", type=int, default=1150)
    parser.add_argument("--held-out", type=int, default=40_000, help="last tokens kept for measuring")
    parser.add_argument("--sample", type=int, default=100_000, help="tokens that give mean, scale, cut")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(arguments.seed)
    data = Residuals(arguments.work, arguments.layer, arguments.held_out, arguments.sample, arguments.seed)
    needed = 16 * BLOCK + BLOCK
    if data.training < needed:
        parser.error(f"{data.training:,} tokens to train on, at least {needed:,} are needed")
    weights = train(data, arguments.steps)
    limit, measured = measure(data, weights)
    report = {
        "layer": arguments.layer,
        "train_tokens": data.training,
        "steps": arguments.steps,
        "batch": BATCH,
        **measured,
        "heldout_tokens": data.total - data.training,
        "lr": LEARNING_RATE,
        "k": K,
        "seed": arguments.seed,
        "outlier_norm_cut": round(data.cut, 1),
    }
    print(report)
    out = arguments.work / f"{arguments.layer}-res-4k"
    out.mkdir(exist_ok=True)
    torch.save(folded(data, weights, limit), out / "raw.pt")
    (out / "training.json").write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
