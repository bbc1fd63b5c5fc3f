"""A procedural town: streets of textured solids, a camera and a LiDAR that see the same surfaces."""

from datasets.town.town import Town

__all__ = ["Town"]
