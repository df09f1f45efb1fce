"""What is shipped to a device: which variant, why, what goes along with it, and how it comes there and back."""
