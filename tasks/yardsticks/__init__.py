"""What an honest engineer tries before a network: one method a file, each an object that says all of itself."""
