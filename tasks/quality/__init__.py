"""How well a model answers: which target is judged, by what, and whether the examples can show it."""
