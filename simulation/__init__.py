"""The simulated arm that the firmware drives, its experts and its thoughts."""
