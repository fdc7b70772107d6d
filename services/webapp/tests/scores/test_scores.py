"""Scores of explanations: import, feature JSON, dashboard, table of features, breakdown, page of a method."""

import json
import re

import httpx
import pytest
from memicos_testing.servers import Start
from memicos_testing.webapp.database import execute, fetch
from memicos_testing.webapp.html_page import Page

FEATURE = "/small/1-res/5"


async def _feature_scores(client: httpx.AsyncClient, path: str = FEATURE) -> list[dict]:
    body = (await client.get(f"/api/feature{path}")).json()
    return [score for explanation in body["explanations"] for score in explanation["scores"]]


async def test_feature_json_has_the_score_with_its_texts(client: httpx.AsyncClient) -> None:
    feature = (await client.get(f"/api/feature{FEATURE}")).json()
    score = next(score for explanation in feature["explanations"] for score in explanation["scores"])
    assert (score["explanationScoreTypeName"], score["explanationScoreModelName"]) == (
        "eleuther_embedding",
        "all-MiniLM-L6-v2",
    )
    assert (score["value"], score["low"], score["high"]) == (0.5, 0.4, 0.6)
    assert (score["positives"], score["negatives"], score["failed"], score["reason"]) == (6, 6, 0, None)
    texts = json.loads(score["jsonDetails"])
    assert [text["similarity"] for text in texts] == [0.5] * 6 + [0.25] * 6
    assert {text["distance"] for text in texts[6:]} == {-1}
    first = feature["activations"][0]
    start = max(1, first["maxValueTokenIndex"] - 4)
    assert texts[0]["text"] == "".join(first["tokens"][start : first["maxValueTokenIndex"] + 5])


async def test_dashboard_links_to_the_breakdown(client: httpx.AsyncClient) -> None:
    score = (await _feature_scores(client))[0]
    page = (await client.get(FEATURE)).text
    assert f'href="/scores/{score["id"]}"' in page
    breakdown = await client.get(f"/scores/{score['id']}")
    assert breakdown.status_code == 200
    html = breakdown.text
    assert Page(html).open == []
    assert "0.40 to 0.60" in html
    assert html.count("<td>not active</td>") == 6
    assert len(re.findall(r"<td>active, ", html)) == 6
    # tokens on which the feature is active are marked
    assert html.count("<mark>") >= 6


async def test_explanation_without_a_score_says_why(client: httpx.AsyncClient) -> None:
    score = (await _feature_scores(client, "/small/1-res/62"))[0]
    assert score["value"] is None and "5 texts of each class" in score["reason"]
    page = (await client.get(f"/scores/{score['id']}")).text
    assert "There is no score." in page and "5 texts of each class" in page


def _listed(html: str) -> list[int]:
    return [int(index) for index in re.findall(r'<td class="right num"><a [^>]*href="/small/1-res/(\d+)"', html)]


async def test_table_is_sorted_and_filtered_by_score(client: httpx.AsyncClient) -> None:
    best = _listed((await client.get("/small/1-res?sort=score&order=desc")).text)
    assert best[:2] == [10, 21]
    assert [index % 11 for index in best] == sorted((index % 11 for index in best), reverse=True)
    assert _listed((await client.get("/small/1-res?sort=score&order=asc")).text)[:2] == [0, 11]
    # the feature without a score comes last in both directions
    for order in ("asc", "desc"):
        assert _listed((await client.get(f"/small/1-res?sort=score&order={order}&page=99")).text)[-1] == 62
    some = _listed((await client.get("/small/1-res?score_from=0.45&score_to=0.55")).text)
    assert some and {index % 11 for index in some} == {5}
    html = (await client.get("/small/1-res")).text
    assert ">0.50</a>" in html


async def test_unknown_scorer_score_and_method_are_refused(client: httpx.AsyncClient) -> None:
    unknown = await client.get("/small/1-res?scorer=nonsense")
    assert unknown.status_code == 400 and "eleuther_embedding" in unknown.text
    assert (await client.get("/small/1-res?score_from=2")).status_code == 422
    assert (await client.get("/scores/999999999")).status_code == 404
    assert (await client.get("/scores/0")).status_code == 422
    missing = await client.get("/score-type/nonsense")
    assert missing.status_code == 404 and "eleuther_embedding" in missing.text


async def test_page_of_a_method_lists_the_newest_scores(client: httpx.AsyncClient) -> None:
    page = await client.get("/score-type/eleuther_embedding")
    assert page.status_code == 200 and Page(page.text).open == []
    assert len(re.findall(r'href="/scores/\d+"', page.text)) == 20
    empty = (await client.get("/score-type/simulation")).text
    assert "No explanation has been scored by this method yet." in empty


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("simulation", 'texts with the feature and 6 without; chance is 0"'),
        ("output_tokens", 'texts that the feature raises and 6 others; chance is 0.5"'),
        ("of another system", ' and 6 texts"'),
    ],
)
async def test_a_dashboard_says_what_a_score_is_of(started: Start, own_url: str, method: str, words: str) -> None:
    await execute(own_url, "UPDATE score SET method = $1", method)
    async with started(own_url) as client:
        page = (await client.get("/small/1-res/5")).text
    assert words in page


@pytest.mark.parametrize(("strength", "shown"), [("8.5", "8.5"), ("3", "3"), ('"x"', None), ("1" * 400, None)])
async def test_pages_show_scores_of_any_dataset(started: Start, own_url: str, strength: str, shown: str | None) -> None:
    """Parameters of a dataset are any JSON object, and what an older version stored may lack one number of tokens."""
    parameters = f'{{"strength": {strength}, "job": "x"}}'
    for table in ("score", "explanation"):
        statement = f"UPDATE {table} SET parameters = $1, prompt_tokens = 7, completion_tokens = NULL"  # noqa: S608
        await execute(own_url, statement, parameters)
    (score, *_) = await fetch(own_url, "SELECT id FROM score ORDER BY id")
    async with started(own_url) as client:
        for path in (FEATURE, f"{FEATURE}/explanations", f"/api/feature{FEATURE}"):
            response = await client.get(path)
            assert response.status_code == 200, path
        page = (await client.get(f"/scores/{score['id']}")).text
    assert re.findall(r'strength <b class="num">(.*?)</b>', page) == ([shown] if shown else [])
