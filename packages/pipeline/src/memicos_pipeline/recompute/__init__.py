"""`memicos recompute`: check a server's values by plain transformers and numpy, without the engine.

own_prompt      the user's own text or conversation
server_values   values that a webapp shows
hidden_states   activations at a hook point, by transformers
sae             a feature's values, by numpy
compare         differences between the two
report          the comparison of one feature, line by line
"""
