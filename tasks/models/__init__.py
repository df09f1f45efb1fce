"""Model families, one file each: `build(params, spec) -> tf_keras.Model`."""

FAMILIES = {
    "cnn": "tasks.models.cnn:build",
    "bow": "tasks.models.bow:build",
    "resnet": "tasks.models.resnet:build",
    "dscnn": "tasks.models.dscnn:build",
    "mobilenet_v1": "tasks.models.mobilenet_v1:build",
    "mobilenet_v2": "tasks.models.mobilenet_v2:build",
    "mlp": "tasks.models.mlp:build",
    "autoencoder": "tasks.models.autoencoder:build",
    "file": "tasks.models.file:build",
}
