"""The workstation side: checkpoint readers, quantisation and bundle writing."""
