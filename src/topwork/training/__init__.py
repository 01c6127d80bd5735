"""The training core: a loop on plain torch whose every state can be saved and gone on from, bit for bit."""
