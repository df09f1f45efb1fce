"""Model families, one file each: `build(params, spec) -> tf_keras.Model`."""
