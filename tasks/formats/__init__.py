"""The files that a network is kept in: how each is read and written, what it takes to run and what it weighs."""
