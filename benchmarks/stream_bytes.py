"""Bytes on the wire of one steered completion, STEERED and DEFAULT, at each hop and in each form.

    python benchmarks/stream_bytes.py [--webapp http://127.0.0.1:3000] [--inference http://127.0.0.1:5002]

Both servers run already, for instance by `make demo` with MEMICOS_STEER_TOKENS and INFERENCE_MAX_COMPLETION_TOKENS at
least `--tokens`. Bodies are counted as they arrive, without HTTP's own framing. The hop from inference to the webapp is
measured by asking inference as the webapp does: for deltas now, for whole answers before.
"""

import argparse
import json
import time
from typing import Any

import httpx

MODEL, SOURCE, INDEX, STRENGTH = "smollm2-135m-it", "15-res-4k", 87, 60
PROMPT = "My favourite way to spend a Sunday is"
SAMPLING: dict[str, Any] = {"temperature": 0, "freq_penalty": 0}
"""The most probable tokens: they repeat themselves, and the text does not end before its last token."""


def measure(url: str, body: dict[str, Any]) -> tuple[int, int, float]:
    """Bytes and events of a stream, and how long it took in seconds."""
    began, content = time.perf_counter(), b""
    with httpx.Client(timeout=600) as client, client.stream("POST", url, json=body) as answer:
        if answer.status_code != 200:
            raise SystemExit(f"{url}: {answer.status_code}: {answer.read().decode()[:300]}")
        content = b"".join(answer.iter_raw())
    *_, last = content.decode().removesuffix("\n\n").split("\n\n")
    # the last event of a whole stream has no name; a server that ends in the middle sends none
    if not last.startswith("data: ") or not _is_whole(json.loads(last.removeprefix("data: "))):
        raise SystemExit(f"{url}: the stream broke off: {last[:300]}")
    return len(content), content.count(b"\n\n"), time.perf_counter() - began


def _is_whole(answer: dict[str, Any]) -> bool:
    """Whether it is the last answer of the webapp, or of inference."""
    return "shareUrl" in answer or all(output.get("finished") for output in answer.get("outputs", [{}]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--webapp", default="http://127.0.0.1:3000")
    parser.add_argument("--inference", default="http://127.0.0.1:5002")
    parser.add_argument("--tokens", type=int, default=512)
    arguments = parser.parse_args()
    feature = {"source": SOURCE, "index": INDEX, "strength": STRENGTH}
    inference = SAMPLING | {
        "model": MODEL,
        "prompt": PROMPT,
        "types": ["STEERED", "DEFAULT"],
        "features": [{"model": MODEL, **feature}],
        "n_completion_tokens": arguments.tokens,
        "stream": True,
    }
    webapp = SAMPLING | {
        "modelId": MODEL,
        "prompt": PROMPT,
        "features": [{"modelId": MODEL, **feature}],
        "n_tokens": arguments.tokens,
        "stream": True,
    }
    completion, steer = f"{arguments.inference}/v1/steer/completion", f"{arguments.webapp}/api/steer"
    cases = (
        ("inference to webapp, whole answers (before)", completion, inference),
        ("inference to webapp, deltas (now)", completion, inference | {"stream_deltas": True}),
        ("webapp to page, whole answers (before)", steer, webapp | {"n_logprobs": 0}),
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
