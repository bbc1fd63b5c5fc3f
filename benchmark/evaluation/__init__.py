"""Descriptors to numbers: distances, ranks, recall and intervals. Needs no torch."""
