"""What `recall_alt` sends, and which answers it reads."""

import pytest
from memicos_autointerp_core.errors import ProviderError
from memicos_autointerp_core.scorers import recall_alt
from memicos_autointerp_core.scorers.interface import BreakdownRow
from memicos_testing.planted_feature import SEA, TEXTS


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (20, [20]), (21, [10, 11]), (45, [15, 15, 15]), (50, [16, 17, 17])]
)
def test_texts_are_divided_evenly_and_all_are_asked(count: int, sizes: list[int]) -> None:
    rows = [BreakdownRow(text, text.active) for text in TEXTS[:count]]
    parts = recall_alt.divide(rows)
    assert [len(part) for part in parts] == sizes
    assert [row for part in parts for row in part] == rows


async def test_the_prompt_tells_no_class() -> None:
    prompts = []

    async def ask(system: str, user: str, _: object) -> str:
        prompts.append(user)
        return '{"matches": []}'

    texts = [*TEXTS[:10], *TEXTS[50:60]]
    score = await recall_alt.score(" ".join(SEA), texts, ask, "m")
    lines = prompts[0].partition("Texts:\n")[2].split("\n")
    assert [line.partition(". ")[2] for line in lines] == [row.text.text for row in score.breakdown]
    truths = [row.truth for row in score.breakdown]
    assert truths != sorted(truths) and truths != sorted(truths, reverse=True)
    # a model that names nothing is right about one class
    assert score.estimate and score.estimate.value == 0.5


def test_readable_answers() -> None:
    assert recall_alt.parse_answer('{"matches": [2, 5]}', 5) == {2, 5}
    assert recall_alt.parse_answer('Text 1 is about {x}.\n```json\n{"matches": []}\n```', 5) == set()
    assert recall_alt.parse_answer('{"matches": [1]} no: {"matches": [3, 3]}', 5) == {3}


@pytest.mark.parametrize(
    "answer",
    ["", "all", "[1]", '{"matches": 1}', '{"matches": [0]}', '{"matches": [6]}', '{"matches": ["1"]}', "{" * 5000,
     '{"matches": [true]}', '{"matches": [1.0]}', '{"match": [1]}'],
)  # fmt: skip
def test_unreadable_answers(answer: str) -> None:
    with pytest.raises(ProviderError) as caught:
        recall_alt.parse_answer(answer, 5)
    assert caught.value.cause == "unreadable"
