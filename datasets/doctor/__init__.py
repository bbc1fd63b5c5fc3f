"""Does data mean what it says? Facts of a prepared dataset (`examine`), judged by one table (`RULES`)."""
