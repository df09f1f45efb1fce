"""How well a model answers: by what metric, which target is judged, and whether the examples can show it."""
