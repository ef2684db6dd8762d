"""Synthetic face factory: the morphable basis' builder, skin painter and labelled, occluded training faces."""
