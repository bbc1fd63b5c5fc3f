"""Datasets: one prepared form, one file or folder per source, one table of protocols."""

DATASETS = {
    "town": "datasets.town:Town",
    "kitti": "datasets.kitti:Kitti",
    "oxford": "datasets.oxford:Oxford",
    "vivid": "datasets.vivid:Vivid",
}
"""Every dataset of the suite: name → ``"module:Class"``. Another package adds its own by ``crossplace.datasets``."""
