"""Sparse 3-D convolution: its modules, the sites they are active on, and what computes them."""
