"""Hosts without an orchestrator: cards by the vendors' tools over SSH, power and health by Redfish."""
