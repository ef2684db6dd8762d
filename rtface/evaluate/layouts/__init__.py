"""Readers of other data sets' own folder layouts, one file each."""
