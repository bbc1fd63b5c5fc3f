"""What remains of a run, as files. Needs neither torch nor matplotlib."""
