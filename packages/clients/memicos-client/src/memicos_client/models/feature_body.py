from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.activation_row import ActivationRow
    from ..models.explanation_body import ExplanationBody
    from ..models.feature_body_comments_item import FeatureBodyCommentsItem
    from ..models.feature_body_lists_item import FeatureBodyListsItem
    from ..models.model_body import ModelBody
    from ..models.name_body import NameBody
    from ..models.source_body import SourceBody
    from ..models.source_set_body import SourceSetBody


T = TypeVar("T", bound="FeatureBody")


@_attrs_define
class FeatureBody:
    """Everything that a feature's page shows.

    Attributes:
        model_id (str): id of the model
        layer (str): id of the source
        index (str): index of the feature in its source, 0 is the first, as a string of digits
        source_set_name (str): name of the source set
        creator (NameBody): An object of which only the name is known.
        hook_name (str): hook point that the source reads
        max_act_approx (float): largest activation of the feature in the corpus
        frac_nonzero (float): activation density: share of counted tokens on which the feature is active, 0 to 1
        active_tokens (int): tokens on which the feature is active
        counted_tokens (int): tokens of the corpus that count: without ignored positions
        freq_hist_data_bar_heights (list[int]): histogram of non-zero activations: tokens in each bin
        freq_hist_data_bar_values (list[float]): centre of each bin of the activation histogram
        logits_hist_data_bar_heights (list[int]): histogram of the feature's logit effects: vocabulary tokens in each
            bin
        logits_hist_data_bar_values (list[float]): centre of each bin of the logit histogram
        pos_str (list[str]): tokens with the largest positive logits, largest first
        pos_values (list[float]): logit of each token of pos_str
        neg_str (list[str]): tokens with the most negative logits, most negative first
        neg_values (list[float]): logit of each token of neg_str
        topk_cos_sim_indices (list[int]): features of this source with the most similar decoder vectors
        topk_cos_sim_values (list[float]): decoder cosine of each of topkCosSimIndices
        correlated_features_indices (list[int]): features of this source whose activations correlate most, by index
        correlated_features_pearson (list[float]): Pearson correlation of each of correlated_features_indices
        vector_default_steer_strength (float): the feature's largest activation; 10 where it is never active
        previous_live_index (int | None): nearest lower index of a feature that is active somewhere; null where there is
            none
        next_live_index (int | None): nearest higher index of a feature that is active somewhere; null where there is
            none
        logit_effect (str): how pos_str and neg_str were computed
        model (ModelBody): A language model.
        source (SourceBody): An SAE at one hook point.
        source_set (SourceSetBody): The SAEs of one training run.
        activations (list[ActivationRow]): all examples: the strongest first, then activation intervals from strong to
            weak
        explanations (list[ExplanationBody]): all explanations of the feature
        correlated_neurons_indices (list[int] | Unset): always empty: not stored
        correlated_neurons_pearson (list[float] | Unset): always empty: not stored
        correlated_neurons_l1 (list[float] | Unset): always empty: not stored
        correlated_features_l1 (list[float] | Unset): always empty: not stored
        neuron_alignment_indices (list[int] | Unset): always empty: not stored
        neuron_alignment_values (list[float] | Unset): always empty: not stored
        neuron_alignment_l1 (list[float] | Unset): always empty: not stored
        decoder_weights_dist (list[float] | Unset): always empty: not stored
        has_vector (bool | Unset): always false: the feature is an SAE latent, not a vector of a user Default: False.
        vector (list[float] | Unset): always empty: inference has the decoder vector
        vector_label (None | str | Unset): always null
        umap_cluster (int | None | Unset): always null: not stored
        umap_log_feature_sparsity (float | None | Unset): always null: not stored
        umap_x (float | None | Unset): always null: not stored
        umap_y (float | None | Unset): always null: not stored
        lists (list[FeatureBodyListsItem] | Unset): always empty: there are no lists
        comments (list[FeatureBodyCommentsItem] | Unset): always empty: there are no comments
    """

    model_id: str
    layer: str
    index: str
    source_set_name: str
    creator: NameBody
    hook_name: str
    max_act_approx: float
    frac_nonzero: float
    active_tokens: int
    counted_tokens: int
    freq_hist_data_bar_heights: list[int]
    freq_hist_data_bar_values: list[float]
    logits_hist_data_bar_heights: list[int]
    logits_hist_data_bar_values: list[float]
    pos_str: list[str]
    pos_values: list[float]
    neg_str: list[str]
    neg_values: list[float]
    topk_cos_sim_indices: list[int]
    topk_cos_sim_values: list[float]
    correlated_features_indices: list[int]
    correlated_features_pearson: list[float]
    vector_default_steer_strength: float
    previous_live_index: int | None
    next_live_index: int | None
    logit_effect: str
    model: ModelBody
    source: SourceBody
    source_set: SourceSetBody
    activations: list[ActivationRow]
    explanations: list[ExplanationBody]
    correlated_neurons_indices: list[int] | Unset = UNSET
    correlated_neurons_pearson: list[float] | Unset = UNSET
    correlated_neurons_l1: list[float] | Unset = UNSET
    correlated_features_l1: list[float] | Unset = UNSET
    neuron_alignment_indices: list[int] | Unset = UNSET
    neuron_alignment_values: list[float] | Unset = UNSET
    neuron_alignment_l1: list[float] | Unset = UNSET
    decoder_weights_dist: list[float] | Unset = UNSET
    has_vector: bool | Unset = False
    vector: list[float] | Unset = UNSET
    vector_label: None | str | Unset = UNSET
    umap_cluster: int | None | Unset = UNSET
    umap_log_feature_sparsity: float | None | Unset = UNSET
    umap_x: float | None | Unset = UNSET
    umap_y: float | None | Unset = UNSET
    lists: list[FeatureBodyListsItem] | Unset = UNSET
    comments: list[FeatureBodyCommentsItem] | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model_id = self.model_id

        layer = self.layer

        index = self.index

        source_set_name = self.source_set_name

        creator = self.creator.to_dict()

        hook_name = self.hook_name

        max_act_approx = self.max_act_approx

        frac_nonzero = self.frac_nonzero

        active_tokens = self.active_tokens

        counted_tokens = self.counted_tokens

        freq_hist_data_bar_heights = self.freq_hist_data_bar_heights

        freq_hist_data_bar_values = self.freq_hist_data_bar_values

        logits_hist_data_bar_heights = self.logits_hist_data_bar_heights

        logits_hist_data_bar_values = self.logits_hist_data_bar_values

        pos_str = self.pos_str

        pos_values = self.pos_values

        neg_str = self.neg_str

        neg_values = self.neg_values

        topk_cos_sim_indices = self.topk_cos_sim_indices

        topk_cos_sim_values = self.topk_cos_sim_values

        correlated_features_indices = self.correlated_features_indices

        correlated_features_pearson = self.correlated_features_pearson

        vector_default_steer_strength = self.vector_default_steer_strength

        previous_live_index: int | None
        previous_live_index = self.previous_live_index

        next_live_index: int | None
        next_live_index = self.next_live_index

        logit_effect = self.logit_effect

        model = self.model.to_dict()

        source = self.source.to_dict()

        source_set = self.source_set.to_dict()

        activations = []
        for activations_item_data in self.activations:
            activations_item = activations_item_data.to_dict()
            activations.append(activations_item)

        explanations = []
        for explanations_item_data in self.explanations:
            explanations_item = explanations_item_data.to_dict()
            explanations.append(explanations_item)

        correlated_neurons_indices: list[int] | Unset = UNSET
        if not isinstance(self.correlated_neurons_indices, Unset):
            correlated_neurons_indices = self.correlated_neurons_indices

        correlated_neurons_pearson: list[float] | Unset = UNSET
        if not isinstance(self.correlated_neurons_pearson, Unset):
            correlated_neurons_pearson = self.correlated_neurons_pearson

        correlated_neurons_l1: list[float] | Unset = UNSET
        if not isinstance(self.correlated_neurons_l1, Unset):
            correlated_neurons_l1 = self.correlated_neurons_l1

        correlated_features_l1: list[float] | Unset = UNSET
        if not isinstance(self.correlated_features_l1, Unset):
            correlated_features_l1 = self.correlated_features_l1

        neuron_alignment_indices: list[int] | Unset = UNSET
        if not isinstance(self.neuron_alignment_indices, Unset):
            neuron_alignment_indices = self.neuron_alignment_indices

        neuron_alignment_values: list[float] | Unset = UNSET
        if not isinstance(self.neuron_alignment_values, Unset):
            neuron_alignment_values = self.neuron_alignment_values

        neuron_alignment_l1: list[float] | Unset = UNSET
        if not isinstance(self.neuron_alignment_l1, Unset):
            neuron_alignment_l1 = self.neuron_alignment_l1

        decoder_weights_dist: list[float] | Unset = UNSET
        if not isinstance(self.decoder_weights_dist, Unset):
            decoder_weights_dist = self.decoder_weights_dist

        has_vector = self.has_vector

        vector: list[float] | Unset = UNSET
        if not isinstance(self.vector, Unset):
            vector = self.vector

        vector_label: None | str | Unset
        if isinstance(self.vector_label, Unset):
            vector_label = UNSET
        else:
            vector_label = self.vector_label

        umap_cluster: int | None | Unset
        if isinstance(self.umap_cluster, Unset):
            umap_cluster = UNSET
        else:
            umap_cluster = self.umap_cluster

        umap_log_feature_sparsity: float | None | Unset
        if isinstance(self.umap_log_feature_sparsity, Unset):
            umap_log_feature_sparsity = UNSET
        else:
            umap_log_feature_sparsity = self.umap_log_feature_sparsity

        umap_x: float | None | Unset
        if isinstance(self.umap_x, Unset):
            umap_x = UNSET
        else:
            umap_x = self.umap_x

        umap_y: float | None | Unset
        if isinstance(self.umap_y, Unset):
            umap_y = UNSET
        else:
            umap_y = self.umap_y

        lists: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.lists, Unset):
            lists = []
            for lists_item_data in self.lists:
                lists_item = lists_item_data.to_dict()
                lists.append(lists_item)

        comments: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.comments, Unset):
            comments = []
            for comments_item_data in self.comments:
                comments_item = comments_item_data.to_dict()
                comments.append(comments_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "modelId": model_id,
                "layer": layer,
                "index": index,
                "sourceSetName": source_set_name,
                "creator": creator,
                "hookName": hook_name,
                "maxActApprox": max_act_approx,
                "frac_nonzero": frac_nonzero,
                "active_tokens": active_tokens,
                "counted_tokens": counted_tokens,
                "freq_hist_data_bar_heights": freq_hist_data_bar_heights,
                "freq_hist_data_bar_values": freq_hist_data_bar_values,
                "logits_hist_data_bar_heights": logits_hist_data_bar_heights,
                "logits_hist_data_bar_values": logits_hist_data_bar_values,
                "pos_str": pos_str,
                "pos_values": pos_values,
                "neg_str": neg_str,
                "neg_values": neg_values,
                "topkCosSimIndices": topk_cos_sim_indices,
                "topkCosSimValues": topk_cos_sim_values,
                "correlated_features_indices": correlated_features_indices,
                "correlated_features_pearson": correlated_features_pearson,
                "vectorDefaultSteerStrength": vector_default_steer_strength,
                "previousLiveIndex": previous_live_index,
                "nextLiveIndex": next_live_index,
                "logitEffect": logit_effect,
                "model": model,
                "source": source,
                "sourceSet": source_set,
                "activations": activations,
                "explanations": explanations,
            }
        )
        if correlated_neurons_indices is not UNSET:
            field_dict["correlated_neurons_indices"] = correlated_neurons_indices
        if correlated_neurons_pearson is not UNSET:
            field_dict["correlated_neurons_pearson"] = correlated_neurons_pearson
        if correlated_neurons_l1 is not UNSET:
            field_dict["correlated_neurons_l1"] = correlated_neurons_l1
        if correlated_features_l1 is not UNSET:
            field_dict["correlated_features_l1"] = correlated_features_l1
        if neuron_alignment_indices is not UNSET:
            field_dict["neuron_alignment_indices"] = neuron_alignment_indices
        if neuron_alignment_values is not UNSET:
            field_dict["neuron_alignment_values"] = neuron_alignment_values
        if neuron_alignment_l1 is not UNSET:
            field_dict["neuron_alignment_l1"] = neuron_alignment_l1
        if decoder_weights_dist is not UNSET:
            field_dict["decoder_weights_dist"] = decoder_weights_dist
        if has_vector is not UNSET:
            field_dict["hasVector"] = has_vector
        if vector is not UNSET:
            field_dict["vector"] = vector
        if vector_label is not UNSET:
            field_dict["vectorLabel"] = vector_label
        if umap_cluster is not UNSET:
            field_dict["umap_cluster"] = umap_cluster
        if umap_log_feature_sparsity is not UNSET:
            field_dict["umap_log_feature_sparsity"] = umap_log_feature_sparsity
        if umap_x is not UNSET:
            field_dict["umap_x"] = umap_x
        if umap_y is not UNSET:
            field_dict["umap_y"] = umap_y
        if lists is not UNSET:
            field_dict["lists"] = lists
        if comments is not UNSET:
            field_dict["comments"] = comments

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.activation_row import ActivationRow  # noqa: PLC0415
        from ..models.explanation_body import ExplanationBody  # noqa: PLC0415
        from ..models.feature_body_comments_item import FeatureBodyCommentsItem  # noqa: PLC0415
        from ..models.feature_body_lists_item import FeatureBodyListsItem  # noqa: PLC0415
        from ..models.model_body import ModelBody  # noqa: PLC0415
        from ..models.name_body import NameBody  # noqa: PLC0415
        from ..models.source_body import SourceBody  # noqa: PLC0415
        from ..models.source_set_body import SourceSetBody  # noqa: PLC0415

        d = dict(src_dict)
        model_id = d.pop("modelId")

        layer = d.pop("layer")

        index = d.pop("index")

        source_set_name = d.pop("sourceSetName")

        creator = NameBody.from_dict(d.pop("creator"))

        hook_name = d.pop("hookName")

        max_act_approx = d.pop("maxActApprox")

        frac_nonzero = d.pop("frac_nonzero")

        active_tokens = d.pop("active_tokens")

        counted_tokens = d.pop("counted_tokens")

        freq_hist_data_bar_heights = cast(list[int], d.pop("freq_hist_data_bar_heights"))

        freq_hist_data_bar_values = cast(list[float], d.pop("freq_hist_data_bar_values"))

        logits_hist_data_bar_heights = cast(list[int], d.pop("logits_hist_data_bar_heights"))

        logits_hist_data_bar_values = cast(list[float], d.pop("logits_hist_data_bar_values"))

        pos_str = cast(list[str], d.pop("pos_str"))

        pos_values = cast(list[float], d.pop("pos_values"))

        neg_str = cast(list[str], d.pop("neg_str"))

        neg_values = cast(list[float], d.pop("neg_values"))

        topk_cos_sim_indices = cast(list[int], d.pop("topkCosSimIndices"))

        topk_cos_sim_values = cast(list[float], d.pop("topkCosSimValues"))

        correlated_features_indices = cast(list[int], d.pop("correlated_features_indices"))

        correlated_features_pearson = cast(list[float], d.pop("correlated_features_pearson"))

        vector_default_steer_strength = d.pop("vectorDefaultSteerStrength")

        def _parse_previous_live_index(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        previous_live_index = _parse_previous_live_index(d.pop("previousLiveIndex"))

        def _parse_next_live_index(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        next_live_index = _parse_next_live_index(d.pop("nextLiveIndex"))

        logit_effect = d.pop("logitEffect")

        model = ModelBody.from_dict(d.pop("model"))

        source = SourceBody.from_dict(d.pop("source"))

        source_set = SourceSetBody.from_dict(d.pop("sourceSet"))

        activations = []
        _activations = d.pop("activations")
        for activations_item_data in _activations:
            activations_item = ActivationRow.from_dict(activations_item_data)

            activations.append(activations_item)

        explanations = []
        _explanations = d.pop("explanations")
        for explanations_item_data in _explanations:
            explanations_item = ExplanationBody.from_dict(explanations_item_data)

            explanations.append(explanations_item)

        correlated_neurons_indices = cast(list[int], d.pop("correlated_neurons_indices", UNSET))

        correlated_neurons_pearson = cast(list[float], d.pop("correlated_neurons_pearson", UNSET))

        correlated_neurons_l1 = cast(list[float], d.pop("correlated_neurons_l1", UNSET))

        correlated_features_l1 = cast(list[float], d.pop("correlated_features_l1", UNSET))

        neuron_alignment_indices = cast(list[int], d.pop("neuron_alignment_indices", UNSET))

        neuron_alignment_values = cast(list[float], d.pop("neuron_alignment_values", UNSET))

        neuron_alignment_l1 = cast(list[float], d.pop("neuron_alignment_l1", UNSET))

        decoder_weights_dist = cast(list[float], d.pop("decoder_weights_dist", UNSET))

        has_vector = d.pop("hasVector", UNSET)

        vector = cast(list[float], d.pop("vector", UNSET))

        def _parse_vector_label(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        vector_label = _parse_vector_label(d.pop("vectorLabel", UNSET))

        def _parse_umap_cluster(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        umap_cluster = _parse_umap_cluster(d.pop("umap_cluster", UNSET))

        def _parse_umap_log_feature_sparsity(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        umap_log_feature_sparsity = _parse_umap_log_feature_sparsity(d.pop("umap_log_feature_sparsity", UNSET))

        def _parse_umap_x(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        umap_x = _parse_umap_x(d.pop("umap_x", UNSET))

        def _parse_umap_y(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        umap_y = _parse_umap_y(d.pop("umap_y", UNSET))

        _lists = d.pop("lists", UNSET)
        lists: list[FeatureBodyListsItem] | Unset = UNSET
        if _lists is not UNSET:
            lists = []
            for lists_item_data in _lists:
                lists_item = FeatureBodyListsItem.from_dict(lists_item_data)

                lists.append(lists_item)

        _comments = d.pop("comments", UNSET)
        comments: list[FeatureBodyCommentsItem] | Unset = UNSET
        if _comments is not UNSET:
            comments = []
            for comments_item_data in _comments:
                comments_item = FeatureBodyCommentsItem.from_dict(comments_item_data)

                comments.append(comments_item)

        feature_body = cls(
            model_id=model_id,
            layer=layer,
            index=index,
            source_set_name=source_set_name,
            creator=creator,
            hook_name=hook_name,
            max_act_approx=max_act_approx,
            frac_nonzero=frac_nonzero,
            active_tokens=active_tokens,
            counted_tokens=counted_tokens,
            freq_hist_data_bar_heights=freq_hist_data_bar_heights,
            freq_hist_data_bar_values=freq_hist_data_bar_values,
            logits_hist_data_bar_heights=logits_hist_data_bar_heights,
            logits_hist_data_bar_values=logits_hist_data_bar_values,
            pos_str=pos_str,
            pos_values=pos_values,
            neg_str=neg_str,
            neg_values=neg_values,
            topk_cos_sim_indices=topk_cos_sim_indices,
            topk_cos_sim_values=topk_cos_sim_values,
            correlated_features_indices=correlated_features_indices,
            correlated_features_pearson=correlated_features_pearson,
            vector_default_steer_strength=vector_default_steer_strength,
            previous_live_index=previous_live_index,
            next_live_index=next_live_index,
            logit_effect=logit_effect,
            model=model,
            source=source,
            source_set=source_set,
            activations=activations,
            explanations=explanations,
            correlated_neurons_indices=correlated_neurons_indices,
            correlated_neurons_pearson=correlated_neurons_pearson,
            correlated_neurons_l1=correlated_neurons_l1,
            correlated_features_l1=correlated_features_l1,
            neuron_alignment_indices=neuron_alignment_indices,
            neuron_alignment_values=neuron_alignment_values,
            neuron_alignment_l1=neuron_alignment_l1,
            decoder_weights_dist=decoder_weights_dist,
            has_vector=has_vector,
            vector=vector,
            vector_label=vector_label,
            umap_cluster=umap_cluster,
            umap_log_feature_sparsity=umap_log_feature_sparsity,
            umap_x=umap_x,
            umap_y=umap_y,
            lists=lists,
            comments=comments,
        )

        feature_body.additional_properties = d
        return feature_body

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
