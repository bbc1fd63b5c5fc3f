"""Methods on a robot: a map that is asked and grows, poses that hold together, and networks as files."""
