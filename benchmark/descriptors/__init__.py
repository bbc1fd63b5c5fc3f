"""Frames to descriptors, which are files: the only thing that evaluation reads."""
