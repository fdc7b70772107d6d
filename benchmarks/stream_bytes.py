"""Bytes on the wire of one steered completion (STEERED and DEFAULT), at each hop and in each form of the stream.

    python benchmarks/stream_bytes.py [--webapp http://127.0.0.1:3000] [--inference http://127.0.0.1:5002]

Both servers must be running, for instance by `make demo`, with MEMICOS_STEER_TOKENS and
INFERENCE_MAX_COMPLETION_TOKENS of at least `--tokens`. Prints bytes, events and seconds of each stream. Bytes are those
of the body as received, without HTTP framing. The hop from inference to the webapp is measured by sending inference the
webapp's request: for deltas (now) or cumulative frames (before).
"""

import argparse
import json
import time
from typing import Any

import httpx

MODEL, SOURCE, INDEX, STRENGTH = "smollm2-135m-it", "15-res-4k", 87, 60
PROMPT = "My favourite way to spend a Sunday is"
SAMPLING: dict[str, Any] = {"temperature": 0, "freq_penalty": 0}
"""Greedy, because the repetitive text then runs to the token limit without an EOS."""


def measure(url: str, body: dict[str, Any]) -> tuple[int, int, float]:
    """Bytes, events and seconds of a stream."""
    started, content = time.perf_counter(), b""
    with httpx.Client(timeout=600) as client, client.stream("POST", url, json=body) as response:
        if response.status_code != 200:
            raise SystemExit(f"{url}: {response.status_code}: {response.read().decode()[:300]}")
        content = b"".join(response.iter_raw())
    *_, last = content.decode().removesuffix("\n\n").split("\n\n")
    # the last event of a complete stream is marked as such; an interrupted stream has none
    if not last.startswith("data: ") or not _is_last(json.loads(last.removeprefix("data: "))):
        raise SystemExit(f"{url}: the stream is incomplete; its last event: {last[:300]}")
    return len(content), content.count(b"\n\n"), time.perf_counter() - started


def _is_last(event: dict[str, Any]) -> bool:
    """Whether an event is the last one of a complete stream of the webapp or of inference."""
    return "shareUrl" in event or all(output.get("finished") for output in event.get("outputs", [{}]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--webapp", default="http://127.0.0.1:3000")
    parser.add_argument("--inference", default="http://127.0.0.1:5002")
    parser.add_argument("--tokens", type=int, default=512)
    args = parser.parse_args()
    feature = {"source": SOURCE, "index": INDEX, "strength": STRENGTH}
    inference = SAMPLING | {
        "model": MODEL,
        "prompt": PROMPT,
        "types": ["STEERED", "DEFAULT"],
        "features": [{"model": MODEL, **feature}],
        "n_completion_tokens": args.tokens,
        "stream": True,
    }
    webapp = SAMPLING | {
        "modelId": MODEL,
        "prompt": PROMPT,
        "features": [{"modelId": MODEL, **feature}],
        "n_tokens": args.tokens,
        "stream": True,
    }
    completion, steer = f"{args.inference}/v1/steer/completion", f"{args.webapp}/api/steer"
    cases = (
        ("inference to webapp, cumulative (before)", completion, inference),
        ("inference to webapp, deltas (now)", completion, inference | {"stream_deltas": True}),
        ("webapp to page, cumulative (before)", steer, webapp | {"n_logprobs": 0}),
        ("webapp to page, deltas (now)", steer, webapp | {"n_logprobs": 0, "delta": True}),
        ("API, log-probabilities in every event (the default before)", steer, webapp | {"frame_logprobs": True}),
        ("API, log-probabilities in the last event (the default)", steer, webapp),
        ("API, deltas with log-probabilities", steer, webapp | {"delta": True}),
    )
    for name, url, body in cases:
        size, count, seconds = measure(url, body)
        print(f"{name:60} {size / 1000:9,.0f} kB  {count:4} events  {seconds:6.1f} s", flush=True)


if __name__ == "__main__":
    main()
