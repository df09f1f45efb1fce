"""One definition of a decoder for all kinds of language models that differ by switches, and its form with a cache."""
