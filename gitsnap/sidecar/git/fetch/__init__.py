"""Receiving objects from elsewhere: nothing is believed, and nothing is held that could fill the memory."""
