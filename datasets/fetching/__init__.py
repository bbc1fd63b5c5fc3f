"""Downloads of public data: what would be fetched, from which store, and files that are whole, checked and resumable.

``store`` describes what a store offers, one file a store. ``transfer`` reads bytes over HTTP and never gives up early,
``remote_zip`` reads single members of an archive, ``fetch`` puts checked files into a folder, with a ``manifest``.
"""

FETCHERS = {
    "boreas": "datasets.fetching.boreas:BoreasStore",
    "kitti": "datasets.fetching.kitti:KittiStore",
}
"""Every dataset that can be fetched without an account: name → ``"module:Class"``."""
