"""Whether something got worse: what the project has now against what it had, or what is in use."""
