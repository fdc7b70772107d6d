"""Vectors of features, and features by vector, over HTTP by our client, against the files' numbers."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from memicos_inference_client import Client
from memicos_inference_client.api.util import util_sae_topk_by_decoder_cossim, util_sae_vector
from memicos_inference_client.models import CossimRequest, CossimResponse, VectorRequest, VectorResponse
from memicos_testing.models.small_model import NAME, random_sae
from memicos_testing.servers import Serve
from safetensors.numpy import load_file


def weights(folder: Path, source: str) -> dict[str, np.ndarray]:
    tensors = load_file(folder / source / "sae_weights.safetensors")
    return {name: value.astype(np.float64) for name, value in tensors.items()}


def nearest(rows: np.ndarray, direction: np.ndarray, limit: int) -> list[tuple[int, float]]:
    cosines = rows @ direction / np.linalg.norm(rows, axis=1) / np.linalg.norm(direction)
    return [(int(i), float(cosines[i])) for i in np.argsort(-cosines, kind="stable")[:limit]]


async def vector(client: Client, **values: Any) -> VectorResponse:
    body = VectorRequest.from_dict({"model": NAME} | values)
    response = await util_sae_vector.asyncio(client=client, body=body)
    assert isinstance(response, VectorResponse), response
    return response


async def similar(client: Client, **values: Any) -> CossimResponse:
    body = CossimRequest.from_dict({"model": NAME, "num_results": 5} | values)
    response = await util_sae_topk_by_decoder_cossim.asyncio(client=client, body=body)
    assert isinstance(response, CossimResponse), response
    return response


async def test_the_vector_is_the_encoder_column_by_default_and_the_decoder_row_on_request(
    client: Client, sources_folder: Path
) -> None:
    for source in ("2-small", "2-top"):
        stored = weights(sources_folder, source)
        for index in (0, 95):
            response = await vector(client, source=source, index=index)
            assert response.vector == pytest.approx(stored["W_enc"][:, index].tolist(), abs=1e-6)
            assert (response.hook_name, response.which) == ("blocks.2.hook_resid_post", "encoder")
            response = await vector(client, source=source, index=index, which="decoder")
            assert response.vector == pytest.approx(stored["W_dec"][index].tolist(), abs=1e-6)
            assert response.which == "decoder"


async def test_the_encoder_column_gives_the_feature_values(client: Client, serve: Serve, tmp_path: Path) -> None:
    """If decoder rows do not have length 1, the column includes their length: values are in units of the activation."""
    from safetensors.numpy import save_file

    folder = random_sae(tmp_path / "1-long", "blocks.1.hook_resid_post", 128, 40)
    stored = load_file(folder / "sae_weights.safetensors")
    stored["W_dec"] *= np.linspace(0.5, 3, 40, dtype=np.float32)[:, None]
    save_file(stored, folder / "sae_weights.safetensors")
    url = await serve(sae_folder=tmp_path, sae_sets=("long",))
    async with Client(url) as own:
        column = np.array((await vector(own, source="1-long", index=39)).vector)
        row = np.array((await vector(own, source="1-long", index=39, which="decoder")).vector)
    assert np.allclose(column, stored["W_enc"][:, 39] * 3, atol=1e-5)
    assert np.linalg.norm(row) == pytest.approx(1) and np.allclose(row * 3, stored["W_dec"][39], atol=1e-6)


@pytest.mark.parametrize("source_id", ["2-small", "1-small"])
async def test_features_near_a_feature(client: Client, sources_folder: Path, source_id: str) -> None:
    """A feature of the searched source, which is its own nearest, or of another source."""
    direction = weights(sources_folder, source_id)["W_dec"][11]
    expected = nearest(weights(sources_folder, "2-small")["W_dec"], direction, 5)
    response = await similar(client, feature={"model": NAME, "source": source_id, "index": 11}, source="2-small")
    assert response.feature and response.feature.to_dict() == {"model": NAME, "source": source_id, "index": 11}
    neighbours = response.topk_decoder_cossim_features
    assert [item.feature.index for item in neighbours] == [index for index, _ in expected]
    assert [item.cosine_similarity for item in neighbours] == pytest.approx(
        [cosine for _, cosine in expected], abs=1e-5
    )
    assert all((item.feature.source, item.feature.model) == ("2-small", NAME) for item in neighbours)
    assert (neighbours[0].feature.index == 11 and neighbours[0].cosine_similarity == pytest.approx(1)) == (
        source_id == "2-small"
    )


async def test_features_near_a_vector(client: Client, sources_folder: Path) -> None:
    direction = np.random.default_rng(4).normal(size=128)
    rows = weights(sources_folder, "2-top")["W_dec"]
    for scale in (1.0, 1e-200, 1e200):
        response = await similar(client, vector=(direction * scale).tolist(), source="2-top", num_results=200)
        expected = nearest(rows, direction, 200)
        assert response.feature is None and len(response.topk_decoder_cossim_features) == 96
        cosines = [feature.cosine_similarity for feature in response.topk_decoder_cossim_features]
        assert cosines == pytest.approx([cosine for _, cosine in expected], abs=1e-5)


async def test_widths_must_agree_and_rows_of_length_0_are_left_out(serve: Serve, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    random_sae(tmp_path / "1-mixed", "blocks.1.hook_resid_post", 128, 40)
    folder = random_sae(tmp_path / "2-mixed", "blocks.2.mlp.hook_post", 341, 40)
    stored = load_file(folder / "sae_weights.safetensors")
    stored["W_dec"][7] = 0
    save_file(stored, folder / "sae_weights.safetensors")
    url = await serve(sae_folder=tmp_path, sae_sets=("mixed",))
    async with httpx.AsyncClient(base_url=url) as http:

        async def ask(**values: Any) -> httpx.Response:
            body = {"model": NAME, "source": "2-mixed", "num_results": 100} | values
            return await http.post("/v1/util/sae-topk-by-decoder-cossim", json=body)

        response = await ask(feature={"model": NAME, "source": "1-mixed", "index": 3})
        assert response.status_code == 400
        assert "has 128 numbers; those of source 2-mixed have 341" in response.json()["error"]
        response = await ask(feature={"model": NAME, "source": "2-mixed", "index": 7})
        assert response.status_code == 400 and "zero or not finite" in response.json()["error"]
        response = await ask(vector=[1.0] * 341)
        indices = {feature["feature"]["index"] for feature in response.json()["topk_decoder_cossim_features"]}
        assert indices == set(range(40)) - {7}
