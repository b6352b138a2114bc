"""What a host's management controller tells and does over Redfish: presence, slot, health, firmware and power."""
