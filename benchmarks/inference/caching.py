"""Time saved by the two caches: steering one prompt at several strengths, and several features of one prompt.

Prints for each the median time of a request at a server without caches and at one with them, and their ratio.
Requests alternate between the two servers, in three rounds.
"""

import random
from collections.abc import Callable

import httpx
from baseline import (
    NO_CACHES,
    STEERED_TOKENS,
    Baseline,
    alternate,
    parse_args,
    prompts,
    save_samples,
    seconds,
    server,
    single_request,
    steer_request,
)


def main() -> None:
    args = parse_args(__doc__)
    texts, generator, samples = prompts(Baseline().tokenizer, 64, seed=3), random.Random(0), {}
    caches = dict.fromkeys(NO_CACHES, str(256 * 2**20))
    with server(args.device) as uncached, server(args.device, caches) as cached:

        def several_strengths(url: str) -> Callable[[], float]:
            """Seconds of a steer request at the next of several strengths on one prompt; the first is not timed."""
            strengths = iter(())
            body: dict[str, object] = {}

            def sample() -> float:
                nonlocal strengths, body
                if (strength := next(strengths, None)) is None:
                    path, body = steer_request(next(texts), generator)
                    body |= {"seed": 1}
                    client.post(url + path, json=body).raise_for_status()
                    strengths = iter((20, 40, 60, 80, 120))
                    strength = next(strengths)
                body["features"] = [body["features"][0] | {"strength": strength}]  # pyright: ignore[reportIndexIssue]
                return seconds(lambda: client.post(f"{url}/v1/steer/completion", json=body).raise_for_status())

            return sample

        def several_features(url: str) -> Callable[[], float]:
            """Seconds of a request for a random feature of one prompt."""
            text = next(texts)

            def sample() -> float:
                path, body = single_request(text, generator)
                return seconds(lambda: client.post(url + path, json=body).raise_for_status())

            return sample

        with httpx.Client(timeout=300) as client:
            for title, make_sample, number in (
                (f"another strength on the same prompt, {STEERED_TOKENS} tokens", several_strengths, 5),
                ("another feature of a prompt of 64 tokens", several_features, 10),
            ):
                rounds = alternate(make_sample(uncached.url), make_sample(cached.url), number, warm_up=1)
                samples[title] = rounds.samples
                slow, fast = rounds.median()
                print(
                    f"{title}: without cache {1000 * slow:.0f} ms, with {1000 * fast:.0f} ms, {fast / slow:.2f}x",
                    flush=True,
                )
    save_samples(args.raw, samples)


if __name__ == "__main__":
    main()
