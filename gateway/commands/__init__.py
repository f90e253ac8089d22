"""The commands that look at a gateway's stores and surroundings, a module for each group of them."""
