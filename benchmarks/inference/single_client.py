"""What the server adds to the bare computation where nobody else asks: one feature, all features, steered text.

Floor and server take turns on fresh prompts of the same lengths, so that noise of the machine meets both. Steering is
STEERED and DEFAULT against one `transformers.generate` of batch 2, by the step: a text may end before its last token.
"""

import random
from collections.abc import Callable
from typing import Any

import httpx
from baseline import KINDS, LAYERS, Floor, arguments, in_turn, keep, prompts, seconds, server


def main() -> None:
    given = arguments(__doc__, tokens={"type": int, "nargs": "+", "default": [16, 64, 127]})
    floor, draw, raw = Floor(given.device), random.Random(0), []
    with server(given.device) as served, httpx.Client(base_url=served.url, timeout=300) as client:

        def asked(kind: str, text: str) -> Any:
            path, body = KINDS[kind](text, draw)
            answer = client.post(path, json=body)
            answer.raise_for_status()
            return answer

        for tokens in given.tokens:
            texts = prompts(floor.tokenizer, tokens, seed=tokens)
            for kind, layers in LAYERS.items():
                bare, ours = reading(floor, asked, kind, layers, texts)
                rounds = in_turn(bare, ours, 20)
                raw.append({"kind": kind, "tokens": tokens, "rounds": rounds.samples})
                show(f"{tokens} tokens, {kind}", *rounds.median())
        texts = prompts(floor.tokenizer, 16, seed=1)

        def generated() -> float:
            text, steps = next(texts), 0

            def run() -> None:
                nonlocal steps
                steps, _ = floor.write([text, text])

            return seconds(run) / steps

        def steered() -> float:
            text, steps = next(texts), 0

            def run() -> None:
                nonlocal steps
                steps = max(len(one["token_ids"]) for one in asked("steer", text).json()["outputs"])

            return seconds(run) / steps

        rounds = in_turn(generated, steered, 6, warm=1)
        raw.append({"kind": "steer", "rounds": rounds.samples})
        show("steering, STEERED and DEFAULT, a step", *rounds.median())
    keep(given.raw, raw)


def reading(
    floor: Floor, asked: Callable[[str, str], Any], kind: str, layers: list[int], texts: Any
) -> tuple[Callable[[], float], Callable[[], float]]:
    def bare() -> float:
        return seconds(floor.read, [next(texts)], layers)

    def ours() -> float:
        return seconds(asked, kind, next(texts))

    return bare, ours


def show(what: str, floor: float, ours: float) -> None:
    print(f"{what}: floor {1000 * floor:.1f} ms, served {1000 * ours:.1f} ms, {ours / floor:.2f}x", flush=True)


if __name__ == "__main__":
    main()
