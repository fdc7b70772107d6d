"""Answers of a language model that scores explanations, for `LlmProvider.answer`: it knows which words an explanation
names, and errs at a set rate.

    provider.answer = WordListModel(error_rate=0.05)

A description is a list of words. A text fits it if it contains one of them; a marked text if a marked part does; a
token if it is one of them. An error depends on the text and the seed alone, not on the order of the texts.
"""

import json
import math
import random
import re
from dataclasses import dataclass

from memicos_testing.llm_provider import Received, Reply


@dataclass(frozen=True)
class WordListModel:
    """`error_rate`: share of texts, or of tokens, that are answered wrongly."""

    error_rate: float = 0.0
    seed: int = 0

    def __call__(self, request: Received) -> Reply:
        system, user = (message["content"] for message in request.body["messages"])
        description, _, listed = user.partition("\n\n")
        words = description.removeprefix("Description: ").split()
        kind, _, lines = listed.partition(":\n")
        parts = [line.partition(". ")[2] for line in lines.split("\n")]
        if kind == "Tokens":
            return self._simulate(words, [json.loads(part) for part in parts], bool(request.body.get("logprobs")))
        fits = [self._fits(words, part) for part in parts]
        if '"matches"' in system:
            return Reply(content=json.dumps({"matches": [number for number, fit in enumerate(fits, 1) if fit]}))
        return Reply(content=f"Some reasoning [about a text].\n{json.dumps([int(fit) for fit in fits])}")

    def _fits(self, words: list[str], text: str) -> bool:
        part = " ".join(re.findall("<<(.*?)>>", text)) if "<<" in text else text
        return any(word in part for word in words) != self._errs(text)

    def _errs(self, text: str) -> bool:
        return random.Random(f"{text}{self.seed}").random() < self.error_rate

    def _simulate(self, words: list[str], tokens: list[str], with_logprobs: bool) -> Reply:
        lines, logprobs = [], []
        for number, token in enumerate(tokens, 1):
            fits = (token.strip() in words) != self._errs(f"{number}{''.join(tokens)}")
            digit = "9" if fits else "0"
            line = f"{number}: {digit}\n"
            lines.append(line)
            logprobs.append({"token": f"{number}:", "logprob": 0.0, "top_logprobs": []})
            logprobs.append({"token": f" {digit}", "logprob": math.log(0.75), "top_logprobs": self._top(digit)})
            logprobs.append({"token": "\n", "logprob": 0.0, "top_logprobs": []})
        fields = {"logprobs": {"content": logprobs}} if with_logprobs else {}
        return Reply(content="".join(lines), fields=fields)

    @staticmethod
    def _top(digit: str) -> list[dict[str, object]]:
        other = "6" if digit == "9" else "2"
        shares = {f" {digit}": 0.75, f" {other}": 0.25, " x": 0.1}
        return [{"token": token, "logprob": math.log(share)} for token, share in shares.items()]
