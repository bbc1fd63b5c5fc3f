"""Records to what people look at: tables, formats, figures."""
