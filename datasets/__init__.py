"""Datasets: one prepared form, one file or folder per source, one table of protocols."""
