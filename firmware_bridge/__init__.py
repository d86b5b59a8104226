"""The host's end of the serial link and the firmware behind it."""
