"""Tokens and cost per 1,000 features of each method of explaining and scoring, on features of the demo's dataset.

Builds the requests that `memicos explain` and `memicos score` send, for features drawn at random from all sources, and
counts their tokens with the demo model's tokenizer (`demo/model.py` fetches it); that of another model gives other
numbers. An answer is taken to have as many tokens as its form needs: 12 of an explanation, 3 for each text of a
classification, 8 for each token of a simulation. Models that reason before they answer write more.
"""

import argparse
import asyncio
import json
import random
from pathlib import Path

import numpy as np
from memicos_autointerp_core.explainers.interface import ExplainerOptions, MissingEvidence
from memicos_autointerp_core.explainers.registry import EXPLAINERS
from memicos_autointerp_core.providers.chat import Answer, ChatRequest, TokenUsage
from memicos_autointerp_core.providers.settings import OPENAI_PRICES
from memicos_autointerp_core.scorers.interface import ScoredText
from memicos_autointerp_core.scorers.language_model import ScoringModel
from memicos_autointerp_core.scorers.registry import LANGUAGE_MODEL_SCORERS
from memicos_autointerp_core.scorers.sampling import draw_active, draw_inactive
from memicos_dataset import read
from memicos_pipeline.bulk.selection import Selection, select
from memicos_pipeline.explain.evidence import Corpus, features
from memicos_pipeline.scores.dataset_texts import feature_examples, inactive_text, pool_windows, read_corpus
from memicos_pipeline.scores.protocol import ScoreProtocol
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parents[2]
PRICED = ("gpt-4.1-mini", "gpt-4o")
EXPLANATION_TOKENS, CLASS_TOKENS, SIMULATION_TOKENS = 12, 3, 8
MESSAGE_TOKENS = 4
"""Tokens of a message's role and ends in OpenAI's chat format."""


class Counter:
    """A `Chat` that counts tokens, and answers nothing that can be read."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.requests = self.prompt_tokens = 0

    def tokens(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    async def chat(self, request: ChatRequest) -> Answer:
        self.requests += 1
        self.prompt_tokens += sum(self.tokens(message.content) + MESSAGE_TOKENS for message in request.messages)
        return Answer("none", request.model, TokenUsage(0, 0))


def line(method: str, counter: Counter, answers: float, count: int) -> str:
    prompt, requests = counter.prompt_tokens / count, counter.requests / count
    dollars = [
        1000 * (prompt * OPENAI_PRICES[name].input + answers * OPENAI_PRICES[name].output) / 1e6 for name in PRICED
    ]
    costs = " | ".join(f"${cost:,.2f}" for cost in dollars)
    return f"| `{method}` | {requests:.1f} | {prompt:,.0f} | {answers:,.0f} | {costs} |"


async def main(dataset: Path, tokenizer: Tokenizer, count: int) -> None:
    manifest = read.read_manifest(dataset)
    corpus = Corpus(dataset, manifest)
    protocol = ScoreProtocol()
    texts = read_corpus(dataset, manifest)
    generator = random.Random(0)
    counters = {name: Counter(tokenizer) for name in (*EXPLAINERS, *LANGUAGE_MODEL_SCORERS)}
    answers = dict.fromkeys(counters, 0.0)
    done = 0
    for source in manifest.source_set.sources:
        live = select(dataset, source, Selection())
        chosen = set(generator.sample(live, count // len(manifest.source_set.sources)))
        done += len(chosen)
        for feature in features(dataset, source, chosen, corpus, 10, 24):
            for name, explainer in EXPLAINERS.items():
                try:
                    await counters[name].chat(explainer.request(feature.evidence, "m", ExplainerOptions()))
                    answers[name] += EXPLANATION_TOKENS
                except MissingEvidence:
                    # attributions, which this dataset does not have
                    continue
        first = 1 if source.recipe.prepend_bos else 0
        pool = [
            inactive_text(texts, window)
            for window in pool_windows(texts, generator.sample(range(len(texts.strings)), 64), protocol.around, first)
        ]
        for example in feature_examples(dataset, source, texts, protocol.around, chosen):
            drawn: list[ScoredText] = draw_active(example.texts, protocol.active, np.random.default_rng(0))
            drawn += draw_inactive(pool, protocol.inactive, np.random.default_rng(0))
            for name, scorer in LANGUAGE_MODEL_SCORERS.items():
                # a description of usual length
                model = ScoringModel(counters[name], "m")
                await scorer.score("names of months in dates and the years that follow them", drawn, model, 0)
                simulated = sum(len(text.tokens) for text in drawn) * SIMULATION_TOKENS
                answers[name] += simulated if name == "simulation" else CLASS_TOKENS * len(drawn)
    print(json.dumps({"features": done, "dataset": str(dataset), "prices": "OpenAI, April 2025"}))
    print("| method | requests | tokens read | tokens written | " + " | ".join(PRICED) + " |")
    for name, counter in counters.items():
        if counter.requests:
            print(line(name, counter, answers[name] / done, done))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=ROOT / "demo/dataset")
    parser.add_argument(
        "--tokenizer", type=Path, default=ROOT / ".data/models/smollm2-135m-it/tokenizer.json", help="tokenizer.json"
    )
    parser.add_argument("--features", type=int, default=300)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.dataset, Tokenizer.from_file(str(arguments.tokenizer)), arguments.features))
