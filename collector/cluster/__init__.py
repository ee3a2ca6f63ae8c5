"""Several collectors as one: who keeps which sites, what they tell each other of them, and one snapshot from it all."""
