"""The reference connector: a fleet that exists only in a file, for the demo, the tests and the benchmarks."""
