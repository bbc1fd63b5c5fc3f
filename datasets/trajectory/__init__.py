"""A prepared folder from a trajectory, and folders of images and clouds whose files have times: people's own drives."""
