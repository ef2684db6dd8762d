"""The steps of the chain, one verb per file: plain objects and functions without threads or windows.

No stage changes its inputs; no face is N = 0 everywhere.
"""
