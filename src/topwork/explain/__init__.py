"""Look into a network: what each layer answers, why a class was chosen, what training changed."""
