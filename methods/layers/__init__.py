"""Parts of networks and projections of clouds that several methods share."""
