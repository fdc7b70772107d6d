"""Steered logits against plain transformers with independent hooks."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from memicos_engine.errors import InvalidRequestError
from memicos_engine.generation import steering
from memicos_engine.generation.decoder import new_decoder
from memicos_engine.generation.generation import Generation, Row, Sampling
from memicos_engine.generation.steering import Method, SteeringVector, steering_plan
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.sources.source import Source
from memicos_testing.models import plain_model
from memicos_testing.models.steered import ANY_BYTES, INDEPENDENT, TOLERANCE, check, logits_now, logits_of

PROMPT = "The committee met on Tuesday, and the chairman opened the session with"
STEPS = 4


@pytest.mark.parametrize("method", steering.METHODS)
def test_random_features_of_three_layers(
    demo: LanguageModel, demo_plain: Any, demo_sources: list[tuple[Path, Source]], method: Method
) -> None:
    generator = torch.Generator().manual_seed(7)
    ids = demo.token_ids(PROMPT, prepend_bos=True)
    rows, changes = [], []
    for i in range(8 if method == "PROJECTION_CAP" else 20):
        _, source = demo_sources[i % 3]
        vector = source.decoder_row(int(torch.randint(source.d_sae, (), generator=generator))).detach()
        strength = (-1) ** i * (100 + 10 * i) if method == "SIMPLE_ADDITIVE" else i - 8
        rows.append(Row(ids, [SteeringVector(source.hook_name, vector, strength, method)]))
        changes.append({source.layer: INDEPENDENT[method](vector, strength)})
    check(demo, demo_plain, rows, changes, STEPS)


def test_several_features_at_once(
    demo: LanguageModel, demo_plain: Any, demo_sources: list[tuple[Path, Source]]
) -> None:
    """One layer, several layers, each method; STEERED rows beside a DEFAULT one."""
    ids = demo.token_ids(PROMPT, prepend_bos=True)
    (at_7, at_15, at_23) = (source for _, source in demo_sources)
    a, b, c, d = (s.decoder_row(i).detach() for s, i in ((at_7, 5), (at_7, 900), (at_15, 77), (at_23, 4000)))
    low, middle, high = (s.hook_name for s in (at_7, at_15, at_23))
    rows = [
        Row(ids, [SteeringVector(low, a, 60), SteeringVector(low, b, -80)]),
        Row(ids, [SteeringVector(high, d, 300), SteeringVector(low, a, 60), SteeringVector(middle, c, 120)]),
        Row(
            ids,
            [
                SteeringVector(low, a, 60),
                SteeringVector(low, a + b, 3, "ORTHOGONAL_DECOMP"),
                SteeringVector(low, b, 40),
            ],
        ),
        Row(ids, [SteeringVector(low, a, 0, "ORTHOGONAL_DECOMP"), SteeringVector(middle, c, 5, "ORTHOGONAL_DECOMP")]),
        Row(
            ids,
            [
                SteeringVector(low, a, 1, "PROJECTION_CAP"),
                SteeringVector(low, b, 60),
                SteeringVector(low, b, 30, "PROJECTION_CAP"),
            ],
        ),
        Row(ids),
    ]
    changes: list[dict[int, plain_model.Change]] = [
        {7: plain_model.in_turn(plain_model.added(a, 60), plain_model.added(b, -80))},
        {7: plain_model.added(a, 60), 15: plain_model.added(c, 120), 23: plain_model.added(d, 300)},
        {7: plain_model.in_turn(plain_model.added(a, 60), plain_model.scaled(a + b, 3), plain_model.added(b, 40))},
        {7: plain_model.scaled(a, 0), 15: plain_model.scaled(c, 5)},
        {7: plain_model.in_turn(plain_model.capped(a, 1), plain_model.added(b, 60), plain_model.capped(b, 30))},
        {},
    ]
    check(demo, demo_plain, rows, changes, STEPS)


def test_a_vector_and_its_negative_cancel(small: LanguageModel) -> None:
    ids = small.token_ids("Alice was beginning", prepend_bos=True)
    vector = torch.randn(128, generator=torch.Generator().manual_seed(0))
    for first, second in ((1, 1), (1, 2)):  # one hook under one name, and under two names
        hooks = f"blocks.{first}.hook_resid_post", f"blocks.{second}.hook_resid_{'post' if second == first else 'pre'}"
        steers = [SteeringVector(hooks[0], vector, 40), SteeringVector(hooks[1], -vector, 40)]
        _, both_steered, _ = logits_of(small, [Row(ids, steers)], 5)
        _, unsteered, _ = logits_of(small, [Row(ids)], 5)
        _, first_steered, _ = logits_of(small, [Row(ids, steers[:1])], 5)
        assert torch.equal(both_steered, unsteered) and (first_steered - unsteered).abs().max() > 0.1


@pytest.mark.parametrize("method", steering.METHODS)
@pytest.mark.parametrize(
    ("hook", "layer"),
    [("0.hook_resid_pre", -1), ("0.hook_resid_post", 0), ("3.hook_resid_pre", 2), ("3.hook_resid_post", 3)],
)
def test_steering_at_every_residual_hook(
    small: LanguageModel, small_plain: Any, hook: str, layer: int, method: Method
) -> None:
    ids = small.token_ids("The Queen turned angrily away", prepend_bos=True)
    vector = 3 * torch.randn(128, generator=torch.Generator().manual_seed(layer + 1))
    steer = SteeringVector(f"blocks.{hook}", vector.tolist(), 2.5, method)
    check(small, small_plain, [Row(ids), Row(ids, [steer])], [{}, {layer: INDEPENDENT[method](vector, 2.5)}], 8)


def test_masked_positions_are_not_steered_and_generated_ones_are(small: LanguageModel, small_plain: Any) -> None:
    ids = small.token_ids("The Queen turned angrily away", prepend_bos=True)
    vector = torch.randn(128, generator=torch.Generator().manual_seed(3))
    mask = [i not in (0, 2, len(ids) - 1) for i in range(len(ids))]
    steer = SteeringVector("blocks.1.hook_resid_post", vector, 30)
    short = small.token_ids("Alice", prepend_bos=True)
    writing = Generation(small, [Row(ids, [steer], mask), Row(short), Row(short, [steer])], 6, Sampling(), ANY_BYTES)
    captured = []
    decoder = new_decoder(small, writing)
    while not writing.done:
        decoder.advance()
        captured.append(logits_now(writing))

    def steer_at(steered: list[bool], generated: int) -> plain_model.Change:
        steered_positions = torch.tensor(steered + [True] * generated)[None, :, None]
        return lambda hidden: torch.where(steered_positions, hidden + 30 * vector, hidden)

    for row, steered in ((0, mask), (1, None), (2, [True] * len(short))):
        prompt, tokens = (ids, short, short)[row], writing.ids[row][:-1]
        changes = {} if steered is None else {1: steer_at(steered, len(tokens))}
        expected = plain_model.logits(small_plain, [*prompt, *tokens], changes)[len(prompt) - 1 :]
        actual = torch.stack([logits[row] for logits in captured[: len(tokens) + 1]])
        assert (actual - expected).abs().max() <= TOLERANCE


def test_normalized(small: LanguageModel) -> None:
    steer = SteeringVector("blocks.1.hook_resid_post", [3.0, 4.0], 2.0).normalized()
    assert steer.vector.tolist() == pytest.approx([0.6, 0.8]) and steer.strength == 2.0
    for size in (1e-30, 1e30):
        assert SteeringVector("h", [size * 3, size * 4], 1.0).normalized().vector.tolist() == pytest.approx([0.6, 0.8])
    with pytest.raises(InvalidRequestError, match="zero"):
        SteeringVector("blocks.1.hook_resid_post", [0.0] * 128, 1.0).normalized()
    with pytest.raises(dataclasses.FrozenInstanceError):
        steer.strength = 1.0  # pyright: ignore[reportAttributeAccessIssue]


def test_refused_requests(small: LanguageModel) -> None:
    ids = small.token_ids("Alice", prepend_bos=True)

    def start(hook: str, width: int) -> None:
        Generation(small, [Row(ids, [SteeringVector(hook, [1.0] * width, 1.0)])], 1, Sampling(), ANY_BYTES)

    start("blocks.3.hook_resid_post", 128)
    with pytest.raises(InvalidRequestError, match=r"127 numbers.*have 128"):
        start("blocks.3.hook_resid_post", 127)
    for hook in ("blocks.4.hook_resid_pre", "blocks.4.hook_resid_post"):
        with pytest.raises(InvalidRequestError, match="layers 0 to 3"):
            start(hook, 128)
    for hook in ("blocks.1.mlp.hook_in", "blocks.1.attn.hook_q", "nonsense"):
        with pytest.raises(InvalidRequestError, match=r"cannot be steered; .*hook_resid_pre"):
            start(hook, 128)
    with pytest.raises(InvalidRequestError, match=r"128 numbers.*have 341"):
        start("blocks.3.mlp.hook_post", 128)
    with pytest.raises(InvalidRequestError, match="not finite"):
        SteeringVector("blocks.1.hook_resid_post", [1e30, 0.0], 1e30)
    with pytest.raises(InvalidRequestError, match="not finite"):
        SteeringVector("blocks.1.hook_resid_post", [float("nan"), 0.0], 1.0)
    for method in ("ORTHOGONAL_DECOMP", "PROJECTION_CAP"):
        with pytest.raises(InvalidRequestError, match="zero"):
            SteeringVector("blocks.1.hook_resid_post", [0.0] * 128, 1.0, method)
        with pytest.raises(InvalidRequestError, match="not finite"):
            SteeringVector("blocks.1.hook_resid_post", [1.0], 1e39, method)
        assert SteeringVector("blocks.1.hook_resid_post", [1e30], 1e30, method).strength == 1e30
    direction = [1.0, *[0.0] * 127]
    for method in ("SIMPLE_ADDITIVE", "ORTHOGONAL_DECOMP"):
        with pytest.raises(InvalidRequestError, match="square is not finite"):
            steering_plan(small, [SteeringVector("blocks.1.hook_resid_post", direction, 1e25, method)])
    # a cap that is never reached changes nothing
    steering_plan(small, [SteeringVector("blocks.1.hook_resid_post", direction, 1e25, "PROJECTION_CAP")])
    with pytest.raises(InvalidRequestError, match="SIMPLE_ADDITIVE, ORTHOGONAL_DECOMP, PROJECTION_CAP"):
        SteeringVector("blocks.1.hook_resid_post", [1.0], 1.0, "OTHER")  # pyright: ignore[reportArgumentType]


def test_steering_raises_the_probability_of_the_promoted_tokens(
    demo: LanguageModel, demo_sources: list[tuple[Path, Source]]
) -> None:
    """A small part of benchmarks/steering_effect.py: 8 features of the highest layer, at the residual's own norm."""
    _, source = demo_sources[2]
    ids = demo.token_ids("I went to the door and saw that there was", prepend_bos=True)
    hf: Any = demo.hf
    unembedding = hf.lm_head.weight * hf.model.norm.weight
    features = torch.randperm(source.d_sae, generator=torch.Generator().manual_seed(1))[:8].tolist()
    best = [(unembedding @ source.decoder_row(index)).topk(10).indices for index in features]
    rows = [Row(ids), *(Row(ids, [SteeringVector(source.hook_name, source.decoder_row(i), 370)]) for i in features)]
    _, actual, _ = logits_of(demo, rows, 1)
    probabilities = actual[:, 0].softmax(-1)
    rises = [probabilities[1 + i, tokens].sum() / probabilities[0, tokens].sum() for i, tokens in enumerate(best)]
    assert sum(rise >= 3 for rise in rises) >= 7
