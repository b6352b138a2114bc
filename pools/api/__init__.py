"""REST: one file per noun. Reads by selectors, writes by services, and decides nothing."""
