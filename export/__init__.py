"""The workstation side: reads a checkpoint without torch, quantises it and writes a verified bundle."""
