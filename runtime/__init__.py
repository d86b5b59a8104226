"""The robot side: manifest, policy, control loop and the command line hyt-run."""
