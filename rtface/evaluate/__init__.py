"""Measuring on real faces: pure metrics, one file per protocol, each printing tables and a last line of JSON."""
