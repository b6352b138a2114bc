"""What exporters beside a platform measure: parsers of their text, the ways to them, and faults told into facts."""
