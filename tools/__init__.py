"""For maintainers: benchmarks, and makers of fixtures that the tests compare with."""
