"""What starting costs and needs, in one place."""
