"""Raw downloads in small: what the sensors of a drive through the town would have left in each dataset's layout.

Somebody who thinks of asking for 100 GB can try the whole way first. Tests read the same files.
"""

SAMPLES = {
    "boreas": "datasets.samples.boreas",
    "kitti": "datasets.samples.kitti",
    "oxford": "datasets.samples.oxford",
    "vivid": "datasets.samples.vivid",
}
"""Every dataset of which a sample can be written: name → module with ``write_sample``."""
