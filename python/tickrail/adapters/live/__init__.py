"""Adapters of a live run: states in files."""
