"""One page about results that opens offline: tables, maps, failures, facts, configurations, commands."""
