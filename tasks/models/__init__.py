"""Model families, one file each, with a `FAMILY`: `build(params, spec) -> tf_keras.Model`."""
