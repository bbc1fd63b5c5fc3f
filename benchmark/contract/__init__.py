"""What every method must do, as checks."""
