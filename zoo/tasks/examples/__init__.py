"""What tasks are given: read in each of its forms, checked, and made arrays of."""
