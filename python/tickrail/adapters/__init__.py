"""Adapters: implementations of the ports, found by name and never imported by it."""
