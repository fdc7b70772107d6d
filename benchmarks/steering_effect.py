"""Effect of steering on the tokens that a feature promotes, and equality of DEFAULT text with the unsteered model.

Effect: for 50 random features of each source, the probability mass of the feature's top 10 positive logits (W_dec
through the final norm's gain and the unembedding) with steering (SIMPLE_ADDITIVE, all positions), divided by that
without, at each position of a few sentences. Printed: the share of features whose geometric mean over positions
is at least 3, and the same by the ratio of arithmetic means, which is dominated by the few positions where the tokens
were likely already. The strength is a factor times the median norm of the residual stream at the hook. All features are
sampled, because none of these sources' is dead (demo/sources/README.md).

Greedy: for 20 prompts, the DEFAULT row of a STEERED + DEFAULT batch against `transformers.generate`, 32 tokens each.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from memicos_engine.generation.decoder import generate
from memicos_engine.generation.generation import Generation, Row, Sampling
from memicos_engine.generation.steering import SteeringVector, apply_steering, steering_plan
from memicos_engine.model.language_model import LanguageModel, load_model
from memicos_engine.sources.source import Source
from memicos_engine.sources.source_loading import load_source
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / ".data/models/smollm2-135m-it"
SOURCES = ("15-res-4k", "23-res-4k")
N_FEATURES = 50
N_TOKENS = 10
RISE = 3
ROWS = 10
SENTENCES = (
    "I went to the door and saw that there was nobody in the street.",
    "The new law was passed last year after a long debate in parliament.",
    "If you add the flour slowly, the dough will be much easier to handle.",
    "Most of the students said that they would rather work in small groups.",
    "He told me about his family, and then about the house where they lived.",
)
BEGINNINGS = (
    "The capital of France is",
    "Once upon a time, in a small village by the sea,",
    "def fibonacci(n):\n    ",
    "The President of the United States said on Monday that",
    "In 1912 the Titanic",
    "My favourite food is",
    "Water boils at",
    "She opened the letter and",
    "The three laws of thermodynamics are",
    "import numpy as np\n\nx = np.",
    "According to the latest report, unemployment",
    "Dear Sir or Madam,\n\n",
    "The whale rose out of the water,",
    "To make bread you need",
    "Photosynthesis is the process by which",
    "2 + 2 = 4, 3 + 3 = 6, 4 + 4 =",
    "Shakespeare wrote",
    "The difference between a virus and a bacterium is",
    "He had never been so tired in",
    "Roses are red, violets are",
)


@torch.inference_mode()
def probabilities(model: LanguageModel, ids: list[int], rows: list[list[SteeringVector]]) -> torch.Tensor:
    """Next-token probabilities (rows, T - 1, V) after each position but BOS."""
    with apply_steering([steering_plan(model, steers) for steers in rows]):
        return model.hf(torch.tensor([ids] * len(rows))).logits[:, 1:].softmax(-1)


@torch.inference_mode()
def median_norm(model: LanguageModel, source: Source, prompts: list[list[int]]) -> float:
    """Of the residual stream after the source's layer, BOS left out; the hidden states before the last are unnormed."""
    states = [model.hf(torch.tensor([ids]), output_hidden_states=True).hidden_states for ids in prompts]
    return torch.cat([state[source.layer + 1][0, 1:].norm(dim=-1) for state in states]).median().item()


def masses(
    model: LanguageModel, source: Source, features: list[int], strength: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Probability mass (features, positions) of each feature's top tokens, without and with steering."""
    hf: Any = model.hf
    unembedding = hf.lm_head.weight.detach() * hf.model.norm.weight.detach()
    top_tokens = [(unembedding @ source.decoder_row(index).detach()).topk(N_TOKENS).indices for index in features]
    before, after = [], []
    for ids in (model.token_ids(text, prepend_bos=True) for text in SENTENCES):
        plain = probabilities(model, ids, [[]])[0]
        before.append(torch.stack([plain[:, tokens].sum(-1) for tokens in top_tokens]))
        steered = []
        for start in range(0, len(features), ROWS):
            steers = [
                [SteeringVector(source.hook_name, source.decoder_row(index), strength)]
                for index in features[start : start + ROWS]
            ]
            steered += [
                row[:, tokens].sum(-1)
                for row, tokens in zip(probabilities(model, ids, steers), top_tokens[start : start + ROWS], strict=True)
            ]
        after.append(torch.stack(steered))
    return torch.cat(before, dim=1), torch.cat(after, dim=1)


def effect(model: LanguageModel, factors: list[float], seed: int) -> None:
    prompts = [model.token_ids(text, prepend_bos=True) for text in SENTENCES]
    for name in SOURCES:
        source = load_source(ROOT / "demo/sources" / name, name)
        norm = median_norm(model, source, prompts)
        chosen = torch.randperm(source.d_sae, generator=torch.Generator().manual_seed(seed))[:N_FEATURES].tolist()
        for factor in factors:
            before, after = masses(model, source, chosen, factor * norm)
            typical = (after.log() - before.log()).mean(1).exp()
            total = after.mean(1) / before.mean(1)
            print(
                f"{name}: strength {factor * norm:.0f} ({factor:g} x median norm {norm:.0f}): "
                f"mass of the top {N_TOKENS} "
                f"rises at least {RISE}x for {(typical >= RISE).float().mean():.0%} of {len(chosen)} features "
                f"(median {typical.median():.0f}x); by arithmetic means for {(total >= RISE).float().mean():.0%}",
                flush=True,
            )


def greedy(model: LanguageModel, n: int) -> None:
    hf: Any = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    source = load_source(ROOT / "demo/sources/15-res-4k", "15-res-4k")
    equal, ties, changed = 0, 0, 0
    for i, text in enumerate(BEGINNINGS):
        ids = model.token_ids(text, prepend_bos=True)
        steer = SteeringVector(source.hook_name, source.decoder_row(i), 170)
        run = Generation(model, [Row(ids, [steer]), Row(ids)], n, Sampling(), 10**10)
        generate(model, run)
        tokens = torch.tensor([ids])
        output = hf.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=n,
            do_sample=False,
            return_dict_in_generate=True,
            output_logits=True,
        )
        reference = output.sequences[0, len(ids) :].tolist()
        changed += run.ids[0] != reference
        if run.ids[1] == reference:
            equal += 1
            continue
        at = next(j for j, (a, b) in enumerate(zip(run.ids[1], reference, strict=False)) if a != b)
        first, second = output.logits[at][0].topk(2).values
        ties += (first - second).item() < 1e-3
    print(
        f"greedy, {len(BEGINNINGS)} prompts x {n} tokens: DEFAULT token-equal to transformers.generate for {equal}, "
        f"first difference a tie (logit gap under 1e-3) for {ties}; STEERED differs for {changed}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--factors", type=float, nargs="+", default=[0.5, 1.0, 1.5], help="of the median norm")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random features")
    args = parser.parse_args()
    language_model = load_model("smollm2-135m-it", str(MODEL))
    greedy(language_model, 32)
    effect(language_model, args.factors, args.seed)
