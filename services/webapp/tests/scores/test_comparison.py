"""The explanations of a feature side by side: their scores, and the answers about the texts that they share."""

import html
import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from memicos_testing.llm_provider import LlmProvider, Reply
from memicos_testing.webapp.database import execute
from memicos_testing.webapp.html_page import Page
from memicos_testing.word_list_model import WordListModel

FEATURE = "/small/1-res/5"
PAGE = f"{FEATURE}/explanations"


pytestmark = pytest.mark.usefixtures("whale")


@pytest.fixture
async def client(explanation_client: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    yield explanation_client


async def _explain(client: httpx.AsyncClient, provider: LlmProvider) -> None:
    provider.script(Reply("EXPLANATION: sailors & <ships>"))
    body = {"modelId": "small", "layer": "1-res", "index": 5, "explanationType": "np_max-act"}
    response = await client.post("/api/explanation/generate", json={**body, "explanationModelName": "some/model"})
    assert response.status_code == 200, response.text


async def _score(client: httpx.AsyncClient, number: int, method: str) -> dict:
    explanations = (await client.get(f"/api/feature{FEATURE}")).json()["explanations"]
    body = {"explanationId": explanations[number]["id"], "scorerType": method, "scorerModel": "some/model"}
    response = await client.post("/api/explanation/score", json=body)
    assert response.status_code == 200, response.text
    return response.json()["score"]


def _rows(text: str) -> list[list[str]]:
    """The rows of the table of texts: text, class, and one answer for each explanation."""
    table = text[text.index('id="h-texts"') :]
    table = table[table.index("<tbody>") : table.index("</tbody>")]
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in table.split("<tr>")[1:]]
    return [[" ".join(re.sub("<[^>]+>", "", cell).split()) for cell in row] for row in cells]


async def test_scores_and_shared_texts(client: httpx.AsyncClient, provider: LlmProvider) -> None:
    assert "side by side" not in (await client.get(FEATURE)).text  # a single explanation
    await _explain(client, provider)
    assert f'href="{PAGE}"' in (await client.get(FEATURE)).text
    # the dataset's score was computed on other texts than the webapp chooses
    only_one = (await client.get(PAGE)).text
    assert "No text is shared by two scores by eleuther_embedding" in only_one and "not scored" in only_one
    (templates,) = re.findall("Template, provider</th>(.*?)</tr>", only_one)
    assert sorted(re.findall("<td>(.*?)</td>", templates)) == ['<span class="num">1</span>, default', "none"]

    provider.answer = WordListModel(0.3)
    scores = [await _score(client, number, "eleuther_recall") for number in (0, 1)]
    embedding = [await _score(client, number, "eleuther_embedding") for number in (0, 1)]
    page = (await client.get(f"{PAGE}?scorer=eleuther_recall")).text
    assert Page(page).open == []
    assert "sailors &amp; &lt;ships&gt;" in page
    for score in (*scores, *embedding):
        assert f'href="/scores/{score["id"]}"' in page
    texts = [json.loads(score["jsonDetails"]) for score in scores]
    assert [t["text"] for t in texts[0]] == [t["text"] for t in texts[1]]
    rows = _rows(page)
    assert len(rows) == len(texts[0]) == scores[0]["positives"] + scores[0]["negatives"]
    # as many right answers under each explanation as its breakdown has; active texts first
    for column, breakdown in enumerate(texts):
        right = sum(row[2 + column].endswith("right") for row in rows)
        assert right == sum(text["correct"] for text in breakdown)
    assert [row[1].startswith("active") for row in rows] == [True] * 10 + [False] * (len(rows) - 10)

    page = (await client.get(f"{PAGE}?scorer=eleuther_embedding")).text
    similarities = [
        {f"{t['similarity']:.2f}".replace("-0.00", "0.00").replace("-", "−") for t in json.loads(s["jsonDetails"])}
        for s in embedding
    ]
    for column, expected in enumerate(similarities):
        assert {row[2 + column] for row in _rows(page)} == expected


async def test_other_scorers_and_features_without_scores(client: httpx.AsyncClient, own_url: str) -> None:
    response = await client.get(f"{PAGE}?scorer=simulation")
    assert response.status_code == 400
    message = "No explanation of small/1-res/5 is scored by 'simulation'; available: eleuther_embedding"
    assert message in html.unescape(response.text)
    assert (await client.get("/small/1-res/9999/explanations")).status_code == 404
    await execute(own_url, "DELETE FROM score")
    assert "None of them has a score" in (await client.get(PAGE)).text
    await execute(own_url, "DELETE FROM explanation")
    assert "This feature has no explanation" in (await client.get(PAGE)).text
