"""From a request to records: the plan, the steps, studies and sweeps."""
