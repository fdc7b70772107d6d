"""Pages: their HTML is parsed and compared with the dataset's rows."""

from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.webapp.html_page import Page, inline_code
from memicos_webapp.accounts.identity import LOCAL_OWNER
from memicos_webapp.features import repository


async def get(client: httpx.AsyncClient, path: str, status: int = 200, headers: dict[str, str] | None = None) -> Page:
    response = await client.get(path, headers=headers)
    assert response.status_code == status, response.text
    page = Page(response.text)
    assert page.open == []
    return page


def rows(dataset: Path, source: str = "1-res") -> list[dict[str, Any]]:
    return pq.read_table(dataset / source / "features-00000.parquet").to_pylist()


PATHS = ["/", "/small", "/small-release", "/small/res", "/small/1-res", "/small/1-res/3", "/small/1-res/15",
         "/search-explanations", "/search", "/search-topk-by-token", "/small/steer", "/api-doc"]  # fmt: skip
OTHERS = ["/search-explanations?q=whale", "/search?q=the+whale", "/search-topk-by-token?q=the+whale",
          "/small/steer?feature=1-res/5&feature=2-res/7@-3&prompt=Once", "/small/steer?source=9-res&index=1",
          "/small/1-res/3?embed=true", "/small/1-res/3?defaulttesttext=the+whale", "/small/1-res?words=zebra",
          "/small/1-res?sort=max&page=2"]  # fmt: skip
FAULTY = {"/nope": 404, "/small/1-res/64": 404, "/small/1-res/x": 404, "/small/1-res?page=0": 422, "/a%00b": 400}
FRAGMENTS = ["/search/results?q=the+whale", "/search-topk-by-token/results?q=the+whale",
             "/search/sources?set=small/res", "/small/inference", "/small/1-res/inference", "/small/steer/find?q=whale",
             "/small/steer/feature?source=1-res&index=5"]  # fmt: skip


def check_headers(response: httpx.Response) -> None:
    policy = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'" and policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["base-uri"] == "'none'" and policy["form-action"] == "'self'"
    assert policy["frame-ancestors"] == ("*" if "embed=true" in str(response.url) else "'self'")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize("path", [*PATHS, *OTHERS, *FAULTY])
async def test_pages_are_valid_and_need_no_inline_code(
    client: httpx.AsyncClient, inference: FakeInferenceServer, path: str
) -> None:
    response = await client.get(path)
    assert response.status_code == FAULTY.get(path, 200)
    check_headers(response)
    page = Page(response.text)
    assert page.open == [] and inline_code(page) == []
    # charts have titles too; the first is the page's
    assert len(page.find("h1")) == 1 and "memicos" in page.find("title")[0][1]
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    # every element that a label, a description or a control refers to exists
    for tag, attributes, _ in page.elements:
        for name in ("for", "aria-labelledby", "aria-controls"):
            assert attributes.get(name) is None or attributes[name] in ids, (tag, attributes)
        if tag in ("input", "textarea", "select") and attributes.get("type") not in ("hidden", "checkbox", "radio"):
            assert "aria-label" in attributes or enclosed(response.text, attributes), attributes


def enclosed(html: str, field: dict[str, str | None]) -> bool:
    """Whether a field is inside a label."""
    place = html.index(f'name="{field["name"]}"') if "name" in field else html.index("<textarea")
    return html.rfind("<label", 0, place) > html.rfind("</label", 0, place)


async def test_titles_tell_pages_apart(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    titles = {path: Page((await client.get(path)).text).find("title")[0][1] for path in PATHS}
    # the two searches by text share a page
    assert titles.pop("/search") == titles.pop("/search-topk-by-token")
    assert all("memicos" in title for title in titles.values()) and len(set(titles.values())) == len(titles)


@pytest.mark.parametrize("path", FRAGMENTS)
async def test_fragments_are_valid(client: httpx.AsyncClient, inference: FakeInferenceServer, path: str) -> None:
    response = await client.get(path, headers={"HX-Request": "true"})
    assert response.status_code == 200
    check_headers(response)
    page = Page(response.text)
    assert page.open == [] and inline_code(page) == [] and not page.find("h1")


async def test_headers_of_other_responses(client: httpx.AsyncClient, app: FastAPI) -> None:
    for path in ("/api/feature/small/1-res/3", "/api/openapi.json", "/api/nope", "/jump?to=small", "/steer"):
        check_headers(await client.get(path))
    page = Page((await client.get("/")).text)
    files = [
        attributes.get("src") or attributes.get("href")
        for tag in ("script", "link")
        for attributes, _ in page.find(tag)
    ]
    for file in files:
        response = await client.get(file or "")
        assert response.status_code == 200 and "immutable" in response.headers["cache-control"], file


async def test_errors_of_static_files_are_not_cached(client: httpx.AsyncClient) -> None:
    missing = await client.get("/static/nothing.css")
    refused = await client.post("/static/memicos.css")
    assert (missing.status_code, refused.status_code) == (404, 405)
    for response in (missing, refused):
        assert "cache-control" not in response.headers


@pytest.mark.parametrize("path", PATHS)
async def test_a_trailing_slash_makes_no_difference(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path.rstrip("/") + "/")).status_code == 200


async def test_every_link_of_the_catalogue_has_a_target(client: httpx.AsyncClient) -> None:
    for path in PATHS:
        page = await get(client, path)
        for attributes, _ in page.find("a"):
            href = attributes["href"] or ""
            if href.startswith(("/small", "/api/feature", "/api/openapi", "/static")) and "steer" not in href:
                assert (await client.get(href)).status_code == 200, (path, href)


async def test_a_dashboard_shows_what_the_dataset_has(client: httpx.AsyncClient, small_dataset: Path) -> None:
    row = rows(small_dataset)[5]
    response = await client.get("/small/1-res/5")
    assert len(response.content) < 100_000
    page = Page(response.text)
    assert page.find("h1")[0][1] == "the word 'whale' and what follows it"
    examples = page.find("div", class_="example")
    # an interval does not repeat what the top activations show
    places = list(zip(row["example_contexts"], row["example_positions"], strict=True))
    top = {place for place, group in zip(places, row["example_groups"], strict=True) if group == 0}
    distinct_examples = [i for i, place in enumerate(places) if row["example_groups"][i] == 0 or place not in top]
    assert len(examples) == len(distinct_examples) < len(places)
    # the shown values are those at the positions for which the examples were chosen, in descending order
    values_shown = [text for _, text in page.find("div", class_="example-value")]
    values = [
        dict(zip(positions, values, strict=True))[peak]
        for positions, values, peak in zip(row["value_positions"], row["values"], row["example_positions"], strict=True)
    ]
    order = sorted(
        distinct_examples, key=lambda i: (row["example_groups"][i] != 0, -row["example_groups"][i], -values[i])
    )
    at_peak = [values[i] for i in order]
    assert values_shown == [f"{value:.1f}" if value >= 10 else f"{value:.2f}" for value in at_peak]
    # one peak per example, shaded by its share of the maximum
    peaks = [attributes["class"] for attributes, _ in page.find("i", class_="max")]
    shades = [min(9, max(1, round(9 * value / row["max_activation"]))) for value in at_peak]
    assert peaks == [f"a{shade} max" for shade in shades]
    # an element for every active token within 16 of the peak, and for no other
    n_active_near_peak = [
        sum(abs(i - position) <= 16 for i in positions)
        for position, positions in ((row["example_positions"][i], row["value_positions"][i]) for i in distinct_examples)
    ]
    assert len(page.find("i")) == sum(n_active_near_peak)
    # the other examples have whole texts
    all_examples = await get(client, "/small/1-res/5/examples")
    assert (
        len(all_examples.find("i")) == sum(len(row["values"][i]) for i in distinct_examples) > sum(n_active_near_peak)
    )
    assert [
        text for _, text in all_examples.find("div", class_="example-value")
    ] == values_shown and not all_examples.find("h1")
    cut = [attributes["class"] for attributes, _ in page.find("span", class_="middle")]
    assert (
        cut == [attributes["class"] for attributes, _ in all_examples.find("span", class_="middle")]
        and "middle truncated" in cut
    )
    assert not page.find("span", class_="far") and all_examples.find("span", class_="far")
    text = page.text()
    for expected_text in ("token statistics, no language model", "BOS added, 32-token windows", "random weights",
                  "decoder row through the final norm's gain and the unembedding", "public domain"):  # fmt: skip
        assert expected_text in text
    assert len(page.find("svg", class_="hist")) == 2
    logits = [text for _, text in page.find("span", class_="token")]
    assert len(logits) == 20


async def test_previous_and_next_skip_dead_features(client: httpx.AsyncClient) -> None:
    page = await get(client, "/small/1-res/14")
    assert page.find("a", id="next")[0][0]["href"] == "/small/1-res/16"
    page = await get(client, "/small/1-res/16")
    assert page.find("a", id="previous")[0][0]["href"] == "/small/1-res/14"
    assert not (await get(client, "/small/1-res/0")).find("a", id="previous")
    assert not (await get(client, "/small/1-res/62")).find("a", id="next")


async def test_a_dead_feature_says_so(client: httpx.AsyncClient) -> None:
    page = await get(client, "/small/1-res/15")
    assert "This feature is dead" in page.text()
    assert not page.find("div", class_="example")
    assert len(page.find("span", class_="token")) == 20


async def test_markup_and_nul_in_tokens_are_shown_as_text(client: httpx.AsyncClient) -> None:
    html = (await client.get("/small/1-res/5")).text
    assert "<b>&</b>" not in html and "&lt;b&gt;&amp;" in html and "␀" in html and "\0" not in html


async def test_embed_has_no_navigation_and_may_be_framed(client: httpx.AsyncClient) -> None:
    response = await client.get("/small/1-res/5?embed=true&embedplots=false")
    page = Page(response.text)
    assert not page.find("header", class_="top") and not page.find("svg", class_="hist")
    assert page.find("div", class_="example")
    assert "frame-ancestors *" in response.headers["content-security-policy"]
    plain = (await client.get("/small/1-res/5")).headers["content-security-policy"]
    assert "frame-ancestors 'self'" in plain and "unsafe" not in plain


async def test_a_text_in_the_address_is_run_when_the_page_opens(client: httpx.AsyncClient) -> None:
    page = await get(client, "/small/1-res/5?defaulttesttext=The%20%3Cwhale%3E")
    assert page.find("textarea", id="test-text")[0][1] == "The <whale>"
    form = page.find("form", id="test")[0][0]
    assert form["hx-post"] == "/small/1-res/5/test" and form["hx-trigger"] == "submit, load"
    assert (await get(client, "/small/1-res/5")).find("form", id="test")[0][0]["hx-trigger"] == "submit"


def listed(page: Page) -> list[int]:
    return [int(text) for attributes, text in page.find("a") if "hx-boost" in attributes and text.isdigit()]


async def test_the_feature_table_pages_sorts_and_filters(client: httpx.AsyncClient, small_dataset: Path) -> None:
    table = rows(small_dataset)
    live = [row for row in table if row["max_activation"] > 0]
    assert listed(await get(client, "/small/1-res")) == [row["index"] for row in live][:50]
    second = await get(client, "/small/1-res?page=2")
    assert listed(second) == [row["index"] for row in live][50:]
    assert listed(await get(client, "/small/1-res?page=99")) == listed(second)
    assert len(listed(await get(client, "/small/1-res?show=all&page=2"))) == 14
    for key, column in (("density", "density"), ("max", "max_activation")):
        expected = [row["index"] for row in sorted(live, key=lambda row: (-row[column], row["index"]))][:50]
        assert listed(await get(client, f"/small/1-res?sort={key}&order=desc")) == expected
    low, high = 2.0, 3.0
    expected = [row["index"] for row in live if low <= 100 * row["density"] <= high]
    assert listed(await get(client, f"/small/1-res?density_from={low}&density_to={high}&max_from=")) == expected[:50]
    # words are stemmed as in English
    assert listed(await get(client, "/small/1-res?words=whales")) == [5]
    # stop words for the dictionary, but part of explanations
    assert len(listed(await get(client, "/small/1-res?words=what"))) > 5
    assert listed(await get(client, '/small/1-res?words="and what"')) == listed(
        await get(client, "/small/1-res?words=what")
    )
    assert "No feature matches these filters" in (await get(client, "/small/1-res?words=zebra")).text()


async def test_htmx_gets_the_table_alone(client: httpx.AsyncClient) -> None:
    page = await get(client, "/small/1-res?sort=max", headers={"HX-Request": "true", "HX-Target": "features"})
    assert page.find("table") and page.find("p", role="status") and not page.find("h1")


async def test_an_invalid_filter_is_shown_in_place_of_the_table(client: httpx.AsyncClient) -> None:
    page = await get(client, "/small/1-res")
    (form,) = [attributes for attributes, _ in page.find("form") if attributes.get("hx-get") == "/small/1-res"]
    assert (form["hx-target"], form["hx-swap"]) == ("#features", "innerHTML"), "the place must outlive an error"


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/nope", 404, "There is no model or release 'nope'; available: small, small-release."),
        ("/nope/1-res", 404, "There is no model 'nope'; available: small."),
        ("/small/9-res", 404, "small has no source '9-res'; it has 1-res, 2-res, 3-res."),
        ("/small/9-res/1", 404, "small has no source '9-res'; it has 1-res, 2-res, 3-res."),
        ("/small/1-res/64", 404, "small/1-res has no feature 64; its features are 0 to 63."),
        ("/small/1-res/x", 404, "small/1-res has no feature x; its features are 0 to 63."),
        ("/small/1-res/99999999999", 404, "small/1-res has no feature 99999999999; its features are 0 to 63."),
        ("/nonsense/page/here", 404, "There is no model 'nonsense'; available: small."),
        ("/small/page/here", 404, "small has no source 'page'; it has 1-res, 2-res, 3-res."),
        ("/small/1-res/x/examples", 404, "small/1-res has no feature x; its features are 0 to 63."),
        ("/small/1-res?density_from=x", 422, "“Density from” must be a number."),
        (
            "/small/1-res?sort=colour",
            422,
            "“Sort by” must be Index (index), Activation density (density), Max activation (max) or Score (score).",
        ),
        ("/small/1-res?words=" + "x" * 201, 400, "“Explanation” has 201 characters; at most 200 are allowed."),
        ("/a/b/c/d", 404, "The path /a/b/c/d does not exist. Pages are /{model}, /{model}/{source set},"),
    ],
)
async def test_pages_show_errors(client: httpx.AsyncClient, path: str, status: int, message: str) -> None:
    page = await get(client, path, status)
    assert message in page.text() and page.find("header", class_="top")


@pytest.mark.parametrize("path", [*PATHS, "/api/feature/small/1-res/3", "/static/icon.svg", "/nope"])
async def test_head_is_get_without_the_body(
    client: httpx.AsyncClient, inference: FakeInferenceServer, path: str
) -> None:
    full_response, head = await client.get(path), await client.head(path)
    assert head.status_code == full_response.status_code and head.content == b""
    for name in ("content-type", "content-length", "content-security-policy"):
        assert head.headers[name] == full_response.headers[name]


async def test_features_to_begin_with_promote_one_token_far_ahead(app: FastAPI, small_dataset: Path) -> None:
    def ahead(row: dict[str, Any]) -> float:
        return row["positive_logits"][0] - row["positive_logits"][-1]

    first = []
    for source in ("1-res", "2-res", "3-res"):
        live = [row for row in rows(small_dataset, source) if row["max_activation"] > 0 and row["density"] < 0.05]
        best = max(live, key=ahead)
        first.append((ahead(best), source, best["index"]))
    async with app.state.database.snapshot() as session:
        features = await repository.sample(session, LOCAL_OWNER, 6, 0.05)
    assert [(item.name, item.index) for item in features[:3]] == [item[1:] for item in sorted(first, reverse=True)]
    assert sorted(feature.name for feature in features) == ["1-res", "1-res", "2-res", "2-res", "3-res", "3-res"]
    assert all(feature.label for feature in features)


async def test_an_empty_database_says_how_to_fill_it(fresh_url: str) -> None:
    from memicos_webapp.app import create_app
    from memicos_webapp.settings import Settings

    app = create_app(Settings(_env_file=None, database_url=fresh_url))  # pyright: ignore[reportCallIssue]
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
    ):
        assert "make demo" in (await get(client, "/")).text()
        page = await get(client, "/small/1-res/1", 404)
        assert "nothing has been imported yet" in page.text() and "`" not in page.text()
        assert "make demo" in [text for _, text in page.find("code")]
