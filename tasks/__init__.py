"""The stages of the pipeline: plain functions, one file each, that know nothing of what orders them."""
