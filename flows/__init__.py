"""The orchestration: the order of the stages, written out, and the command line."""
