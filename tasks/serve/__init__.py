"""A bundle behind HTTP: what it is asked, how its model is kept busy, and what is seen of it meanwhile."""
