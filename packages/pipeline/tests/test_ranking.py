"""Largest entries, neighbours and correlations of SAEs with few features, and of decoder rows without direction."""

import numpy as np
from memicos_pipeline.dashboards.correlations import correlated_features
from memicos_pipeline.dashboards.logit_effects import logit_effects
from memicos_pipeline.dashboards.neighbours import decoder_neighbours
from memicos_pipeline.dashboards.ranking import largest
from scipy import sparse


def test_largest_are_sorted_and_equal_ones_keep_their_order() -> None:
    columns, values = largest(np.array([[1.0, 3, 2, 3], [0, 0, 0, 5]]), 3)
    assert columns.tolist()[0] == [1, 3, 2] and columns.tolist()[1][0] == 3
    assert values.tolist() == [[3, 3, 2], [5, 0, 0]]


def test_lists_are_as_long_as_there_are_features() -> None:
    decoder = np.array([[1.0, 0], [1, 1], [-1, 0]])
    indices, cosines = decoder_neighbours(decoder, 10)
    assert indices.tolist() == [[1, 2], [0, 2], [1, 0]]
    half = 0.5**0.5
    assert np.allclose(cosines, [[half, -1], [half, -half], [-half, -1]])
    activations = sparse.csc_matrix(np.array([[1.0, 2, 0], [2, 4, 0], [0, 0, 3]]))
    indices, pearson = correlated_features(lambda: iter([activations]), 3, 3, 10)
    assert indices.shape == (3, 2) and indices[0].tolist() == [1, 2] and np.isclose(pearson[0, 0], 1)
    effects = logit_effects(decoder, np.ones(2), np.eye(2), 10, 4)
    assert effects.positive_ids.tolist()[0] == [0, 1] and effects.negative_ids.shape == (3, 2)
    assert decoder_neighbours(decoder[:1], 10)[0].shape == (1, 0)


def test_a_row_without_direction_is_never_a_neighbour() -> None:
    decoder = np.array([[1.0, 0], [0, 0], [1, 1]])
    indices, cosines = decoder_neighbours(decoder, 10)
    assert np.isnan(cosines[1]).all()
    for row, neighbour in ((0, 2), (2, 0)):
        assert indices[row][~np.isnan(cosines[row])].tolist() == [neighbour]
