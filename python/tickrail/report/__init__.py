"""What a run leaves behind: accounts and measures while it goes on, results after it.

Empty on purpose: who reads accounts of a run need not load what writes results, numpy among it.
"""
