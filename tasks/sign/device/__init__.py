"""What runs on a device to judge what is brought there; it imports nothing of Tercet but itself.

`verify.py` alone needs Python 3.11 and `cryptography`; `install.py` beside it also needs `tuf`. Neither lies in a
bundle: what judges a bundle must not come with it.
"""
