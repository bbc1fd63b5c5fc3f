"""From a dataset's name to frames, batches and perturbed frames."""
