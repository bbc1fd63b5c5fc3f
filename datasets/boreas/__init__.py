"""Boreas: one route of Toronto in a year of sun, snow, rain and night, from folders as the public store has them."""
