"""Language models as others store them: folders of Hugging Face and GGUF files, read and written without their code."""
