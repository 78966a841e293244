"""Importers: one module a format, behind one protocol."""
