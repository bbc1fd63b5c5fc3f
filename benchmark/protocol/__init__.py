"""What a protocol means on data: who asks, what is searched, what is right. Needs no torch."""
