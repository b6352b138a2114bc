"""Pools on Kubernetes: nodes and accelerators as the API server, device plugins, vendor agents and DRA tell them."""
