"""Work on many features with a language model: cost measured before, a budget, failures listed, nothing paid twice."""
