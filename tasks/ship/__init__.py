"""What is shipped to a device: which variant, why, and what goes along with it."""
