"""For maintainers: benchmarks, and makers of the fixtures that the tests compare with."""
