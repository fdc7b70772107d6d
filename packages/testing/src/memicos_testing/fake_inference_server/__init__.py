"""A fake inference server that implements the contract with plain JSON and fails on demand."""

from memicos_testing.fake_inference_server.bodies import BOS, END, FEATURES, UNTESTED, tokens_of, value_of
from memicos_testing.fake_inference_server.server import FakeInferenceServer

__all__ = ["BOS", "END", "FEATURES", "UNTESTED", "FakeInferenceServer", "tokens_of", "value_of"]
