"""Datasets: one prepared form, one file or folder per source, one table of protocols.

``errors``, ``files``, ``jobs`` and ``randomness`` are the ground that everything in the project stands on: the
exception with a sentence, whole files or none, work by several processes, and random numbers from a purpose.
"""

DATASETS = {
    "town": "datasets.town:Town",
    "kitti": "datasets.kitti:Kitti",
    "oxford": "datasets.oxford:Oxford",
    "vivid": "datasets.vivid:Vivid",
    "boreas": "datasets.boreas.boreas:Boreas",
}
"""Every dataset of the suite: name → ``"module:Class"``. Another package adds its own by ``crossplace.datasets``."""
