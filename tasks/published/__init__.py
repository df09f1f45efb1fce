"""What others have measured and published of known networks on known boards, and what follows for other pairs."""
