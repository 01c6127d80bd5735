"""The training core: a loop in plain torch that can be saved at any step and resumed bit for bit."""
