"""Place-recognition methods behind one interface (see ``methods.base``)."""
