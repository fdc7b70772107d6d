"""The jump box, with the small dataset and, for inputs that fit several pages, a second model beside it."""

import httpx
import pytest
from memicos_testing.webapp.html_page import Page


@pytest.mark.parametrize(
    ("to", "path"),
    [
        # ids and names of all items, in any case, and their first letters
        ("small", "/small"),
        ("Small model", "/small"),
        ("SMALL MODEL", "/small"),
        ("small-release", "/small-release"),
        ("Small SAEs", "/small-release"),
        ("small-rel", "/small-release"),
        ("res", "/small/res"),
        ("Residual", "/small/res"),
        ("3-res", "/small/3-res"),
        ("3-RES", "/small/3-res"),
        ("small/res", "/small/res"),
        ("small/3-res", "/small/3-res"),
        ("Small model/3-res", "/small/3-res"),
        # layers
        ("layer 2", "/small/2-res"),
        ("Layer 2", "/small/2-res"),
        ("layer2", "/small/2-res"),
        ("L2", "/small/2-res"),
        ("small/layer 2", "/small/2-res"),
        ("layer 2/7", "/small/2-res/7"),
        ("layer 2 feature 7", "/small/2-res/7"),
        ("2/7", "/small/2-res/7"),
        ("2:7", "/small/2-res/7"),
        ("small/2/7", "/small/2-res/7"),
        # features
        ("1-res/12", "/small/1-res/12"),
        ("1-res:12", "/small/1-res/12"),
        ("1-res 12", "/small/1-res/12"),
        ("1-res#12", "/small/1-res/12"),
        ("small/2-res/7", "/small/2-res/7"),
        ("small/2-res:7", "/small/2-res/7"),
        ("small@2-res:7", "/small/2-res/7"),
        ("Small model/2-res/7", "/small/2-res/7"),
        ("/small/2-res/7", "/small/2-res/7"),
        ("https://www.neuronpedia.org/small/2-res/7?embed=true", "/small/2-res/7"),
        ("https://www.neuronpedia.org/api/feature/small/2-res/7", "/small/2-res/7"),
        ("http://localhost/small/2-res", "/small/2-res"),
        ("http://localhost/small", "/small"),
        # pages of unknown names list the existing ones
        ("small/9-res/7", "/small/9-res/7"),
        ("other/9-res/7", "/other/9-res/7"),
        ("small/9-res", "/small/9-res"),
        # anything else is searched by meaning
        ("numbers and dates", "/search-explanations?q=numbers+and+dates"),
        ("9/11", "/search-explanations?q=9%2F11"),
        ("and/or", "/search-explanations?q=and%2For"),
        ("chapter 7", "/search-explanations?q=chapter+7"),
        ("layer 9", "/search-explanations?q=layer+9"),
        ("sm", "/search-explanations?q=sm"),
        ("99999999999", "/search-explanations?q=99999999999"),
        ("/", "/search-explanations?q=%2F"),
        (" ", "/"),
    ],
)
async def test_names_ids_and_addresses_lead_to_their_page(client: httpx.AsyncClient, to: str, path: str) -> None:
    response = await client.get("/jump", params={"to": to})
    assert (response.status_code, response.headers["location"]) == (303, path)


@pytest.mark.parametrize("page", ["/small/3-res/5?embed=true", "/small/3-res"])
async def test_an_index_alone_is_one_of_the_source_of_the_page(client: httpx.AsyncClient, page: str) -> None:
    for to in ("7", "#7", "feature 7"):
        response = await client.get("/jump", params={"to": to}, headers={"Referer": f"http://localhost{page}"})
        assert (response.status_code, response.headers["location"]) == (303, "/small/3-res/7")


def links(response: httpx.Response) -> list[str]:
    assert response.status_code == 200
    links = Page(response.text).find("a")
    return [
        attributes["href"] or ""
        for attributes, _ in links
        if "/small" in (attributes["href"] or "") or "/twin" in (attributes["href"] or "")
    ]


@pytest.mark.parametrize("page", ["", "/", "/small", "/small/res", "/a/b/c", "["])
async def test_an_index_alone_on_other_pages_lists_the_sources(client: httpx.AsyncClient, page: str) -> None:
    response = await client.get("/jump?to=7", headers={"Referer": f"http://localhost{page}"} if page else {})
    assert links(response) == ["/small/1-res/7", "/small/2-res/7", "/small/3-res/7"]
    assert "/search-explanations?q=7" in response.text


async def test_an_index_in_a_set_lists_its_sources(client: httpx.AsyncClient) -> None:
    response = await client.get("/jump?to=res/7")
    assert links(response) == ["/small/1-res/7", "/small/2-res/7", "/small/3-res/7"]
    # no source has this index: the page of the search by meaning
    assert (await client.get("/jump?to=res/64")).headers["location"] == "/search-explanations?q=res%2F64"


async def test_a_beginning_that_fits_several_names_lists_them(client: httpx.AsyncClient) -> None:
    response = await client.get("/jump?to=sma")
    assert links(response) == ["/small", "/small-release"]
    text = Page(response.text).text()
    assert "Small model" in text and "Small SAEs" in text


async def test_an_input_that_is_too_long_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.get("/jump", params={"to": "x" * 801})
    assert response.status_code == 400 and "801 characters; at most 800 are allowed" in response.text
