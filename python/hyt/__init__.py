"""HyT: run Hybrid Training vision-language-action policies on a robot."""
