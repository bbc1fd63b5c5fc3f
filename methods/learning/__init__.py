"""What several methods train with: stages, losses, samplers, augmentations."""
