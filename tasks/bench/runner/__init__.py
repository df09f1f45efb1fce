"""What is shipped to a device: it runs one artifact there and answers in JSON. `__main__` documents the protocol.

It needs Python 3.11, numpy and one runtime, and imports nothing of Tercet but itself: one file per runtime, all of one
interface (`Model`), `counters` for energy, `machine` for what a figure hangs from.
"""

SCHEMA = 5  # of an answer
