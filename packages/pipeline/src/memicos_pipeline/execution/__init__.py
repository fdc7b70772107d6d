"""Runs the stages of `memicos generate`: in the process itself or in several processes."""
