"""Adapters of live runs."""
