"""OpenStack: accelerators of Cyborg, and those that Nova manages itself, as Placement counts them."""
