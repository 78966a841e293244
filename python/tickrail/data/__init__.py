"""Market data at rest: tick files, arrays, importers, the generator."""
