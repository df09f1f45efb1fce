"""The work itself, room by room; `stages` is the door to it. It knows nothing of what orders it."""

from tasks import bytecode

bytecode.keep_whole()
