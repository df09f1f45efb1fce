"""The channels of a network: which belong together, what they cost, which matter least, and removing them."""
