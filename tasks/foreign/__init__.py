"""Models of one's own, from files: read without running what is in them, rebuilt in tf_keras, fitted to the data."""
