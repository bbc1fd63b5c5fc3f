"""Depth of an image: from files, from another package, or from a small network with a stage of its own."""
