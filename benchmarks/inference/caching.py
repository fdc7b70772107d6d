"""What the two caches save: a strength that moves on one prompt, and feature after feature of one prompt.

A server with caches and one without answer in turn; three rounds, medians.
"""

import random
from collections.abc import Callable

import httpx
from baseline import NO_CACHES, WRITTEN, Floor, arguments, in_turn, keep, prompts, seconds, server, single, steered


def main() -> None:
    given = arguments(__doc__)
    texts, draw, raw = prompts(Floor().tokenizer, 64, seed=3), random.Random(0), {}
    on = dict.fromkeys(NO_CACHES, str(256 * 2**20))
    with server(given.device) as without, server(given.device, on) as cached:

        def slider(url: str) -> Callable[[], float]:
            """Seconds of one strength among several on one prompt, the first left out."""
            strengths = iter(())
            body: dict[str, object] = {}

            def moved() -> float:
                nonlocal strengths, body
                if (strength := next(strengths, None)) is None:
                    path, body = steered(next(texts), draw)
                    body |= {"seed": 1}
                    client.post(url + path, json=body).raise_for_status()
                    strengths = iter((20, 40, 60, 80, 120))
                    strength = next(strengths)
                body["features"] = [body["features"][0] | {"strength": strength}]  # pyright: ignore[reportIndexIssue]
                return seconds(lambda: client.post(f"{url}/v1/steer/completion", json=body).raise_for_status())

            return moved

        def another_feature(url: str) -> Callable[[], float]:
            text = next(texts)

            def asked() -> float:
                path, body = single(text, draw)
                return seconds(lambda: client.post(url + path, json=body).raise_for_status())

            return asked

        with httpx.Client(timeout=300) as client:
            for what, work, number in (
                (f"a strength that moves, {WRITTEN} tokens", slider, 5),
                ("another feature of a prompt of 64 tokens", another_feature, 10),
            ):
                rounds = in_turn(work(without.url), work(cached.url), number, warm=1)
                raw[what] = rounds.samples
                slow, fast = rounds.median()
                print(f"{what}: {1000 * slow:.0f} ms, kept {1000 * fast:.0f} ms, {fast / slow:.2f}x", flush=True)
    keep(given.raw, raw)


if __name__ == "__main__":
    main()
