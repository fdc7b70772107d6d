"""The ways in which a provider fails, with the cause that a failed feature is listed with."""

from dataclasses import dataclass

from memicos_testing.llm_provider.server import Reply


@dataclass(frozen=True)
class Fault:
    """`cause`: of the `ProviderError`; `stops`: every further request would have it, so that work on many features ends
    at once."""

    reply: Reply
    cause: str
    stops: bool = False


_ANSWERS = {
    "401": Fault(Reply(status=401), "unauthorized", stops=True),
    "402": Fault(Reply(status=402), "payment_required", stops=True),
    "429": Fault(Reply(status=429), "rate_limited"),
    "429 with Retry-After": Fault(Reply(status=429, headers={"Retry-After": "0.1"}), "rate_limited"),
    "500": Fault(Reply(status=500), "provider_failed"),
    "hang": Fault(Reply(delay=30), "timeout"),
    "reset mid-body": Fault(Reply(cut=True), "unreachable"),
    "HTML at 200": Fault(Reply(body=b"<html>x</html>", headers={"Content-Type": "text/html"}), "malformed"),
    "empty choices": Fault(Reply(body={"id": "1", "choices": []}), "malformed"),
    "refusal": Fault(Reply(fields={"message": {"content": None, "refusal": "no"}}), "filtered"),
    "half of a JSON": Fault(Reply(body=b"{"), "malformed"),
    "10 MB": Fault(Reply(body=b'{"choices": [' + b" " * 10_000_000 + b"]}"), "malformed"),
}

EXPLANATION_FAULTS = {
    **_ANSWERS,
    "wrong JSON": Fault(Reply(content='{"answer": "ships"}'), "unreadable"),
    "wrong length": Fault(Reply(content="EXPLANATION: " + "ships " * 200), "unreadable"),
}
SCORE_FAULTS = {
    **_ANSWERS,
    # for every scorer: a list of answers, of matches, and digits by line
    "wrong JSON": Fault(Reply(content='{"matches": "all"} [yes] 1: high'), "unreadable"),
    "wrong length": Fault(Reply(content='[1, 0]\n{"matches": [1, 99]}\n1: 0\n2: 0'), "unreadable"),
}


def redirect(base_url: str) -> Fault:
    """To another endpoint, which must get neither the request nor its key."""
    return Fault(Reply(status=307, headers={"Location": f"{base_url}/chat/completions"}), "malformed")
