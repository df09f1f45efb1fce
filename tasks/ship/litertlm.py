"""A language model as LiteRT-LM takes it: the variant's own file, its tokenizer and what to know of both, in one.

LiteRT-LM (google-ai-edge/LiteRT-LM) runs it on phones, boards and this machine, from text to text.
"""

import re
from pathlib import Path
from unittest import mock
from uuid import NAMESPACE_OID, uuid5

from tasks import files
from tasks.errors import UnsupportedError
from tasks.records.artifacts import ArtifactCard
from tasks.ship.words import Words

FILE = "model.litertlm"
CACHE = re.compile(r"(kv_cache|k_cache|v_cache)\w*_\d+")  # what LiteRT-LM calls a state
NOTE = f"""\
{FILE} holds the same model and its tokenizer for LiteRT-LM (pip install litert-lm-api). Give it a cache_dir of its own:
it would write beside the file otherwise, and what was not shipped here is refused.
"""


def write(path: Path, model: Path, card: ArtifactCard, words: Words) -> None:
    """Write the file; the same model and words give the same bytes.

    Args:
        path: where to.
        model: the variant's `.tflite` file.
        card: its record.
        words: its tokens.

    Raises:
        UnsupportedError: LiteRT-LM would not run it.
    """
    from litert_lm_builder import litertlm_builder as builder
    from litert_lm_builder.runtime.proto.llm_metadata_pb2 import LlmMetadata

    about = LlmMetadata(max_num_tokens=_room(card))
    about.llm_model_type.generic_model.SetInParent()
    for end in words.ends:
        about.stop_tokens.add().token_ids.ids.append(end)
    if words.begins is not None:
        about.start_token.token_ids.ids.append(words.begins)
    if words.chat is not None:
        about.jinja_prompt_template = words.chat
    told, tokenizer = path.with_suffix(".pb"), path.with_suffix(".json")  # it takes files alone
    told.write_bytes(about.SerializeToString(deterministic=True))
    tokenizer.write_bytes(words.tokenizer)
    made = builder.LitertLmFileBuilder()
    name = str(uuid5(NAMESPACE_OID, card.sha256 + files.sha256(told) + files.sha256(tokenizer)))
    made.add_system_metadata(builder.Metadata("uuid", name, builder.DType.STRING))
    made.add_tflite_model(str(model), builder.TfLiteModelType.PREFILL_DECODE)
    made.add_llm_metadata(str(told))
    made.add_hf_tokenizer(str(tokenizer))
    # the builder puts a random name and the time in, so that no two files of it would be equal
    with mock.patch.object(builder, "populate_system_metadata", list), path.open("wb") as file:
        made.build(file)
    told.unlink()
    tokenizer.unlink()


def _room(card: ArtifactCard) -> int:
    """The tokens that its caches hold.

    Raises:
        UnsupportedError: it is not called as LiteRT-LM calls its files, or does not show its room.
    """
    calls = {signature.name: signature for signature in card.signatures}
    if "decode" not in calls or not any(name.startswith("prefill") for name in calls):
        raise UnsupportedError(f"LiteRT-LM calls `prefill…` and `decode`; the file has {', '.join(calls)}")
    decode = calls["decode"]
    if other := sorted({tensor.dtype for tensor in decode.inputs if tensor.name in decode.state} - {"float32"}):
        raise UnsupportedError(f"LiteRT-LM knows no scales of a state; the file keeps {other[0]}")
    if strange := sorted(name for name in decode.state if not CACHE.fullmatch(name)):
        raise UnsupportedError(f"LiteRT-LM calls a state kv_cache_k_0 and so on; the file has {strange[0]}")
    if decode.places is None:
        raise UnsupportedError("the file does not show how many tokens its caches hold, which LiteRT-LM is told")
    return decode.places
