"""Imports and uploads of datasets under test."""
