"""The command line: glue, nothing else."""
