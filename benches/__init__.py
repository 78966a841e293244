"""Benchmarks: ``python -m benches`` prints the table, ``asv`` follows it per commit; METHOD.md says how to read them."""
