"""Small models and SAEs for tests, and computations of them that use no code of ours."""
