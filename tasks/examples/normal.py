"""Which of two classes is what is normal: the first. By names that say otherwise a figure would be of the other one."""

import re
from collections.abc import Sequence

from tasks.errors import DataError

# what people call that which is as usual: most words for what is not come before these in the alphabet, as classes do
WORDS = {
    "benign", "clean", "genuine", "good", "healthy", "inlier", "intact", "legit", "legitimate", "negative", "nominal",
    "normal", "ok", "okay", "pass", "passed", "regular", "typical", "undamaged",
}  # fmt: skip
NOT = {"no", "non", "not"}


def check(classes: Sequence[str], rule: str) -> None:
    """Refuse two classes of which the second one's name says that it is what is normal, and the first one's does not.

    Args:
        classes: their names, in their order.
        rule: what hangs from the order, for the message.

    Raises:
        DataError: they are such.
    """
    first, second = classes
    if _says_so(second) and not _says_so(first):
        raise DataError(
            f"{rule}; the classes are {first!r} and {second!r}, in the order of their names: write them so that what "
            "is normal comes first, such as 0 and 1"
        )


def _says_so(name: str) -> bool:
    words = set(re.findall(r"[a-z]+", name.lower()))
    return bool(words & WORDS) and not words & NOT
