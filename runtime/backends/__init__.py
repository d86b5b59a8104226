"""The engines that compute a policy: one interface, one file per engine."""
