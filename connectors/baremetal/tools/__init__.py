"""What the vendors' command-line tools say, read by one pure function a tool: text in, cards out.

A tool without a recorded output has no parser: a host that has only such a tool is told as one without a known tool.
"""
