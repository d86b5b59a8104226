"""What a person sees of a run and says to it: in the terminal, and on a web page."""
