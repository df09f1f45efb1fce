"""The comparison, and what people are told of it: joined, tested, judged, drawn and written. Pure."""
