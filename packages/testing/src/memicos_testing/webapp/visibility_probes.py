"""Requests to every route of the webapp that show whether a viewer is shown the hidden source `hidden/1-hid`."""

from dataclasses import dataclass, field
from typing import Any, Literal

SECRET = "Zanzibar"
"""Word of the explanation of feature 5 of the hidden source."""

Level = Literal["model", "release", "source_set", "source"]
LEVELS: tuple[Level, ...] = ("model", "release", "source_set", "source")

# what a request names: its levels are exempt from "no listing has it"
MODEL, RELEASE, NONE = {"model"}, {"release"}, set[Level]()
SET, SOURCE = {"model", "release", "source_set"}, set(LEVELS)


@dataclass(frozen=True)
class Probe:
    """A request; `marker` is in its response if and only if the hidden source is shown to who names `named`.

    Where the page does not exist for the viewer (the source is not shown to who names `exists`), it has the status
    `missing`.
    """

    path: str
    named: set[Any]
    marker: str = SECRET
    missing: int = 404
    status: int = 200
    body: dict[str, Any] | None = None
    form: dict[str, str] | None = None
    exists: set[Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    levels: tuple[Level, ...] = LEVELS
    """Levels above what is read: a vector is of a model, and of no release."""


FEATURE = {"modelId": "hidden", "layer": "1-hid", "index": 5}
TURN = [{"role": "user", "content": "Hello"}]
STEER = {"modelId": "hidden", "features": [{**FEATURE, "strength": 1}], "n_tokens": 2}
SEARCH = {"query": "whale"}
RECALL = {"explanationId": 1, "scorerType": "recall_alt"}
TEXT = "the whale rose"
# vector 7 is the owner's, 8 nobody's
VECTOR_PATH = "/hidden/1-vectors-resid-post"
VECTOR: dict[str, Any] = {"modelId": "hidden", "source": "1-vectors-resid-post", "index": 7}
ORPHAN: dict[str, Any] = {**VECTOR, "index": 8}

PROBES: dict[tuple[str, str], list[Probe]] = {
    ("GET", "/"): [
        Probe("/", NONE, 'href="/hidden"', 200),
        Probe("/", NONE, "hidden-release", 200),
        Probe("/", NONE, "/hidden/hid", 200),
        Probe("/", NONE, "/hidden/1-hid/", 200),
    ],
    ("GET", "/jump"): [
        Probe("/jump?to=1-hid", NONE, "/hidden/1-hid", 303, 303),
        Probe("/jump?to=hid/5", NONE, "/hidden/1-hid/5", 303, 303),
        Probe("/jump?to=hidden-release", NONE, "location: /hidden-release", 303, 303),
    ],
    ("GET", "/{name}"): [
        Probe("/hidden", MODEL, "/hidden/hid", exists=SOURCE),
        Probe("/hidden", MODEL, "/hidden/1-hid", exists=SOURCE),
        Probe("/hidden-release", RELEASE, "/hidden/hid", exists=SOURCE),
        Probe("/nope", NONE, "hidden,", 404, 404),
    ],
    ("GET", "/{model}/{name}"): [
        Probe("/hidden/hid", SET, "/hidden/1-hid"),
        Probe("/hidden/1-hid", SOURCE),
        Probe("/hidden/1-hid?words=whale", SOURCE),
        Probe("/hidden/nope", MODEL, "it has 1-hid", 404, 404),
    ],
    ("GET", "/{model}/{source}/{index}"): [
        Probe("/hidden/1-hid/5", SOURCE),
        Probe("/hidden/1-hid/999", SOURCE, "features are 0 to 63", 404, 404),
    ],
    ("GET", "/{model}/{source}/{index}/explanations"): [Probe("/hidden/1-hid/5/explanations", SOURCE, "side-by-side")],
    ("GET", "/{model}/{source}/{index}/examples"): [Probe("/hidden/1-hid/5/examples", SOURCE, "whale")],
    ("GET", "/scores/{score_id}"): [Probe("/scores/1", SOURCE, "/hidden/1-hid/")],
    ("GET", "/score-type/{name}"): [Probe("/score-type/eleuther_embedding", NONE, missing=200)],
    ("GET", "/explanation-type/{name}"): [Probe("/explanation-type/human", NONE, missing=200)],
    ("GET", "/api/feature/{model}/{source}/{index}"): [Probe("/api/feature/hidden/1-hid/5", SOURCE)],
    ("GET", "/api-doc"): [Probe("/api-doc", NONE, "/api/feature/hidden/1-hid/", 200)],
    ("GET", "/search-explanations"): [
        Probe("/search-explanations?q=animal+island", NONE, missing=200),
        Probe("/search-explanations?q=animal+island&modelId=hidden", MODEL),
        Probe("/search-explanations?q=animal+island&releaseName=hidden-release", RELEASE),
        Probe('/search-explanations?q=animal+island&modelId=hidden&sources=["1-hid"]', SOURCE),
        Probe("/search-explanations?releaseName=small-release", NONE, 'value="hidden-release"', 200),
        Probe("/search-explanations?modelId=small", NONE, "<option>hidden</option>", 200),
    ],
    ("POST", "/api/explanation/search-all"): [
        Probe("/api/explanation/search-all", NONE, missing=200, body=SEARCH),
        Probe("/api/explanation/search-all", NONE, missing=200, body={"query": "animal of an island"}),
    ],
    ("POST", "/api/explanation/search-model"): [
        Probe("/api/explanation/search-model", MODEL, body={**SEARCH, "modelId": "hidden"})
    ],
    ("POST", "/api/explanation/search-release"): [
        Probe("/api/explanation/search-release", RELEASE, body={**SEARCH, "releaseName": "hidden-release"})
    ],
    ("POST", "/api/explanation/search"): [
        Probe("/api/explanation/search", SOURCE, body={**SEARCH, "modelId": "hidden", "layers": ["1-hid"]}),
        Probe("/api/explanation/search", MODEL, body={**SEARCH, "modelId": "hidden", "layers": []}),
    ],
    # no autointerp server runs: who may read the feature gets as far as asking it
    ("POST", "/api/explanation/generate"): [
        Probe("/api/explanation/generate", SOURCE, "Autointerp is not running", status=503, body=FEATURE)
    ],
    ("POST", "/{model}/{source}/{index}/explain"): [
        Probe("/hidden/1-hid/5/explain", SOURCE, "Autointerp is not running", status=503, form={})
    ],
    ("GET", "/search"): [
        Probe("/search", NONE, "hidden/hid", 200),
        Probe("/search?modelId=hidden&sourceSet=hid", SET, 'value="1-hid"', 400),
        Probe("/search?modelId=hidden&sourceSet=hid&selectedLayers=1-hid", SOURCE, 'value="1-hid"', 400),
        Probe("/search?modelId=hidden", MODEL, 'value="1-hid"', 400),
    ],
    ("GET", "/search-topk-by-token"): [
        Probe("/search-topk-by-token", NONE, "hidden/hid", 200),
        Probe("/search-topk-by-token?set=hidden/hid&source=1-hid", SOURCE, 'value="1-hid"', 400),
    ],
    ("GET", "/search/sources"): [Probe("/search/sources?set=hidden/hid", SET, 'value="1-hid"', 200)],
    ("GET", "/search/results"): [
        Probe(f"/search/results?set=hidden/hid&q={TEXT}&hideDense=false", SET, "/hidden/1-hid/", 400),
        Probe(f"/search/results?set=hidden/hid&source=1-hid&q={TEXT}&hideDense=false", SOURCE, "/hidden/1-hid/", 400),
    ],
    ("GET", "/search-topk-by-token/results"): [
        Probe(
            f"/search-topk-by-token/results?set=hidden/hid&source=1-hid&q={TEXT}&hideDense=false",
            SOURCE,
            "/hidden/1-hid/",
            400,
        )
    ],
    ("POST", "/api/search-all"): [
        Probe("/api/search-all", SET, '"tokens"', body={"modelId": "hidden", "sourceSet": "hid", "text": TEXT}),
        Probe(
            "/api/search-all",
            SOURCE,
            '"tokens"',
            body={"modelId": "hidden", "sourceSet": "hid", "text": TEXT, "selectedLayers": ["1-hid"]},
        ),
    ],
    ("POST", "/api/search-topk-by-token"): [
        Probe(
            "/api/search-topk-by-token",
            SOURCE,
            '"topFeatures"',
            body={"modelId": "hidden", "source": "1-hid", "text": TEXT},
        )
    ],
    ("POST", "/api/activation/new"): [
        Probe("/api/activation/new", SOURCE, '"values"', body={"feature": FEATURE, "customText": TEXT})
    ],
    ("POST", "/{model}/{source}/{index}/test"): [
        Probe("/hidden/1-hid/5/test", SOURCE, "memicos recompute", form={"text": TEXT})
    ],
    ("POST", "/api/steer"): [Probe("/api/steer", SOURCE, '"STEERED"', body={**STEER, "prompt": "Once"})],
    ("POST", "/api/steer-chat"): [
        Probe(
            "/api/steer-chat",
            SOURCE,
            '"STEERED"',
            body={**STEER, "defaultChatMessages": TURN, "steeredChatMessages": TURN},
        )
    ],
    ("GET", "/steer"): [Probe("/steer", NONE, "/hidden/steer", 307, 307)],
    ("GET", "/{model}/steer"): [Probe("/hidden/steer?feature=1-hid/5", SOURCE)],
    ("GET", "/{model}/steer/find"): [
        Probe("/hidden/steer/find?q=whale", MODEL, missing=200),
        Probe("/hidden/steer/find?q=5", MODEL, missing=200),
        Probe("/hidden/steer/find?q=1-hid/5", SOURCE, missing=200),
    ],
    ("GET", "/{model}/steer/feature"): [Probe("/hidden/steer/feature?source=1-hid&index=5", SOURCE)],
    # explanation 1 is of the hidden source and came with its dataset
    ("POST", "/api/explanation/{explanationId}/delete"): [
        Probe("/api/explanation/1/delete", SOURCE, "only its author", status=403, body={})
    ],
    ("POST", "/explanations/{explanation_id}/delete"): [
        Probe("/explanations/1/delete", SOURCE, "only its author", status=403, form={})
    ],
    ("POST", "/api/explanation/{explanationId}/label"): [
        Probe("/api/explanation/1/label", SOURCE, '"description"', body={"chosen": False})
    ],
    ("POST", "/explanations/{explanation_id}/label"): [
        Probe("/explanations/1/label", SOURCE, "location: /hidden/1-hid/", status=303, form={"chosen": "false"})
    ],
    ("GET", "/explanations/{explanation_id}/score"): [Probe("/explanations/1/score", SOURCE, "No explanation")],
    ("GET", "/explanations/{explanation_id}/scores"): [Probe("/explanations/1/scores", SOURCE, "/scores/1")],
    ("POST", "/api/explanation/score"): [
        Probe("/api/explanation/score", SOURCE, "is not running", status=503, body=RECALL)
    ],
    ("POST", "/explanations/{explanation_id}/score"): [
        Probe("/explanations/1/score", SOURCE, "is not running", status=503, form={"method": "recall_alt"})
    ],
    ("POST", "/api/explanation/score/{scoreId}/delete"): [
        Probe("/api/explanation/score/1/delete", SOURCE, "only its author", status=403, body={})
    ],
    ("POST", "/scores/{score_id}/delete"): [Probe("/scores/1/delete", SOURCE, "only its author", status=403, form={})],
    ("GET", "/{model}/{source:vector_source}/{index}"): [Probe(f"{VECTOR_PATH}/7", MODEL, levels=("model",))],
    ("POST", "/{model}/{source:vector_source}/{index}/delete"): [
        Probe(f"{VECTOR_PATH}/8/delete", MODEL, "only its owner", status=403, form={}, levels=("model",))
    ],
    ("POST", "/api/vector/get"): [Probe("/api/vector/get", MODEL, body=VECTOR, levels=("model",))],
    ("POST", "/api/vector/delete"): [
        Probe("/api/vector/delete", MODEL, "only its owner", status=403, body=ORPHAN, levels=("model",))
    ],
    ("POST", "/api/activation/upload-batch"): [
        Probe(
            "/api/activation/upload-batch",
            MODEL,
            "only its owner",
            status=403,
            body={**ORPHAN, "activations": [{"tokens": ["a"], "values": [1]}]},
            levels=("model",),
        )
    ],
    ("POST", "/api/vector/new"): [
        Probe(
            "/api/vector/new",
            SOURCE,
            "16 wide",
            status=400,
            body={
                "modelId": "hidden",
                "layerNumber": 1,
                "hookType": "hook_resid_post",
                "vector": [1],
                "vectorLabel": "one",
            },
        )
    ],
    ("GET", "/{model}/inference/hosts"): [Probe("/hidden/inference/hosts", SOURCE, "inference ready")],
    ("GET", "/{model}/inference"): [Probe("/hidden/inference", SOURCE, "inference ready")],
    ("GET", "/{model}/{source}/inference"): [Probe("/hidden/1-hid/inference", SOURCE, "inference ready")],
}
WITHOUT_DATA = {
    ("GET", "/api/openapi.json"),
    ("GET", "/static"),
    ("GET", "/health"),
    ("GET", "/account"),
    ("GET", "/account/sign-in"),
    ("POST", "/account/sign-in"),
    ("POST", "/account/sign-out"),
    ("POST", "/account/sessions/{session_id}/revoke"),
    ("POST", "/account/api-keys/{key_id}/revoke"),
    ("GET", "/account/api-keys"),
    ("POST", "/account/api-keys"),
    ("GET", "/{model}/{source}/{index}/explain"),
    ("GET", "/account/inference-hosts"),
    ("GET", "/account/inference-hosts/states"),
    ("POST", "/account/inference-hosts"),
    ("GET", "/account/inference-hosts/{name}/change"),
    ("POST", "/account/inference-hosts/{name}/change"),
    ("POST", "/account/inference-hosts/{name}/enable"),
    ("POST", "/account/inference-hosts/{name}/disable"),
    ("POST", "/account/inference-hosts/{name}/remove"),
    ("GET", "/api/admin/inference-hosts"),
    ("POST", "/api/admin/inference-hosts"),
    ("PATCH", "/api/admin/inference-hosts/{name}"),
    ("DELETE", "/api/admin/inference-hosts/{name}"),
}
"""Routes that read nothing that a person stored."""

OWN_DATA = {
    ("GET", "/vectors"),
    ("GET", "/account/provider-keys"),
    ("POST", "/account/provider-keys"),
    ("POST", "/account/provider-keys/{key_id}/delete"),
    ("POST", "/api/vector/list-owned"),
    ("POST", "/api/dataset-upload/new"),
    ("POST", "/api/dataset-upload/get"),
    ("PUT", "/api/dataset-upload/part/{uploadId}/{file}/{part}"),
    ("POST", "/api/dataset-upload/complete"),
    ("POST", "/api/dataset-upload/delete"),
}
"""Routes that read only what the account itself stored; `test_vectors.py`, `test_dataset_uploads.py` and
`test_provider_keys.py` have them."""
