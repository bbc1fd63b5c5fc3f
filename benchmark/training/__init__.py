"""Configuration and weights: presets, the training loop, checkpoints."""
