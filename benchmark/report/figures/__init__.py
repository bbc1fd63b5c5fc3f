"""Drawings of data and of results."""
