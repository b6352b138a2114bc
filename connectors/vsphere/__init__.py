"""vSphere pools: one vCenter."""
