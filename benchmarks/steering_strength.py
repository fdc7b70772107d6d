"""Visible effect and broken text by steering strength, as a share of the residual stream's norm.

For random features of each source and strengths from 0.15 to 1.5 times the median norm of the residual stream there
(SIMPLE_ADDITIVE), or factors of the component (ORTHOGONAL_DECOMP), texts are generated as the steer page does it by
default: temperature 0.5, frequency penalty 1, seed 16. Printed for each strength:

- promoted tokens: share of the generated tokens that are among the feature's top 50 positive logits, and the same
  share in the unsteered text of the same prompt;
- changed: share of texts that differ from the unsteered one;
- broken: share of texts in which one token makes up a quarter or more, or whose mean log-probability per token in the
  unsteered model is below -6 (fluent text has about -2).

`--show N` also prints the texts of the first N features at each strength.
"""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from memicos_engine.generation.decoder import generate
from memicos_engine.generation.generation import Generation, Row, Sampling
from memicos_engine.generation.steering import Method, SteeringVector
from memicos_engine.model.language_model import LanguageModel, load_model
from memicos_engine.sources.source import Source
from memicos_engine.sources.source_loading import load_source
from steering_effect import MODEL, ROOT, SENTENCES, median_norm

SOURCES = ("7-res-4k", "15-res-4k", "23-res-4k")
PROMPTS = ("My favourite way to spend a Sunday is", "The letter began:")
FACTORS = {
    "SIMPLE_ADDITIVE": (0.15, 0.3, 0.45, 0.6, 0.8, 1.0, 1.5),
    "ORTHOGONAL_DECOMP": (-5.0, 0.0, 3.0, 5.0, 10.0, 20.0),
}
TOP = 50
BROKEN_SHARE = 0.25
BROKEN_LOGPROB = -6.0


def completions(
    model: LanguageModel, prompt: list[int], steers: list[list[SteeringVector]], n_tokens: int
) -> list[list[int]]:
    """Token ids of one completion for each list of steering vectors, and of an unsteered one last."""
    rows = [Row(prompt, tuple(vectors)) for vectors in steers] + [Row(prompt)]
    run = Generation(model, rows, n_tokens, Sampling(temperature=0.5, freq_penalty=1.0, seed=16), 10**10)
    generate(model, run)
    return run.ids


@torch.inference_mode()
def mean_logprobs(model: LanguageModel, prompt: list[int], texts: list[list[int]]) -> list[float]:
    """Mean log-probability of the tokens of each of `texts` in the unsteered model."""
    longest = max(map(len, texts))
    ids = torch.tensor([[*prompt, *tokens, *[0] * (longest - len(tokens))] for tokens in texts])
    logits = torch.cat([model.hf(part).logits[:, len(prompt) - 1 : -1] for part in ids.split(16)])
    logprobs = logits.log_softmax(-1).gather(-1, ids[:, len(prompt) :, None])[..., 0]
    return [values[: len(tokens)].mean().item() for values, tokens in zip(logprobs, texts, strict=True)]


def repeats(tokens: list[int]) -> bool:
    """Whether one token makes up BROKEN_SHARE of the text."""
    return bool(tokens) and Counter(tokens).most_common(1)[0][1] / len(tokens) >= BROKEN_SHARE


def share(tokens: list[int], promoted: set[int]) -> float:
    return sum(token in promoted for token in tokens) / max(len(tokens), 1)


def measure(model: LanguageModel, source: Source, method: Method, args: argparse.Namespace) -> None:
    hf: Any = model.hf
    unembedding = hf.lm_head.weight.detach() * hf.model.norm.weight.detach()
    norm = median_norm(model, source, [model.token_ids(text, prepend_bos=True) for text in SENTENCES])
    generator = torch.Generator().manual_seed(args.seed)
    features = torch.randperm(source.d_sae, generator=generator)[: args.features].tolist()
    promoted = [set((unembedding @ source.decoder_row(i).detach()).topk(TOP).indices.tolist()) for i in features]
    print(
        f"{source.id}, {method}: median norm {norm:.0f}, {len(features)} features, {args.prompts} prompts",
        flush=True,
    )
    unit = norm if method == "SIMPLE_ADDITIVE" else 1.0
    totals = {factor: Counter[str]() for factor in FACTORS[method]}
    for text in PROMPTS[: args.prompts]:
        prompt = model.token_ids(text, prepend_bos=True)
        pairs = [(factor, number) for factor in FACTORS[method] for number in range(len(features))]
        steers = [
            [SteeringVector(source.steer_hook, source.decoder_row(features[number]), factor * unit, method)]
            for factor, number in pairs
        ]
        *steered, plain = completions(model, prompt, steers, args.tokens)
        fluency = mean_logprobs(model, prompt, steered)
        for (factor, number), tokens, logprob in zip(pairs, steered, fluency, strict=True):
            totals[factor] += Counter(
                {
                    "texts": 1,
                    "changed": tokens != plain,
                    "broken": repeats(tokens) or logprob < BROKEN_LOGPROB,
                }
            )
            totals[factor]["promoted"] += share(tokens, promoted[number])  # pyright: ignore[reportArgumentType]
            totals[factor]["before"] += share(plain, promoted[number])  # pyright: ignore[reportArgumentType]
            if number < args.show:
                print(f"    {factor:g} {features[number]}: {model.decode(tokens)!r}")
    for factor, total in totals.items():
        count = total["texts"]
        print(
            f"  {factor:5g}: strength {factor * unit:6.1f}  promoted tokens {total['promoted'] / count:5.1%} "
            f"(unsteered {total['before'] / count:.1%})  changed {total['changed'] / count:4.0%}  "
            f"broken {total['broken'] / count:4.0%}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0, help="seed of the random features")
    parser.add_argument("--show", type=int, default=0, help="number of texts to print at each strength")
    parser.add_argument("--methods", nargs="+", choices=list(FACTORS), default=list(FACTORS))
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--prompts", type=int, default=len(PROMPTS), help="number of prompts")
    options = parser.parse_args()
    language_model = load_model("smollm2-135m-it", str(MODEL))
    for name in options.sources:
        folder = Path(ROOT) / "demo/sources" / name
        for chosen_method in options.methods:
            measure(language_model, load_source(folder, name), chosen_method, options)
