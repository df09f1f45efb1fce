"""A tokenizer as GPT-2 has it, of few tokens: learnt in no time from a text of the test's own."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers


def byte_level(text, size=400, **parts):
    """Byte-level BPE that is learnt from `text`; keywords replace its parts."""
    maker = Tokenizer(models.BPE())
    maker.pre_tokenizer, maker.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    for name, part in parts.items():
        setattr(maker, name, part)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    maker.train_from_iterator(
        [text], trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    )
    return maker
