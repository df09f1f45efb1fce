"""Garbage is not looked for while libraries are imported, nor later among what they have made: that stays to the end.

TensorFlow, Prefect and DVC leave a million objects behind. Python's collector goes through all of them again and again
while they are made, and Keras has it do so before each stage.
"""

import gc


def leave() -> None:
    """Look for none until `look`: what follows imports, and throws little away."""
    gc.disable()


def look() -> None:
    """Look for it again, among what is made from now on."""
    gc.freeze()
    gc.enable()
