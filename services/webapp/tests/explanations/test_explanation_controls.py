"""Labels and deletion of explanations, and the controls of the feature page."""

from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from memicos_autointerp.app import create_app as create_autointerp
from memicos_testing.llm_provider import LlmProvider, Reply
from memicos_testing.servers import Start, free_port, running
from memicos_testing.webapp.explanations import GENERATE, WHALE, autointerp_settings, body, stored
from memicos_testing.webapp.html_page import Page


@pytest.fixture
async def client(explanation_client: httpx.AsyncClient) -> httpx.AsyncClient:
    return explanation_client


HTMX = {"HX-Request": "true"}


async def test_the_control_on_the_dashboard(client: httpx.AsyncClient, own_url: str, provider: LlmProvider) -> None:
    (form, _) = Page((await client.get("/small/1-res/5")).text).find("form", id="explain")[0]
    response = await client.post(form["hx-post"] or "", data={"explainer_model": "some/model"}, headers=HTMX)
    page = Page(response.text)
    assert response.status_code == 200 and page.open == []
    assert page.find("p", role="status")[0][1] == "Explanation by some/model added."
    # htmx swaps list and heading
    (listed, _) = page.find("div", id="explanations")[0]
    assert listed["hx-swap-oob"] == "innerHTML" and len(page.find("div", class_="explanation")) == 2
    assert page.find("h1", id="label")[0][1] == WHALE
    assert (await stored(own_url))[0]["model"] == "some/model"
    # without scripts it redirects to the dashboard
    response = await client.post("/small/1-res/6/explain", data={"explainer_model": ""})
    assert (response.status_code, response.headers["location"]) == (303, "/small/1-res/6")
    assert not Page((await client.get("/small/1-res/15")).text).find("form", id="explain")
    assert not Page((await client.get("/small/1-res/5?embed=true")).text).find("form", id="explain")


async def label(client: httpx.AsyncClient, index: int = 5) -> str:
    """The heading of the feature's page; checked to be the same in table, search results and JSON."""
    heading = Page((await client.get(f"/small/1-res/{index}")).text).find("h1")[0][1]
    feature = (await client.get(f"/api/feature/small/1-res/{index}")).json()
    assert feature["explanations"][0]["description"] == heading
    table = Page((await client.get("/small/1-res")).text)
    assert heading in [
        text for attributes, text in table.find("a") if attributes.get("href") == f"/small/1-res/{index}"
    ]
    return heading


async def generated(client: httpx.AsyncClient, **changes: Any) -> str:
    """Id of a new explanation."""
    response = await client.post(GENERATE, json=body(**changes))
    assert response.status_code == 200, response.text
    return response.json()["explanation"]["id"]


async def test_the_label_is_chosen_and_the_choice_taken_back(client: httpx.AsyncClient, provider: LlmProvider) -> None:
    first = await generated(client)
    provider.default = Reply(content="EXPLANATION: big fish")
    second = await generated(client, explanationModelName="other/model")
    assert await label(client) == WHALE
    for chosen, heading in ((first, "the sea"), (second, "big fish"), (first, "the sea")):
        response = await client.post(f"/api/explanation/{chosen}/label", json={"chosen": True})
        assert response.status_code == 200
        explanations = response.json()["explanations"]
        assert [row["id"] for row in explanations if row["chosenAsLabel"]] == [chosen] == [explanations[0]["id"]]
        assert len(explanations) == 3 and await label(client) == heading
    # the label of another feature is unchanged
    assert "sea" not in await label(client, 6)
    response = await client.post(f"/api/explanation/{first}/label", json={"chosen": False})
    assert response.json()["explanations"][0]["description"] == WHALE
    assert await label(client) == WHALE
    assert (await client.post("/api/explanation/987654321/label", json={"chosen": True})).status_code == 404


async def test_an_explanation_is_deleted_by_its_author_alone(
    client: httpx.AsyncClient, own_url: str, provider: LlmProvider
) -> None:
    number = await generated(client)
    assert (await client.post(f"/api/explanation/{number}/label", json={"chosen": True})).status_code == 200
    response = await client.post(f"/api/explanation/{number}/delete")
    assert (response.status_code, response.json()) == (200, {"message": f"Explanation {number} is deleted."})
    assert await stored(own_url) == [] and await label(client) == WHALE
    assert (await client.post(f"/api/explanation/{number}/delete")).status_code == 404
    # after that it can be generated again
    number = await generated(client)
    connection = await asyncpg.connect(own_url)
    try:
        other_account = await connection.fetchval("INSERT INTO account (name) VALUES ('someone else') RETURNING id")
        await connection.execute("UPDATE explanation SET author_id = $1 WHERE id = $2", other_account, int(number))
        dataset = await connection.fetchval("SELECT min(id) FROM explanation WHERE author_id IS NULL")
    finally:
        await connection.close()
    for explanation, author in ((number, "someone else"), (dataset, "a dataset")):
        response = await client.post(f"/api/explanation/{explanation}/delete")
        assert response.status_code == 403 and f"is by {author}: only its author" in response.json()["error"]
    assert len((await client.get("/api/feature/small/1-res/5")).json()["explanations"]) == 2
    for invalid_id in ("0", "-1", "x", str(2**63)):
        assert (await client.post(f"/api/explanation/{invalid_id}/delete")).status_code == 422


async def test_writes_to_explanations_are_refused_beyond_loopback_and_from_other_sites(
    started: Start, own_url: str, client: httpx.AsyncClient
) -> None:
    number = await generated(client)
    paths = [f"{prefix}/{number}/{action}" for prefix in ("/api/explanation", "/explanations")
             for action in ("delete", "label")]  # fmt: skip
    async with started(own_url, host="0.0.0.0") as beyond:
        for path in paths:
            response = (
                await beyond.post(path, json={"chosen": True}) if path.startswith("/api") else await beyond.post(path)
            )
            assert response.status_code == 403 and "Writes are refused" in response.text
        page = Page((await beyond.get("/small/1-res/5")).text)
        assert not page.find("form", id="explain") and "/explanations/" not in str(page.find("form"))
    for path in paths:
        response = await client.post(path, headers={"Sec-Fetch-Site": "cross-site"})
        assert response.status_code == 403
    assert len(await stored(own_url)) == 1


async def test_labels_and_deletion_on_the_page(client: httpx.AsyncClient, own_url: str) -> None:
    number = await generated(client)
    page = Page((await client.get("/small/1-res/5")).text)
    actions = [
        attributes["hx-post"]
        for attributes, _ in page.find("form")
        if (attributes.get("hx-post") or "").startswith("/explanations/")
    ]
    # the dataset's explanation is already the label and cannot be deleted
    assert actions == [f"/explanations/{number}/label", f"/explanations/{number}/delete"]
    response = await client.post(actions[0] or "", data={"chosen": "true"}, headers=HTMX)
    page = Page(response.text)
    assert page.open == [] and page.find("h1", id="label")[0][1] == "the sea"
    assert page.find("p", role="status")[0][1] == "Label chosen."
    response = await client.post(f"/explanations/{number}/label", data={"chosen": "false"}, headers=HTMX)
    assert Page(response.text).find("h1", id="label")[0][1] == WHALE
    response = await client.post(f"/explanations/{number}/delete", headers=HTMX)
    page = Page(response.text)
    assert page.find("p", role="status")[0][1] == "Explanation deleted."
    assert page.find("h1", id="label")[0][1] == WHALE and len(page.find("div", class_="explanation")) == 1
    response = await client.post(f"/explanations/{number}/delete", headers=HTMX)
    assert response.status_code == 404 and "alert" in response.text
    # without scripts it redirects to the feature
    number = await generated(client)
    response = await client.post(f"/explanations/{number}/delete")
    assert (response.status_code, response.headers["location"]) == (303, "/small/1-res/5")
    assert await stored(own_url) == []


async def test_the_form_is_replaced_by_what_has_to_be_set(
    own_url: str, started: Start, client: httpx.AsyncClient, provider: LlmProvider
) -> None:
    page = Page((await client.get("/small/1-res/5")).text)
    (control, _) = page.find("div", id="explain-control")[0]
    assert (control["hx-get"], control["hx-trigger"]) == ("/small/1-res/5/explain", "load")
    # everything is set: the form stays, with its input
    assert (await client.get("/small/1-res/5/explain", headers=HTMX)).status_code == 204
    keyless = create_autointerp(autointerp_settings(provider, api_key=None))
    async with running(keyless) as url, started(own_url, autointerp_url=url) as without_key:
        response = await without_key.get("/small/1-res/5/explain", headers=HTMX)
        text = Page(response.text).text()
        assert response.status_code == 200
        # a key of one's own is the way that is left
        (key, _) = Page(response.text).find("input", type="password")[0]
        assert "required" in key and "Explanations need a key." in text
        own = {"explainer_model": "m", "method": "np_max-act", "contrastive": "true", "api_key": "sk-own-0123456789"}
        generated_by_own = await without_key.post("/small/1-res/5/explain", data=own, headers=HTMX)
        assert "Explanation by m added." in generated_by_own.text
        assert provider.requests[-1].headers["authorization"] == "Bearer sk-own-0123456789"
        assert "No language model is configured: set AUTOINTERP_API_KEY" in text and "docs/autointerp.md" in text
        # without scripts, or by the API: the setting to set, and no message about an invalid request
        response = await without_key.post("/small/1-res/5/explain")
        assert (
            response.status_code == 503 and "Not configured" in response.text and "AUTOINTERP_API_KEY" in response.text
        )
        assert "Invalid request" not in response.text
    down = f"http://127.0.0.1:{free_port()}"
    async with started(own_url, autointerp_url=down) as without_server:
        response = await without_server.get("/small/1-res/5/explain", headers=HTMX)
        assert "<form" not in response.text
        assert response.status_code == 200 and f"Autointerp is not running at {down}" in response.text
        commands = [text for _, text in Page(response.text).find("code")]
        assert commands == ["make demo", "make autointerp-localhost-dev"] and "`" not in response.text
    assert (await client.get("/small/1-res/5/explain")).headers["location"] == "/small/1-res/5"


async def test_a_provider_is_chosen_where_there_are_several(
    own_url: str, started: Start, provider: LlmProvider, tmp_path: Path
) -> None:
    profiles = tmp_path / "profiles.toml"
    profiles.write_text(
        f'[local]\nbase_url = "{provider.base_url}"\nneeds_key = false\nmodels = ["tiny"]\n'
        "[local.prices.tiny]\ninput = 1.0\noutput = 3.0\n"
    )
    server = create_autointerp(autointerp_settings(provider, profiles_file=profiles))
    async with running(server) as url, started(own_url, autointerp_url=url) as client:
        response = await client.get("/small/1-res/5/explain", headers=HTMX)
        # the form keeps what was typed: only the choice is put into it
        assert response.headers["hx-reswap"] == "none"
        assert [text for _, text in Page(response.text).find("option")] == ["default", "local"]
        assert (await client.post("/small/1-res/5/explain", data={"profile": "local"}, headers=HTMX)).status_code == 200
        assert provider.requests[-1].body["model"] == "tiny"
        assert "authorization" not in provider.requests[-1].headers
        (explanation,) = [
            row
            for row in (await client.get("/api/feature/small/1-res/5")).json()["explanations"]
            if row["profile"] == "local"
        ]
        # 321 tokens at 1 dollar and 12 at 3 dollars per million
        assert explanation["cost"] == pytest.approx((321 + 36) / 1e6)
        assert "$0.00036" in (await client.get("/small/1-res/5")).text


async def test_errors_are_shown_beside_the_control(client: httpx.AsyncClient, provider: LlmProvider) -> None:
    provider.script(Reply(status=429))
    response = await client.post("/small/1-res/5/explain", data={"explainer_model": "m"}, headers=HTMX)
    page = Page(response.text)
    assert response.status_code == 502 and page.elements[0][1]["role"] == "alert"
    assert "The language model gave no explanation (rate_limited)" in page.text()
    for path, data, status in (
        ("/small/1-res/5/explain", {"explainer_model": "x" * 201}, 400),
        ("/small/1-res/x/explain", {}, 400),
        ("/small/1-res/64/explain", {}, 404),
        ("/small/1-res/15/explain", {}, 400),
        ("/small/1-res/5/explain", {"explainer_model": "a\0b"}, 400),
        ("/small/1-res/5/explain", {"method": "x" * 61}, 400),
        ("/small/1-res/5/explain", {"method": "nope"}, 400),
        ("/small/1-res/5/explain", {"profile": "x" * 41}, 400),
        ("/small/1-res/5/explain", {"api_key": "x" * 501}, 400),
        ("/small/1-res/5/explain", {"api_key": "a key"}, 400),
        ("/small/1-res/5/explain", {"contrastive": "maybe"}, 422),
    ):
        response = await client.post(path, data=data, headers=HTMX)
        assert response.status_code == status and "alert" in response.text
