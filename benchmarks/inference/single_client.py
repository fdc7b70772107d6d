"""Latency of the server for a single client, against the same computation in plain torch.

Prints the medians of baseline and server, and their ratio, for the activations of one feature, those of all features,
and a steered completion. Measurements of baseline and server alternate on new prompts of the same length, so that noise
of the machine affects both. Steering (STEERED and DEFAULT) is compared with `transformers.generate` of batch 2 by the
step, because a text may end before its last token.
"""

import random
from collections.abc import Callable, Iterator

import httpx
from baseline import KINDS, LAYERS, Baseline, alternate, parse_args, prompts, save_samples, seconds, server


def main() -> None:
    args = parse_args(__doc__, tokens={"type": int, "nargs": "+", "default": [16, 64, 127]})
    baseline, generator, samples = Baseline(args.device), random.Random(0), []
    with server(args.device) as served, httpx.Client(base_url=served.url, timeout=300) as client:

        def send(kind: str, text: str) -> httpx.Response:
            path, body = KINDS[kind](text, generator)
            return client.post(path, json=body).raise_for_status()

        for tokens in args.tokens:
            texts = prompts(baseline.tokenizer, tokens, seed=tokens)
            for kind, layers in LAYERS.items():
                baseline_sample, server_sample = capture_samples(baseline, send, kind, layers, texts)
                rounds = alternate(baseline_sample, server_sample, 20)
                samples.append({"kind": kind, "tokens": tokens, "rounds": rounds.samples})
                print_medians(f"{tokens} tokens, {kind}", *rounds.median())
        texts = prompts(baseline.tokenizer, 16, seed=1)

        def baseline_step() -> float:
            text, steps = next(texts), 0

            def run() -> None:
                nonlocal steps
                steps, _ = baseline.generate([text, text])

            return seconds(run) / steps

        def server_step() -> float:
            text, steps = next(texts), 0

            def run() -> None:
                nonlocal steps
                steps = max(len(output["token_ids"]) for output in send("steer", text).json()["outputs"])

            return seconds(run) / steps

        rounds = alternate(baseline_step, server_step, 6, warm_up=1)
        samples.append({"kind": "steer", "rounds": rounds.samples})
        print_medians("steering, STEERED and DEFAULT, a step", *rounds.median())
    save_samples(args.raw, samples)


def capture_samples(
    baseline: Baseline,
    send: Callable[[str, str], httpx.Response],
    kind: str,
    layers: list[int],
    texts: Iterator[str],
) -> tuple[Callable[[], float], Callable[[], float]]:
    """Functions that measure the seconds of one capture by the baseline and by the server."""

    def baseline_sample() -> float:
        return seconds(baseline.encode_prompts, [next(texts)], layers)

    def server_sample() -> float:
        return seconds(send, kind, next(texts))

    return baseline_sample, server_sample


def print_medians(title: str, baseline: float, server: float) -> None:
    print(
        f"{title}: baseline {1000 * baseline:.1f} ms, server {1000 * server:.1f} ms, {server / baseline:.2f}x",
        flush=True,
    )


if __name__ == "__main__":
    main()
