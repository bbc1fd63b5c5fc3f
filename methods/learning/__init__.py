"""Parts of training that several methods share: stages, losses, samplers, augmentations."""
