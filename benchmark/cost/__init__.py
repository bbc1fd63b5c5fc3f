"""What a method costs: time and memory."""
