"""What would have to be different for the decision to be another one."""
