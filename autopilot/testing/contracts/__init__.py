"""One suite per port. A backend's test file subclasses the suite and says how to make one."""
