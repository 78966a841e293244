"""Adapters of live runs: feeds that publish by themselves, states in files."""
