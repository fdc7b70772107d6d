"""whale   the double of the inference server says that a feature is active on the word "whale" alone"""

import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer, bodies, server


def _value(_source: str, _index: int, token: str) -> float:
    return 100.0 if token == bodies.BOS else 9.0 if token.strip() == "whale" else 0.0


@pytest.fixture
def whale(inference: FakeInferenceServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "value_of", _value)
