"""Benchmarks: ``python -m benches`` prints the table, asv follows it; METHOD.md says how to read them."""
