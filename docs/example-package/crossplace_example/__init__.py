"""A method and a dataset that crossplace finds through entry points."""
