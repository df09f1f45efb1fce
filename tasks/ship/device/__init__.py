"""What keeps the champion of a device, there. It is sent with every shipment, runs from memory, and leaves no code.

It needs Python 3.11 and imports nothing of Tercet but itself: `boot` starts it, `keeper` does what is asked for,
`store` is the folder on the device, `prove` makes sure that a bundle does there what it did where it was made.
"""
