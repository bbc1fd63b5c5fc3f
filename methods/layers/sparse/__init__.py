"""Sparse 3-D convolution: its modules, its active sites, and its backends."""
