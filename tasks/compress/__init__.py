"""Compression methods, one file each: `apply(model, params, data) -> Fitted`."""
